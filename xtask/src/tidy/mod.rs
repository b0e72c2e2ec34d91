//! `cargo xtask tidy`: the rules of this repository that no compiler checks, each with its reason.
//!
//! It never changes a file, and never repeats what `rustc` or `clippy` already check: function length, for
//! one, is `clippy::too_many_lines`. Where a rule makes the code worse, change the rule here and say why.

mod arrows;
mod links;
mod manifests;
mod redis_commands;
mod source;
mod test_names;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use source::Source;
use test_names::Names;

/// What must hold, and why.
struct Rule {
    name: &'static str,
    /// One sentence, shown with the findings.
    why: &'static str,
}

/// A place where a rule does not hold.
struct Finding {
    /// The file, relative to the repository.
    file: String,
    /// Counted from 1.
    line: usize,
    rule: &'static Rule,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, what } = self;
        write!(f, "{file}:{line}: {}: {what}", rule.name)
    }
}

/// Checks the repository that is the current directory and prints every finding.
pub(crate) fn run() -> Result<()> {
    let findings = check(Path::new("."))?;
    eprint!("{}", report(&findings));
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} findings"),
    }
}

/// All findings of a rule together, then its reason, for it is the same one for all.
fn report(findings: &[Finding]) -> String {
    let mut by_rule: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_rule.entry(finding.rule.name).or_default().push(finding);
    }
    let mut lines = Vec::new();
    for findings in by_rule.values() {
        lines.extend(findings.iter().map(ToString::to_string));
        lines.push(format!("    why: {}", findings[0].rule.why));
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = manifests::check(root)?;
    let mut names = Names::default();
    for file in files(root, "crates", "rs")?.into_iter().chain(files(root, "xtask", "rs")?) {
        let text = read(root, &file)?;
        names.add_source(&file, &text);
        findings.extend(check_source(&Source::parse(&file, &text)));
    }
    files(root, "crates", "txt")?.iter().for_each(|file| names.add_scenario(file));
    let top = files_in(root, Path::new(""), "md", false)?;
    for file in top.into_iter().chain(files(root, "docs", "md")?) {
        let text = read(root, &file)?;
        findings.extend(links::check(root, &file, &text));
        findings.extend(test_names::check(&names, &file, &text));
    }
    Ok(findings)
}

fn check_source(source: &Source) -> Vec<Finding> {
    [text::check(source), arrows::check(source), redis_commands::check(source)]
        .into_iter()
        .flatten()
        .collect()
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

/// The files below a folder, in order, relative to `root`; none where there is no such folder.
fn files(root: &Path, folder: &str, extension: &str) -> Result<Vec<String>> {
    files_in(root, Path::new(folder), extension, true)
}

fn files_in(root: &Path, folder: &Path, extension: &str, deep: bool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        if !path.is_dir() {
            continue;
        }
        for entry in path.read_dir().with_context(|| format!("cannot read {}", path.display()))? {
            let entry = entry?;
            let relative: PathBuf = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                if deep && entry.file_name() != "target" {
                    folders.push(relative);
                }
            } else if relative.extension().is_some_and(|found| found == extension) {
                found.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_and_why() {
        static RULE: Rule = Rule { name: "no smoke", why: "There may be a fire." };
        let finding = |line| Finding { file: "a.rs".into(), line, rule: &RULE, what: "smoke".into() };
        let expected = "a.rs:7: no smoke: smoke\na.rs:9: no smoke: smoke\n    why: There may be a fire.\n";
        assert_eq!(report(&[finding(7), finding(9)]), expected);
        assert_eq!(report(&[]), "");
    }

    #[test]
    fn files_are_found_in_order_and_build_output_is_not() {
        let root = tempfile::tempdir().unwrap();
        for name in ["crates/b/src/x.rs", "crates/a/src/y.rs", "crates/a/target/z.rs", "crates/a/n.md"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(files(root.path(), "crates", "rs").unwrap(), ["crates/a/src/y.rs", "crates/b/src/x.rs"]);
        assert!(files(root.path(), "missing", "rs").unwrap().is_empty());
    }

    #[test]
    fn every_rule_on_sources_is_called() {
        let bad = r#"use zookeeper_client::Client; fn f() { send("REPLICAOF") }"#;
        let findings = check_source(&Source::parse("crates/server/src/x.rs", bad));
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.name).collect();
        assert_eq!(rules, ["module doc", "one place for ZooKeeper", "one place for administrative commands"]);
    }
}
