//! What a person is told when a trial cannot be done, or did not show what it should: cause and hint.

use std::fmt;
use std::process::ExitCode;

/// A failure to be shown to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// Something failed: exit code 1.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None, code: 1 }
    }

    /// The command line is wrong: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// Somebody pressed Ctrl-C: exit code 130, as shells have it.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, ..Self::new("interrupted; all that was started is ended") }
    }

    /// The same with a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same, said of a part of the whole.
    #[must_use]
    pub(crate) fn within(mut self, part: impl fmt::Display) -> Self {
        self.message = format!("{part}: {}", self.message);
        self
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.code.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
