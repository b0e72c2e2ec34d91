//! What came of a command that asks for a change, as it is shown: in words, or as one JSON object. What failed or was
//! refused is never one: that is a [`Failure`].

use std::process::ExitCode;

use redis_failover_core::Answer;
use serde_json::{Map, Value};

use crate::failure::{Failure, Kind};
use crate::output::print_line;

/// What came of it.
pub(super) struct Outcome {
    /// Whether it is as it was wanted; not where it was only looked at.
    done: bool,
    text: String,
    more: Map<String, Value>,
}

impl Outcome {
    /// It is as it was wanted.
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self { done: true, text: text.into(), more: Map::new() }
    }

    /// It was only looked at, as wished.
    pub(super) fn looked_at(text: impl Into<String>) -> Self {
        Self { done: false, ..Self::done(text) }
    }

    /// What the leader answered.
    ///
    /// # Errors
    /// When it refused.
    pub(super) fn of(answer: Answer) -> Result<Self, Failure> {
        match answer {
            Answer::Done(text) => Ok(Self::done(text)),
            Answer::Refused(text) => Err(Failure::new(Kind::Refused, text)),
        }
    }

    /// The same with one more key for those who read JSON.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// Shows it.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn show(self, json: bool) -> Result<ExitCode, Failure> {
        print_line(if json { self.json().to_string() } else { self.words() })?;
        Ok(ExitCode::SUCCESS)
    }

    fn words(self) -> String {
        if self.done { format!("done: {}", self.text) } else { self.text }
    }

    fn json(self) -> Value {
        let mut object = Map::new();
        object.insert("done".to_owned(), self.done.into());
        object.insert("text".to_owned(), self.text.into());
        object.extend(self.more);
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_what_was_only_looked_at_differ() {
        assert_eq!(Outcome::done("paused").words(), "done: paused");
        assert_eq!(Outcome::done("paused").json().to_string(), r#"{"done":true,"text":"paused"}"#);
        assert_eq!(Outcome::looked_at("b would lead").words(), "b would lead");
        let json = Outcome::looked_at("b would lead").with("more", 1).json().to_string();
        assert_eq!(json, r#"{"done":false,"text":"b would lead","more":1}"#);
    }

    #[test]
    fn an_answer_is_done_or_a_failure() {
        let done = Outcome::of(Answer::Done("it is".into())).expect("it is done");
        assert_eq!(done.words(), "done: it is");
        let refused = Outcome::of(Answer::Refused("it serves".into())).err();
        assert_eq!(refused, Some(Failure::new(Kind::Refused, "it serves")));
    }
}
