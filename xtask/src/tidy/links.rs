//! Relative links in Markdown: each must lead to a file.
//!
//! It never goes to the network; addresses elsewhere are not looked at, and neither are headings.

use std::path::Path;

use super::{Finding, Rule};

static LINK: Rule = Rule { name: "link", why: "A reader who follows it would find nothing there." };

/// Checks the rule of this module on one document.
pub(super) fn check(root: &Path, file: &str, text: &str) -> Vec<Finding> {
    let folder = root.join(file).parent().map_or(root.to_owned(), Path::to_owned);
    let exists = |target: &str| match target.strip_prefix('/') {
        Some(target) => root.join(target).exists(),
        None => folder.join(target).exists(),
    };
    let mut findings = Vec::new();
    let mut in_block = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let prose = without_code(line);
            for target in targets(&prose).filter(|target| !exists(target)) {
                let what = format!("there is no {target}");
                findings.push(Finding { file: file.to_owned(), line: index + 1, rule: &LINK, what });
            }
        }
    }
    findings
}

/// The line without its code spans, where brackets are just brackets.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // A backtick that is never closed quotes nothing.
    let closed = parts.len() - usize::from(parts.len().is_multiple_of(2));
    parts
        .iter()
        .enumerate()
        .filter(|(index, _)| index % 2 == 0 || *index >= closed)
        .map(|(_, part)| *part)
        .collect()
}

/// Where the links of a line lead, without headings: of `[text](target)`, and of the definition `[name]:
/// target`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    inline
        .chain(definition.map(|(_, target)| target))
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("docs/there.md"), "").unwrap();
        check(root.path(), "docs/a.md", text).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        assert_eq!(lines("# A\n[b](there.md) and [c](gone.md)\n"), [2]);
        assert_eq!(lines("[`code`](gone.md#part \"title\")"), [1]);
        assert_eq!(lines("[b](../there.md)\n[c](/there.md)"), [1, 2]);
        assert_eq!(lines("[b]: gone.md"), [1]);
        assert_eq!(lines("an open ` and [b](gone.md)"), [1]);
    }

    #[test]
    fn a_link_to_something_is_not() {
        assert_eq!(lines("[b](there.md#part) [c](/docs/there.md) [d](../docs) [e](<there.md>)"), [0; 0]);
        assert_eq!(lines("[b](https://example.org/x) [c](mailto:a@b) [d](#here)"), [0; 0]);
        assert_eq!(lines("`[b](gone.md)`\n```text\n[b](gone.md)\n```"), [0; 0]);
    }
}
