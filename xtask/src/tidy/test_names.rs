//! Tests that documents name: each must exist, in code or among the scenarios.
//!
//! It looks at code spans of two forms: `module::a_sentence_with_underscores`, which may end in an ellipsis, and
//! `name.txt`, a scenario. All other code spans are none of its business.

use std::collections::BTreeSet;

use super::{Finding, Rule};

static NAME: Rule = Rule {
    name: "test name",
    why: "A promise is believed because a test tries to break it; one that is gone proves nothing.",
};

/// Where the scenarios are.
const SCENARIOS: &str = "crates/core/tests/scenarios";

/// All functions, each as `module::name`, and all scenarios.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Takes in a file's functions. A file answers to its own name and to that of its folder.
    pub(super) fn add_source(&mut self, file: &str, text: &str) {
        let mut parts = file.trim_end_matches(".rs").rsplit('/');
        let modules: Vec<&str> = parts.by_ref().take(2).collect();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            self.0.extend(modules.iter().map(|module| format!("{module}::{name}")));
        }
    }

    /// Takes in a scenario.
    pub(super) fn add_scenario(&mut self, file: &str) {
        self.0.extend(file.strip_prefix(SCENARIOS).map(|name| name.trim_start_matches('/').to_owned()));
    }

    fn has(&self, name: &str) -> bool {
        match name.strip_suffix('…') {
            Some(beginning) => {
                self.0.range(beginning.to_owned()..).next().is_some_and(|found| found.starts_with(beginning))
            }
            None => self.0.contains(name),
        }
    }
}

/// Checks the rule of this module on one document.
pub(super) fn check(names: &Names, file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for name in line.split('`').skip(1).step_by(2).filter(|span| is_name(span) && !names.has(span)) {
            let what = format!("there is no test `{name}`");
            findings.push(Finding { file: file.to_owned(), line: index + 1, rule: &NAME, what });
        }
    }
    findings
}

/// Whether a code span names a test.
fn is_name(span: &str) -> bool {
    let is_word = |word: &str| {
        let word = word.strip_suffix('…').unwrap_or(word);
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if let Some(scenario) = span.strip_suffix(".txt") {
        return is_word(scenario);
    }
    let Some((module, name)) = span.split_once("::") else { return false };
    // The names of tests are sentences; those of other functions are not.
    let sentence = name.ends_with('…') && name != "…" || name.matches('_').count() >= 3;
    sentence && is_word(module) && is_word(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut names = Names::default();
        let tests = "#[test]\nfn a_master_that_dies() {}\n    async fn what_waits_is_told<S>() {}\n";
        names.add_source("crates/server/tests/e2e/faults.rs", tests);
        names.add_scenario("crates/core/tests/scenarios/crash.txt");
        check(&names, "docs/a.md", text).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_test_or_a_scenario_that_is_gone_is_found() {
        assert_eq!(
            found("`faults::a_master_that_lives`"),
            ["there is no test `faults::a_master_that_lives`"]
        );
        assert_eq!(found("x `faults::a_slave_…` y"), ["there is no test `faults::a_slave_…`"]);
        assert_eq!(found("`starts::a_master_that_dies`"), ["there is no test `starts::a_master_that_dies`"]);
        assert_eq!(found("`hang.txt`"), ["there is no test `hang.txt`"]);
    }

    #[test]
    fn what_is_there_and_what_is_no_test_is_not() {
        assert_eq!(found("`faults::a_master_…` `e2e::what_waits_is_told` `crash.txt`"), [""; 0]);
        assert_eq!(
            found("`faults::…` `redis_failover::outcome` `core/tests/x.txt` `Requests::a_b_c_d`"),
            [""; 0]
        );
        assert_eq!(found("`a_master_that_dies` and `status`"), [""; 0]);
    }
}
