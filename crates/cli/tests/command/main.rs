//! The command as a person or a program meets it: the built binary, in a fresh folder, with small recipes.

mod bad_input;
mod inspect;
mod interrupted;
mod list;
mod run;
mod support;
#[cfg(unix)]
mod terminal;
mod transport;
