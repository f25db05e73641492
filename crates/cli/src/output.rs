//! Standard output, errors, exit codes.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// A command that failed: what to tell, and the exit code.
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// A wrong request: exit code 2.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 2 }
    }

    /// Something went wrong: exit code 1.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: 1 }
    }

    /// Tells it on standard error.
    pub fn report(&self) -> ExitCode {
        tell(&format!("error: {}", self.message));
        ExitCode::from(self.code)
    }
}

impl From<lisse::run::Error> for Failure {
    fn from(error: lisse::run::Error) -> Failure {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        use lisse::run::Error;
        let usage = matches!(
            error,
            Error::Recipe(_) | Error::Claim(_) | Error::Unknown { .. } | Error::FolderExists { .. }
        );
        let code = if usage { 2 } else { 1 };
        Failure { message, code }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}

/// Writes to standard output. A reader that went away (`lisse list | head`) ends the program quietly.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// Writes pretty JSON to standard output.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::failed(e.to_string()))?;
    print(&format!("{text}\n"))
}

/// Writes a line to standard error.
pub fn tell(line: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
