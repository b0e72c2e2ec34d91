//! What a person or a program is told when a command cannot be done: kind, cause and hint. It never contains a secret.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::output;

/// What kind of failure it is. Each has its word in JSON and its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was tried, and failed.
    Failed,
    /// The leading monitor refused it.
    Refused,
    /// Nobody said yes.
    NotConfirmed,
    /// No monitor leads, so nobody was asked.
    NoLeader,
    /// The leading monitor was asked and gave no answer: it may have been done.
    Unclear,
    /// The command line is wrong.
    Usage,
    /// The store can't be reached.
    StoreUnreachable,
}

impl Kind {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] = [
        Self::Failed,
        Self::Refused,
        Self::NotConfirmed,
        Self::NoLeader,
        Self::Unclear,
        Self::Usage,
        Self::StoreUnreachable,
    ];

    /// The word for it in JSON, which stays.
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::NotConfirmed => "not_confirmed",
            Self::NoLeader => "no_leader",
            Self::Unclear => "unclear",
            Self::Usage => "usage",
            Self::StoreUnreachable => "unreachable",
        }
    }

    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed | Self::Refused | Self::NotConfirmed | Self::NoLeader | Self::Unclear => 1,
            Self::Usage => 2,
            Self::StoreUnreachable => 3,
        }
    }

    /// Whether what was asked for was done; `None` where nobody knows.
    fn done(self) -> Option<bool> {
        if self == Self::Unclear { None } else { Some(false) }
    }
}

/// A failure to be shown to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Of which kind it is.
    pub kind: Kind,
    /// What went wrong, with its cause.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The name of what was found instead (docs/reference/status.md), where it has one.
    pub state: Option<&'static str>,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hint: None, state: None }
    }

    /// The same with a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same with the name of what was found instead.
    #[must_use]
    pub(crate) fn state(mut self, state: &'static str) -> Self {
        self.state = Some(state);
        self
    }

    /// Tells it on standard error, and where a program reads (`--json`) on standard output, too. Returns the exit code.
    pub(crate) fn tell(&self, json: bool) -> ExitCode {
        output::tell(self);
        if json && let Err(unwritten) = output::print_line(self.json()) {
            output::tell(unwritten);
        }
        ExitCode::from(self.kind.code())
    }

    /// The object that a program reads. Its keys are always the same, and `states` where what was found has a name.
    fn json(&self) -> Value {
        let mut object = json!({
            "done": self.kind.done(),
            "kind": self.kind.word(),
            "error": self.message,
            "hint": self.hint,
        });
        if let Some(state) = self.state {
            object["states"] = json!([state]);
        }
        object
    }
}

/// A command line that was not understood: what is wrong with it is clap's first paragraph, the others are the hint.
impl From<&clap::Error> for Failure {
    fn from(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let line = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut paragraphs = text.split("\n\n").map(line).filter(|line| !line.is_empty());
        let failure = Self::new(Kind::Usage, paragraphs.next().unwrap_or_default());
        let rest: Vec<_> = paragraphs.collect();
        if rest.is_empty() { failure } else { failure.hint(rest.join("; ")) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = if self.kind == Kind::Refused { "refused: " } else { "" };
        write!(f, "error: {refused}{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_word_its_exit_code_and_says_whether_it_was_done() {
        let told = |kind: Kind| {
            let json = Failure::new(kind, "why").hint("what to do").json();
            assert_eq!((&json["error"], &json["hint"]), (&"why".into(), &"what to do".into()));
            (json["kind"].clone(), json["done"].clone(), kind.code())
        };
        let no = Value::from(false);
        assert_eq!(told(Kind::Failed), ("failed".into(), no.clone(), 1));
        assert_eq!(told(Kind::Refused), ("refused".into(), no.clone(), 1));
        assert_eq!(told(Kind::NotConfirmed), ("not_confirmed".into(), no.clone(), 1));
        assert_eq!(told(Kind::NoLeader), ("no_leader".into(), no.clone(), 1));
        assert_eq!(told(Kind::Unclear), ("unclear".into(), Value::Null, 1));
        assert_eq!(told(Kind::Usage), ("usage".into(), no.clone(), 2));
        assert_eq!(told(Kind::StoreUnreachable), ("unreachable".into(), no, 3));
    }

    #[test]
    fn a_refusal_is_told_as_one() {
        assert_eq!(Failure::new(Kind::Refused, "it serves").to_string(), "error: refused: it serves");
        assert_eq!(Failure::new(Kind::Failed, "gone").hint("look").to_string(), "error: gone\nhint: look");
    }

    #[test]
    fn what_was_found_instead_is_named_where_it_has_a_name() {
        let failure = Failure::new(Kind::Failed, "nothing is published");
        assert_eq!(failure.json().get("states"), None);
        assert_eq!(failure.state("nothing-published").json()["states"], json!(["nothing-published"]));
    }
}
