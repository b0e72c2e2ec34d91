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
        match (json, self.done) {
            (true, _) => print_line(self.json()),
            (false, true) => print_line(format_args!("done: {}", self.text)),
            (false, false) => print_line(self.text),
        }?;
        Ok(ExitCode::SUCCESS)
    }

    fn json(self) -> Value {
        let mut object = Map::new();
        object.insert("done".to_owned(), self.done.into());
        object.insert("text".to_owned(), self.text.into());
        object.extend(self.more);
        Value::Object(object)
    }
}
