//! The command `lisse`.
fn main() {}
