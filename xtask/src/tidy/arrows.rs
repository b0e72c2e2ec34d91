//! Arrows between modules: who must not know whom inside a crate.
//!
//! It never looks at manifests; arrows between crates are there, see `manifests`.

use super::source::{Source, names};
use super::{Finding, Rule};

static ZOOKEEPER: Rule = Rule {
    name: "one place for ZooKeeper",
    why: "All others know only the `Store` trait, so that another store can stand in.",
};
static MODULES: Rule = Rule {
    name: "module arrow",
    why: "What follows the record must work without a monitor in its process, and must not bypass the store.",
};

/// The only modules that name the ZooKeeper client.
const ZOOKEEPER_PATHS: [&str; 2] = ["crates/store/src/zookeeper/", "crates/store/src/zookeeper.rs"];
/// Modules, and what they must not import. `cli/run.rs` is no exception: it composes through `crate::app`.
const FORBIDDEN: [(&str, &str); 5] = [
    ("crates/server/src/gateway", "monitor"),
    ("crates/server/src/sentinel", "monitor"),
    ("crates/server/src/dashboard", "monitor"),
    ("crates/server/src/cli", "monitor"),
    ("crates/server/src/journal", "monitor"),
];

/// Checks all rules of this module. Tests may name the ZooKeeper client: they play foreign clients.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, rule: &'static Rule, what: String| {
        findings.push(Finding { file: source.path.clone(), line, rule, what });
    };
    if !ZOOKEEPER_PATHS.iter().any(|path| source.path.starts_with(path)) {
        let named = |line: &usize| names(&source.lines[line - 1].code, "zookeeper_client");
        for line in (1..=source.tests_from).filter(named) {
            find(line, &ZOOKEEPER, "`zookeeper_client` is named here".into());
        }
    }
    for (module, forbidden) in FORBIDDEN {
        if is_in(&source.path, module) {
            for line in lines_naming(source, forbidden) {
                find(line, &MODULES, format!("`{module}` must not know `{forbidden}`"));
            }
        }
    }
    findings
}

/// Whether a file belongs to a module: `module.rs` or anything below `module/`.
fn is_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The lines with a path to a top-level module, be it `crate::module` or a member of `crate::{…}`.
fn lines_naming(source: &Source, module: &str) -> Vec<usize> {
    let code: Vec<&str> = source.lines.iter().map(|line| line.code.as_str()).collect();
    let code = code.join("\n");
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    ["crate::", "super::"]
        .iter()
        .flat_map(|root| code.match_indices(root).map(|(at, root)| at + root.len()))
        .flat_map(|at| heads(&code, at))
        .filter(|&at| is_name(&code[at..], module))
        .map(line_of)
        .collect()
}

/// Where the names begin that follow a path's `::`, one or, in braces, several.
fn heads(code: &str, at: usize) -> Vec<usize> {
    if !code[at..].starts_with('{') {
        return vec![at];
    }
    let mut depth = 0;
    let mut heads = Vec::new();
    for (offset, c) in code[at..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (c == '{' || c == ',') {
            let rest = &code[at + offset + 1..];
            heads.push(code.len() - rest.trim_start().len());
        }
    }
    heads
}

fn is_name(code: &str, name: &str) -> bool {
    code.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let findings = check(&Source::parse(path, text));
        findings.iter().map(|finding| (finding.line, finding.rule.name)).collect()
    }

    #[test]
    fn only_the_zookeeper_store_and_tests_name_its_client() {
        let bad = "// zookeeper_client\nuse zookeeper_client::Client;\n";
        assert_eq!(found("crates/store/src/embedded.rs", bad), [(2, ZOOKEEPER.name)]);
        assert_eq!(found("crates/store/src/zookeeper/paths.rs", bad), []);
        assert_eq!(found("crates/store/tests/contract.rs", bad), []);
    }

    #[test]
    fn followers_do_not_know_the_monitor() {
        let bad = "use crate::monitor::Monitor;\n";
        for path in ["gateway/mod.rs", "sentinel.rs", "dashboard/page.rs", "cli/run.rs", "journal/mod.rs"] {
            assert_eq!(found(&format!("crates/server/src/{path}"), bad), [(1, MODULES.name)], "{path}");
        }
        assert_eq!(found("crates/server/src/app.rs", bad), []);
        assert_eq!(found("crates/server/src/client.rs", bad), [], "`client` is not `cli`");
    }

    #[test]
    fn an_import_in_braces_is_found() {
        let bad = "use crate::{\n    app::{self, x},\n    monitor::{self},\n};\n";
        assert_eq!(found("crates/server/src/cli/run.rs", bad), [(3, MODULES.name)]);
        let bad = "fn f() { super::super::monitor::g() }\n";
        assert_eq!(found("crates/server/src/cli/run.rs", bad), [(1, MODULES.name)]);
    }

    #[test]
    fn words_alike_are_no_import() {
        let good =
            "use crate::{app::monitor, x};\nuse crate::monitoring;\nlet monitor = 1; // crate::monitor\n";
        assert_eq!(found("crates/server/src/cli/run.rs", good), []);
    }
}
