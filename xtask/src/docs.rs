//! The documents that are generated: for now the command line reference, from the binary's own help.
//!
//! It never edits a document that people write, and with `--check` it writes nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::{self, cargo};

const CLI: &str = "docs/reference/cli.md";
/// How the binary's environment variables begin.
const VARIABLES: &[u8] = b"REDIS_FAILOVER";

/// Writes every generated document, or with `check` fails where one is not what would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    publish(Path::new(CLI), &command_line_reference(help)?, check)
}

fn publish(path: &Path, text: &str, check: bool) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let name = path.display();
    if check {
        bail!("{name} is stale or missing; `cargo xtask docs` renews it");
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {name}"))
}

/// The reference as Markdown. `help` answers with the help of a subcommand, or of the program itself without
/// one.
fn command_line_reference(help: impl Fn(&[&str]) -> Result<String>) -> Result<String> {
    let top = help(&[])?;
    let mut page = String::from("# Command line\n\n");
    page += "<!-- Made by `cargo xtask docs` from the binary's own help. Edit the help, not this file. -->\n";
    section(&mut page, "redis-failover", &top);
    for name in subcommands(&top) {
        section(&mut page, &format!("redis-failover {name}"), &help(&[name])?);
    }
    Ok(page)
}

fn section(page: &mut String, title: &str, help: &str) {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    write!(page, "\n## `{title}`\n\n```text\n{}\n```\n", lines.join("\n")).expect("a String takes all text");
}

/// The names under `Commands:`, without `help`, which says nothing of its own.
fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .skip_while(|line| line.trim_end() != "Commands:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        // Deeper lines are descriptions.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
}

fn help(words: &[&str]) -> Result<String> {
    let mut command = cargo("run --quiet --locked -p redis-failover-server --bin redis-failover --");
    // Help shows the present value of a variable that stands for a flag; the reference must not.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(VARIABLES)) {
        command.env_remove(name);
    }
    command::output(command.args(words).arg("--help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: &str = "\
Failover.

Commands:
  run     Start\x20
  check-config
          Read it

  help    Print

Options:
  -h, --help
";

    #[test]
    fn every_subcommand_but_help_is_found() {
        assert_eq!(subcommands(TOP).collect::<Vec<_>>(), ["run", "check-config"]);
        assert_eq!(subcommands("Usage: x\n").count(), 0);
        assert_eq!(subcommands("").count(), 0);
    }

    #[test]
    fn the_reference_has_a_section_per_command() {
        let help = |words: &[&str]| {
            Ok(if words.is_empty() { TOP.into() } else { format!("Help of {} \n\n", words[0]) })
        };
        let page = command_line_reference(help).unwrap();
        assert!(page.starts_with("# Command line\n"));
        assert!(page.contains("## `redis-failover`\n\n```text\nFailover.\n"), "{page}");
        assert!(page.ends_with("\n## `redis-failover check-config`\n\n```text\nHelp of check-config\n```\n"));
        assert!(!page.contains("Start \n"), "trailing blanks survive");
    }

    #[test]
    fn check_refuses_a_stale_page_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/page.md");
        let error = publish(&path, "new", true).unwrap_err().to_string();
        assert!(error.contains("page.md") && error.contains("`cargo xtask docs`"), "{error}");
        assert!(!path.exists());

        publish(&path, "new", false).unwrap();
        publish(&path, "new", true).unwrap();
        assert!(publish(&path, "newer", true).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
