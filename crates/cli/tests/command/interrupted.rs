//! Kills, signals and full disks: nothing is lost, and a resumed run ends where an uninterrupted one does, to the last bit.
#![cfg(unix)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, Said};

/// What the long recipe comes to when nobody disturbs it.
fn undisturbed() -> &'static str {
    static ESSENCE: OnceLock<String> = OnceLock::new();
    ESSENCE.get_or_init(|| {
        let place = Place::new();
        place.succeeds(&["run", "long.toml", "--out", "run"]);
        place.essence("run")
    })
}

/// Starts the long recipe and waits until its metrics tell of `arm`, which they do from the arm's first checkpoint on.
fn start(place: &Place, arm: &str) -> Child {
    let mut command = place.command(&["run", "long.toml", "--out", "run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = place.path("run/metrics.jsonl");
    let saved = place.path("run/checkpoint/state.safetensors");
    let sign = format!("{{\"arm\":\"{arm}\"");
    let patience = Instant::now() + Duration::from_mins(1);
    while !(saved.exists() && fs::read_to_string(&metrics).is_ok_and(|text| text.contains(&sign))) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before arm {arm} was saved");
        assert!(Instant::now() < patience, "arm {arm} was not saved in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

fn end(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Interrupts a run in its first arm.
fn interrupted(place: &Place, by: Signal) -> Said {
    let child = start(place, "sgd");
    signal(&child, by);
    end(child)
}

#[test]
fn a_killed_run_can_be_read_and_finished() {
    for arm in ["sgd", "sam"] {
        let place = Place::new();
        let mut child = start(&place, arm);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
        assert!(!place.path("run/summary.json").exists());

        let rows = place.rows("run");
        assert!(rows.len() >= 40 && rows.iter().any(|row| row["arm"] == arm), "{}", rows.len());
        place.succeeds(&["export", "run", "--csv"]);
        assert_eq!(place.read("run/metrics.csv").lines().count(), rows.len() + 1);
        assert_eq!(
            place.fails(1, &["report", "run"]),
            "error: run: this run has not ended: it is going on, or it was killed and `lisse resume run` finishes it\n"
        );

        place.succeeds(&["resume", "run", "--check"]);
        assert!(place.essence("run") == undisturbed(), "killed in arm {arm}: another result");
    }
}

#[test]
fn a_signal_saves_the_run_and_says_how_to_go_on() {
    for by in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::new();
        let said = interrupted(&place, by);
        assert_eq!(said.code, Some(130), "{}", said.err);
        assert_eq!(said.out, "");
        assert!(
            said.err.contains("Everything is saved; `lisse resume RUN` goes on from here."),
            "{}",
            said.err
        );
        assert!(said.err.ends_with("resume  lisse resume run\n"), "{}", said.err);
        let summary = place.json("run/summary.json");
        assert_eq!(summary["finished"], false);
        assert_eq!(summary["stop"]["kind"], "interrupted");
        assert_eq!(summary["claims"].as_array().map(Vec::len), Some(0));
        // The interrupted run stands in its report as far as it is.
        assert!(place.read("run/report.html").contains("Everything is saved"));

        let resumed = place.lisse(&["resume", "run"]);
        assert_eq!(resumed.code, Some(0), "{}", resumed.err);
        assert!(resumed.err.starts_with("Resuming long in run\n"), "{}", resumed.err);
        assert!(place.essence("run") == undisturbed(), "after {by}: another result");
    }
}

#[test]
fn a_folder_is_not_driven_twice_at_once() {
    let place = Place::new();
    let child = start(&place, "sgd");
    assert_eq!(
        place.fails(1, &["resume", "run"]),
        "error: run: another process is running in this folder; wait for it or stop it first\n"
    );
    assert_eq!(end(child).code, Some(0));
    assert!(place.essence("run") == undisturbed());
}

/// `/dev/full` takes the place of the file that the next checkpoint is first written to.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_last_checkpoint() {
    let place = Place::new();
    assert_eq!(interrupted(&place, Signal::SIGINT).code, Some(130));
    let saved = place.path("run/checkpoint/state.safetensors");
    let before = fs::read(&saved).unwrap();
    let temporary = place.path("run/checkpoint/state.safetensors.tmp");
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();

    let error = place.fails(1, &["resume", "run"]);
    let problem = "error: run/checkpoint/state.safetensors: could not write: No space left on device (os error 28); \
                   free some space, then `lisse resume` goes on from the last checkpoint, which is intact\n";
    assert!(error.ends_with(problem), "{error}");
    assert!(fs::read(&saved).unwrap() == before, "the last checkpoint has changed");
    assert!(!temporary.exists());

    place.succeeds(&["resume", "run"]);
    assert!(place.essence("run") == undisturbed(), "after a full disk: another result");
}

#[test]
fn a_checkpoint_that_was_cut_short_is_refused() {
    let place = Place::new();
    interrupted(&place, Signal::SIGINT);
    let saved = place.path("run/checkpoint/state.safetensors");
    let whole = fs::read(&saved).unwrap();
    fs::write(&saved, &whole[..whole.len() - 7]).unwrap();
    let error = place.fails(1, &["resume", "run"]);
    let start = "error: run/checkpoint/state.safetensors: this checkpoint cannot be used: ";
    assert!(error.starts_with(start), "{error}");

    fs::write(&saved, &whole).unwrap();
    let recipe = place.read("run/recipe.toml");
    place.write("run/recipe.toml", &recipe.replace("epochs = 12", "epochs = 13"));
    let error = place.fails(1, &["resume", "run"]);
    assert!(error.contains("recipe.toml was changed since; put it back"), "{error}");
    place.write("run/recipe.toml", &recipe);
    place.succeeds(&["resume", "run"]);
}
