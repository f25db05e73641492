//! What a person sees at a terminal, with and without colour.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};

use crate::support::Place;

/// Standard error of a run whose standard error is a terminal of 80 columns.
fn at_a_terminal(variables: &[(&str, &str)]) -> String {
    let place = Place::new();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let mut command =
        place.command(&["run", "long.toml", "--set", "training.epochs=4", "--out", "run"]);
    command.env("TERM", "xterm").envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::from(pty.slave)).spawn().unwrap();
    // It holds the terminal's other end, which must close for the reading to end.
    drop(command);
    let mut seen = Vec::new();
    // Once the last writer is gone, Linux says so with an error.
    let _ = File::from(pty.master).read_to_end(&mut seen);
    assert!(child.wait().unwrap().success());
    String::from_utf8_lossy(&seen).into_owned()
}

/// Whether the text sets a colour or a weight: `ESC [ digits m`.
fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
    })
}

#[test]
fn a_terminal_shows_live_progress_in_colour() {
    let seen = at_a_terminal(&[]);
    assert!(is_coloured(&seen), "{seen:?}");
    // A bar that is drawn over itself.
    assert!(seen.contains('━') && seen.contains("\x1b["), "{seen:?}");
    assert!(seen.contains("sgd (1/2)") && seen.contains("completed"), "{seen:?}");
}

#[test]
fn no_color_is_honoured() {
    let seen = at_a_terminal(&[("NO_COLOR", "1")]);
    assert!(!is_coloured(&seen), "{seen:?}");
    assert!(seen.contains("sgd (1/2)"), "{seen:?}");
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let seen = at_a_terminal(&[("TERM", "dumb")]);
    assert!(!seen.contains('\x1b') && !seen.contains('━'), "{seen:?}");
    assert!(seen.contains("sgd (1/2): completed"), "{seen:?}");
}
