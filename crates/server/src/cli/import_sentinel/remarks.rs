//! What a person is told beside the configuration: what is to be done, in what the files differ, and each directive
//! without a counterpart. It shows no value of such a line.

use std::fmt;

use serde_json::{Value, json};

use super::configuration::Configuration;
use crate::sentinel_conf::{Deployment, Unknown};

/// The list.
pub(super) struct Remarks<'a> {
    deployment: &'a Deployment,
    to_do: &'a [String],
}

impl<'a> Remarks<'a> {
    /// What is to be said of this deployment and what was made of it.
    pub(super) fn of(deployment: &'a Deployment, configuration: &'a Configuration) -> Self {
        Self { deployment, to_do: &configuration.to_do }
    }

    /// The list for programs.
    pub(super) fn json(&self) -> Value {
        let unmatched = self.deployment.unmatched.iter().map(|absence| {
            let places: Vec<_> = absence.places.iter().map(|it| json!({ "file": *it.file, "line": it.line })).collect();
            let (did, here, meant) = match &absence.fate {
                Unknown::Without(did, here) => (Some(*did), Some(*here), None),
                Unknown::NoDirective(meant) => (None, None, meant.as_deref()),
            };
            let directive = &absence.directive;
            json!({ "directive": directive, "places": places, "did": did, "here": here, "did_you_mean": meant })
        });
        json!({
            "to_do": self.to_do,
            "differences": self.deployment.differences,
            "without_counterpart": unmatched.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Remarks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in self.to_do {
            writeln!(f, "to do: {what}")?;
        }
        for difference in &self.deployment.differences {
            writeln!(f, "differs: {difference}")?;
        }
        for absence in &self.deployment.unmatched {
            match &absence.fate {
                Unknown::Without(did, here) => {
                    writeln!(f, "without counterpart: {absence}: {did}; here: {here}")?;
                }
                Unknown::NoDirective(Some(meant)) => {
                    writeln!(f, "unknown: {absence}: did you mean `{meant}`?")?;
                }
                Unknown::NoDirective(None) => writeln!(f, "unknown: {absence}: no directive of Sentinel's")?,
            }
        }
        Ok(())
    }
}
