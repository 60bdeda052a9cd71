//! What the launcher says on the terminal. Progress goes to stderr, so that the output of a command
//! run by `deps` stays clean on stdout. A closed terminal is not an error: writing is best effort.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line of progress or advice to stderr.
pub fn say(line: impl Display) {
    let written = writeln!(io::stderr().lock(), "{line}");
    drop(written);
}

/// Writes one line of a command's result to stdout.
pub fn print(line: impl Display) {
    let written = writeln!(io::stdout().lock(), "{line}");
    drop(written);
}

/// Writes an error with its causes to stderr, on one line.
pub fn fail(error: &anyhow::Error) {
    say(format_args!("careeros-fleet: {error:#}"));
}
