use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::disk::full::FullDisk;
use crate::toy::{TOY, Trap, registry};
use crate::{Row, recipe::RecipeError};

fn request(out: &Path, set: &[&str]) -> Request {
    let overrides =
        Overrides { set: set.iter().map(|&s| s.to_owned()).collect(), ..Overrides::default() };
    Request { source: Source::Builtin("toy-race".into()), out: Some(out.to_owned()), overrides }
}

fn run(out: &Path, set: &[&str]) -> Finished {
    launch(&registry(Trap::default()), &request(out, set), Session::quiet()).unwrap()
}

/// Runs until the trap closes.
fn run_into(trap: &Trap, out: &Path) -> Finished {
    let session = Session { interrupt: trap.interrupt.clone(), ..Session::quiet() };
    launch(&registry(trap.clone()), &request(out, &[]), session).unwrap()
}

fn resume_quietly(out: &Path) -> Result<Finished, Error> {
    resume(&registry(Trap::default()), out, Session::quiet())
}

fn trap_after(steps: u64) -> Trap {
    Trap { after: Arc::new(AtomicU64::new(steps)), ..Trap::default() }
}

/// Rows, figures by their bits, claims, artefacts' names, and one artefact.
type Essence = (Vec<Row>, BTreeMap<String, u64>, String, Vec<String>, Vec<u8>);

/// All of a run that must not depend on interruptions: no times, no machine.
fn essence(folder: &Path) -> Essence {
    let run = RunFolder::open(folder).unwrap();
    let rows = run.rows().unwrap().into_iter().map(|row| Row { seconds: 0.0, ..row }).collect();
    let summary = run.summary().unwrap().unwrap();
    let figures =
        summary.figures.iter().map(|(name, value)| (name.clone(), value.0.to_bits())).collect();
    let claims = format!("{:?} {:?} {}", summary.claims, summary.stop, summary.steps);
    let picture = fs::read(folder.join("artefacts/fast.end.json")).unwrap();
    (rows, figures, claims, summary.exhibits, picture)
}

#[test]
fn a_run_leaves_a_whole_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let finished = run(&out, &["steps=4"]);
    let summary = &finished.summary;
    assert_eq!(summary.stop, Stop::Completed);
    assert_eq!(summary.steps, 8);
    assert_eq!(
        summary.arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>(),
        ["slow", "fast"]
    );
    assert!(summary.claims.iter().all(|claim| claim.holds), "{:?}", summary.claims);
    assert!(summary.figures.contains_key("slow.loss") && summary.figures.contains_key("distance"));
    assert!(summary.wall_secs > 0.0 && summary.peak_memory_bytes > 0);
    for file in [
        "recipe.toml",
        "metrics.jsonl",
        "summary.json",
        "report.html",
        "checkpoint/state.safetensors",
        "artefacts/slow.end.json",
    ] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    assert!(!out.join("run.lock").exists());
    let text = fs::read_to_string(out.join("recipe.toml")).unwrap();
    assert!(text.contains("steps = 4") && text.contains("poison = 0"), "{text}");
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("2 of 2 hold") && report.contains("Where it ended"));
    // The resolved recipe runs to the same result.
    let again = Request::new(Source::File(out.join("recipe.toml")));
    let again = Request { out: Some(folder.path().join("again")), ..again };
    let again = launch(&registry(Trap::default()), &again, Session::quiet()).unwrap();
    assert_eq!(again.summary.figures, summary.figures);
}

#[test]
fn an_interruption_at_any_step_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run(&whole, &[]);
    for steps in 1..=12 {
        let out = folder.path().join(format!("cut-{steps}"));
        let first = run_into(&trap_after(steps), &out);
        // After the last step too: what is left is to conclude.
        assert_eq!(first.summary.stop, Stop::Interrupted, "after {steps}");
        assert!(!first.summary.finished && first.summary.claims.is_empty());
        let second = resume_quietly(&out).unwrap();
        assert!(second.summary.finished);
        assert_eq!(essence(&out), essence(&whole), "interrupted after {steps} steps");
    }
}

#[test]
fn a_run_may_be_interrupted_many_times_and_in_finish() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run(&whole, &[]);
    let out = folder.path().join("run");
    let mut summary = run_into(&trap_after(1), &out).summary;
    while !summary.finished {
        let trap = trap_after(1);
        let session = Session { interrupt: trap.interrupt.clone(), ..Session::quiet() };
        summary = resume(&registry(trap), &out, session).unwrap().summary;
    }
    assert_eq!(essence(&out), essence(&whole));

    let out = folder.path().join("finish");
    let trap = Trap { in_finish: true, ..Trap::default() };
    let first = run_into(&trap, &out).summary;
    assert_eq!(first.stop, Stop::Interrupted);
    assert_eq!(first.steps, 6, "the first arm's steps are done, its finish is not");
    resume_quietly(&out).unwrap();
    assert_eq!(essence(&out), essence(&whole));
}

#[test]
fn rows_after_the_checkpoint_are_not_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("run"));
    run(&whole, &[]);
    run_into(&trap_after(8), &out);
    // As a kill would leave it: more rows than the checkpoint knows, the last one torn, and no summary.
    let mut text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.push_str("{\"arm\":\"fast\",\"step\":3,\"seconds\":9.0,\"loss\":1.0}\n{\"arm\":\"fa");
    fs::write(out.join("metrics.jsonl"), text).unwrap();
    fs::remove_file(out.join("summary.json")).unwrap();
    resume_quietly(&out).unwrap();
    assert_eq!(essence(&out), essence(&whole));
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("run"));
    run(&whole, &[]);
    run_into(&trap_after(2), &out);
    fs::remove_file(out.join("checkpoint/state.safetensors")).unwrap();
    resume_quietly(&out).unwrap();
    assert_eq!(essence(&out), essence(&whole));
}

#[test]
fn a_finished_run_cannot_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run(&out, &[]);
    let error = resume_quietly(&out).unwrap_err().to_string();
    assert!(
        error.contains("this run is finished (completed), there is nothing to resume"),
        "{error}"
    );
}

#[test]
fn folders_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run(&out, &[]);
    let error = launch(&registry(Trap::default()), &request(&out, &[]), Session::quiet())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("this folder exists and is not empty; give a new folder with --out"),
        "{error}"
    );
    let error = resume_quietly(folder.path()).unwrap_err().to_string();
    assert!(error.contains("this is not a run folder: it has no recipe.toml"), "{error}");
    let error = resume_quietly(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(error.contains("nowhere: could not open this run folder"), "{error}");
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_into(&trap_after(2), &out);
    let _lock = folder::lock(&RunFolder::open(&out).unwrap()).unwrap();
    let error = resume_quietly(&out).unwrap_err().to_string();
    assert!(error.contains("another process is running in this folder"), "{error}");
}

#[test]
fn a_changed_recipe_and_a_broken_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_into(&trap_after(3), &out);
    let recipe = out.join("recipe.toml");
    let text = fs::read_to_string(&recipe).unwrap();
    fs::write(&recipe, text.replace("steps = 6", "steps = 7")).unwrap();
    let error = resume_quietly(&out).unwrap_err().to_string();
    assert!(
        error.contains(
            "state.safetensors: this checkpoint cannot be used: recipe.toml was changed since"
        ),
        "{error}"
    );
    fs::write(&recipe, text).unwrap();
    let state = out.join("checkpoint/state.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
    let error = resume_quietly(&out).unwrap_err().to_string();
    assert!(error.contains("state.safetensors: this checkpoint cannot be used: "), "{error}");
    fs::write(&state, &bytes).unwrap();
    resume_quietly(&out).unwrap();
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let set = ["run.checkpoint_steps=1"];
    run(&whole, &set);
    let mut failures = 0;
    for room in (500..40_000).step_by(1777) {
        let out = folder.path().join(format!("room-{room}"));
        let disk = FullDisk::with_room(room);
        match launch_on(&registry(Trap::default()), &request(&out, &set), Session::quiet(), || {
            Box::new(disk)
        }) {
            Ok(_) => break,
            Err(error) => {
                failures += 1;
                let text = error.to_string();
                assert!(
                    text.contains("could not write")
                        && text.contains("the last checkpoint, which is intact"),
                    "{text}"
                );
            }
        }
        if out.join("recipe.toml").exists() {
            resume_quietly(&out).unwrap();
            assert_eq!(essence(&out), essence(&whole), "with room for {room} bytes");
        }
    }
    assert!(failures > 5);
}

#[test]
fn nan_stops_an_arm_with_step_and_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let finished = run(&folder.path().join("run"), &["arms.fast.poison=3"]);
    let expected = Stop::NotFinite { step: 3, leaf: "velocity.0".into(), metric: "loss".into() };
    assert_eq!(finished.summary.stop, expected);
    assert_eq!(
        finished.summary.stop.to_string(),
        "not finite: at step 3 loss is not a finite number, and neither is `velocity.0`"
    );
    assert!(finished.summary.advice.contains("`velocity.0`: try a smaller learning rate"));
    assert_eq!(finished.summary.arms[0].stop, Stop::Completed);
    let claim = &finished.summary.claims[0];
    assert!(
        !claim.holds && claim.problem.as_ref().unwrap().contains("no figure `fast.loss`"),
        "{claim:?}"
    );
}

#[test]
fn limits_and_early_stops() {
    let folder = tempfile::tempdir().unwrap();
    let finished = run(&folder.path().join("steps"), &["run.max_steps=3"]);
    let limit = Stop::Budget { limit: "run.max_steps = 3".into() };
    assert!(finished.summary.arms.iter().all(|arm| arm.stop == limit && arm.steps == 3));
    assert_eq!(finished.summary.stop, limit);
    let finished = run(
        &folder.path().join("early"),
        &["steps=100", "run.early_stop={metric=\"best\", patience=4, min_change=1e9}"],
    );
    assert!(matches!(&finished.summary.arms[0].stop, Stop::EarlyStopped { patience: 4, .. }));
    assert_eq!(finished.summary.arms[0].steps, 5);
    let finished =
        run(&folder.path().join("time"), &["steps=100000", "pause_ms=5", "run.max_secs=0.05"]);
    assert!(
        matches!(&finished.summary.arms[1].stop, Stop::Budget { limit } if limit == "run.max_secs = 0.05")
    );
}

#[test]
fn wrong_recipes_leave_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let fails = |set: &[&str]| {
        let error =
            launch(&registry(Trap::default()), &request(&out, set), Session::quiet()).unwrap_err();
        assert!(!out.exists());
        error
    };
    let error = fails(&["arms.fast.rate=-1"]);
    assert!(
        matches!(&error, Error::Recipe(error) if **error == RecipeError {
            place: "--set arms.fast.rate=-1".into(),
            arm: Some("fast".into()),
            key: "rate".into(),
            problem: "expected a number above 0, found the number -1".into(),
        }),
        "{error}"
    );
    let error = fails(&["claims=[\"fats.loss > 0\"]"]).to_string();
    assert!(
        error.contains("this run has no figure `fats.loss`; did you mean `fast.loss`?"),
        "{error}"
    );
    let error = fails(&["claims=[\"fast.los > 0\"]"]).to_string();
    assert!(
        error.contains("this run has no figure `fast.los`; did you mean `fast.loss`?"),
        "{error}"
    );
    let error = fails(&["quick=true"]).to_string();
    assert_eq!(error, "--set quick=true: quick: the quick form is chosen by the option --quick");
    let error = fails(&["kind=tyo"]).to_string();
    assert_eq!(
        error,
        "--set kind=tyo: kind: there is no recipe kind called `tyo`; did you mean `toy`? Valid names: toy"
    );
}

#[test]
fn names_of_recipes_and_files_are_told_apart() {
    let registry = registry(Trap::default());
    assert_eq!(Source::find(&registry, "toy-race").unwrap(), Source::Builtin("toy-race".into()));
    assert_eq!(Source::find(&registry, "mine.toml").unwrap(), Source::File("mine.toml".into()));
    let error = Source::find(&registry, "toy-rac").unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no recipe called `toy-rac`; did you mean `toy-race`? Valid names: toy-race"
    );
    registry.check().unwrap();
}

#[test]
fn audits_check_derivatives() {
    let request = Request::new(Source::Builtin(TOY.name.into()));
    let audits = audits(&registry(Trap::default()), &request).unwrap();
    assert_eq!(audits[0].name(), "loss");
    assert!(audits[0].check(2).unwrap() < 1e-6);
}

#[test]
fn three_ranks_write_one_folder_with_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("ranks"));
    run(&whole, &[]);
    // Rank 1 is interrupted; all must stop at the same step and resume together.
    let summaries = Ranks::threads(3, |ranks| {
        let trap = if ranks.rank() == 1 { trap_after(4) } else { Trap::default() };
        let session = Session { ranks, interrupt: trap.interrupt.clone(), ..Session::quiet() };
        launch(&registry(trap), &request(&out, &[]), session).unwrap()
    });
    assert!(
        summaries
            .iter()
            .all(|finished| finished.summary.stop == Stop::Interrupted
                && finished.summary.steps == 4)
    );
    assert_eq!(summaries.iter().filter(|finished| finished.folder.is_some()).count(), 1);
    let resumed = Ranks::threads(3, |ranks| {
        resume(&registry(Trap::default()), &out, Session { ranks, ..Session::quiet() })
            .unwrap()
            .summary
    });
    assert!(
        resumed.iter().all(|summary| summary.figures == resumed[0].figures && summary.ranks == 3)
    );
    assert_eq!(essence(&out), essence(&whole));
    let errors = Ranks::threads(2, |ranks| {
        resume(&registry(Trap::default()), &out, Session { ranks, ..Session::quiet() })
            .unwrap_err()
            .to_string()
    });
    assert!(errors.iter().all(|error| error.contains("this run is finished")), "{errors:?}");
}

#[test]
fn default_folders_count_up() {
    let folder = tempfile::tempdir().unwrap();
    let create = || folder::counted(folder.path(), "toy").unwrap();
    assert_eq!(create(), folder.path().join("toy-1"));
    assert_eq!(create(), folder.path().join("toy-2"));
}
