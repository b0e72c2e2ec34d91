//! The program's standard output, for what a command shows, and standard error, for what it says beside that. It knows
//! nothing of what that is.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};

use crate::failure::{Failure, Kind};

/// Writes `text` as it is.
///
/// # Errors
/// When it can't be written. That whoever reads has seen enough is none: `history | head` is well.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    print_bytes(text.to_string().as_bytes())
}

/// Writes `bytes` as they are.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(failed(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `text` and ends the line.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_line(text: impl fmt::Display) -> Result<(), Failure> {
    print(format_args!("{text}\n"))
}

/// Says `text` in a line on standard error. That nobody reads it is no reason to leave off what is being done.
pub(crate) fn tell(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What a person is told when it can't be written.
pub(crate) fn failed(error: &io::Error) -> Failure {
    Failure::new(Kind::Failed, format!("standard output: {error}"))
}
