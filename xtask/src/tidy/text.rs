//! Rules on the text of one file: lengths, module docs, sleeps in tests, leftovers.
//!
//! It never looks at more than one file, and leaves the length of functions to `clippy::too_many_lines`.

use super::source::{Source, names};
use super::{Finding, Rule};

static FILE_LENGTH: Rule = Rule {
    name: "file length",
    why: "A short file is read as a whole; a long one holds two things that want names.",
};
static LINE_LENGTH: Rule = Rule {
    name: "line length",
    why: "rustfmt breaks code at this width but leaves comments and literals; they are read in diffs too.",
};
static MODULE_DOC: Rule = Rule {
    name: "module doc",
    why: "A reader first needs to know what the module is and what it never does.",
};
static BARE_SLEEP: Rule = Rule {
    name: "no bare sleep in tests",
    why: "Too long on a fast machine, too short on a slow one: wait on a predicate with a deadline.",
};
static LEFTOVER: Rule = Rule {
    name: "no leftovers",
    why: "What is unfinished belongs into an issue, where it is seen; a test that is not run proves nothing.",
};
static NO_SERDE: Rule = Rule {
    name: "nothing serialisable in core but for a journal",
    why: "An Instant of one machine means nothing on another; the store's wire format decides what crosses. What a \
          journal keeps is read back with the clock that it was written by, and is behind the feature `serde`.",
};

const MAX_LINES: usize = 400;
/// As long as a Redis server has commands; `cargo xtask docs` writes it.
const GENERATED: &str = "crates/core/src/commands/table.rs";
const MAX_COLUMNS: usize = 120;
/// The one place that sleeps: everything else waits through it.
const SLEEPS: &str = "crates/lab/src/eventually.rs";
const UNFINISHED: [&str; 4] = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
/// How a line begins that derives something only where it is asked for.
const BEHIND_FEATURE: &str = "#[cfg_attr(feature = \"serde\", ";
const MARKER: &str = "FIXME";

/// Checks all rules of this module.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, rule: &'static Rule, what: String| {
        findings.push(Finding { file: source.path.clone(), line, rule, what });
    };
    if !source.lines.first().is_some_and(|line| line.raw.starts_with("//!")) {
        find(1, &MODULE_DOC, "the file does not open with `//!`".into());
    }
    if source.tests_from > MAX_LINES && source.path != GENERATED {
        find(MAX_LINES + 1, &FILE_LENGTH, format!("{} lines, allowed are {MAX_LINES}", source.tests_from));
    }
    let is_core = source.path.starts_with("crates/core/src/");
    for (number, line) in source.numbered() {
        let columns = line.raw.chars().count();
        if columns > MAX_COLUMNS && !line.raw.contains("://") {
            find(number, &LINE_LENGTH, format!("{columns} columns, allowed are {MAX_COLUMNS}"));
        }
        if must_not_sleep(source, number) && names(&line.code, "sleep(") {
            find(number, &BARE_SLEEP, "`sleep`".into());
        }
        let unfinished = UNFINISHED.iter().find(|word| names(&line.code, word));
        let marker = line.comment.contains(MARKER).then_some(&MARKER);
        if let Some(word) = unfinished.or(marker) {
            find(number, &LEFTOVER, format!("`{word}`"));
        }
        let serialises = ["serde", "Serialize", "Deserialize"].iter().any(|word| line.code.contains(word));
        if is_core && serialises && !line.raw.trim_start().starts_with(BEHIND_FEATURE) {
            find(number, &NO_SERDE, "serde is named outside its feature".into());
        }
    }
    findings
}

/// Tests, and all of the lab, which exists for them.
fn must_not_sleep(source: &Source, line: usize) -> bool {
    (source.is_test(line) || source.path.starts_with("crates/lab/src/")) && source.path != SLEEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let findings = check(&Source::parse(path, &format!("//! Docs.\n{text}")));
        findings.iter().map(|finding| (finding.line, finding.rule.name)).collect()
    }

    #[test]
    fn a_file_opens_with_its_doc() {
        let lines = |text| check(&Source::parse("crates/a/tests/b.rs", text)).len();
        assert_eq!(lines("//! Docs.\n"), 1 - 1);
        assert_eq!(lines("use a;\n//! Docs.\n"), 1);
        assert_eq!(lines(""), 1);
    }

    #[test]
    fn a_long_file_is_found_unless_tests_or_a_server_make_it_long() {
        let lines = "x();\n".repeat(MAX_LINES);
        assert_eq!(found("crates/a/src/b.rs", &lines), [(401, "file length")]);
        assert_eq!(found("crates/a/src/b.rs", &format!("#[cfg(test)]\nmod tests {{\n{lines}}}\n")), []);
        assert_eq!(found("crates/a/src/b.rs", &lines[5..]), []);
        assert_eq!(found(GENERATED, &lines), []);
    }

    #[test]
    fn a_long_line_is_found_unless_it_is_an_address() {
        let long = "é".repeat(MAX_COLUMNS);
        assert_eq!(found("crates/a/src/b.rs", &long), []);
        assert_eq!(found("crates/a/src/b.rs", &format!("{long}x")), [(2, "line length")]);
        assert_eq!(found("crates/a/src/b.rs", &format!("// https://{long}")), []);
    }

    #[test]
    fn sleeps_are_found_in_tests_only() {
        let sleep = "std::thread::sleep(x);\n";
        let unit =
            format!("{sleep}#[cfg(test)]\nmod tests {{\n// sleep(x)\ntokio::time::sleep(x).await;\n}}\n");
        assert_eq!(found("crates/a/src/b.rs", &unit), [(6, BARE_SLEEP.name)]);
        assert_eq!(found("crates/a/tests/b.rs", sleep), [(2, BARE_SLEEP.name)]);
        assert_eq!(found("crates/lab/src/b.rs", sleep), [(2, BARE_SLEEP.name)]);
        assert_eq!(found(SLEEPS, sleep), []);
    }

    #[test]
    fn leftovers_are_found() {
        let bad = "todo!();\nunimplemented!(1);\ndbg!(x);\n#[ignore = \"slow\"]\nx(); // FIXME later\n";
        let expected: Vec<_> = (2..7).map(|line| (line, LEFTOVER.name)).collect();
        assert_eq!(found("crates/a/src/b.rs", bad), expected);
        assert_eq!(found("crates/a/src/b.rs", "f(\"todo!\"); // once a todo!\n"), []);
    }

    #[test]
    fn serde_is_found_in_core_only() {
        let bad = "#[derive(Serialize)]\nuse serde_json::x;\n// serde\n";
        assert_eq!(found("crates/core/src/b.rs", bad), [(2, NO_SERDE.name), (3, NO_SERDE.name)]);
        assert_eq!(found("crates/store/src/b.rs", bad), []);
        let optional = "#[cfg_attr(feature = \"serde\", derive(serde::Serialize))]\nstruct A;\n";
        assert_eq!(found("crates/core/src/b.rs", optional), []);
        let other = "#[cfg_attr(feature = \"std\", derive(serde::Serialize))]\nstruct A;\n";
        assert_eq!(found("crates/core/src/b.rs", other), [(2, NO_SERDE.name)]);
    }
}
