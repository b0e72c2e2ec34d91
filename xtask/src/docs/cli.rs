//! The references of the command line, from the binary's own help, and of configuration files, from its list of keys.
//!
//! It never edits their words.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// Where the reference is.
pub(super) const PATH: &str = "docs/reference/cli.md";
/// Where the reference of configuration files is.
pub(super) const KEYS_PATH: &str = "docs/reference/config.md";
/// How the binary's environment variables begin.
const VARIABLES: &[u8] = b"REDIS_FAILOVER";

/// The reference as Markdown.
pub(super) fn reference(program: &Path) -> Result<String> {
    render(|words| command::output(quiet(program).args(words).arg("--help")))
}

/// `help` answers with the help of a subcommand, or of the program itself without one.
fn render(help: impl Fn(&[&str]) -> Result<String>) -> Result<String> {
    let top = help(&[])?;
    let mut page = String::from("# Command line\n\n");
    page += "<!-- Made by `cargo xtask docs` from the binary's own help. Edit the help, not this file. -->\n";
    section(&mut page, "redis-failover", &top);
    exit_codes(&mut page, &top);
    sections_below(&mut page, &[], &top, &help)?;
    Ok(page)
}

/// The sections of the commands of which `above` is the help, each before those of its own commands.
fn sections_below(
    page: &mut String,
    words: &[&str],
    above: &str,
    help: &impl Fn(&[&str]) -> Result<String>,
) -> Result<()> {
    for name in subcommands(above) {
        let words = [words, &[name]].concat();
        let text = help(&words)?;
        section(page, &format!("redis-failover {}", words.join(" ")), &text);
        sections_below(page, &words, &text, help)?;
    }
    Ok(())
}

/// What stands under `Exit codes:` as a table.
fn exit_codes(page: &mut String, top: &str) {
    let lines = top.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let rows = lines.map_while(|line| line.strip_prefix("  ")?.split_once("  "));
    *page += "\n## Exit codes\n\n| code | what it means |\n|---|---|\n";
    for (code, meaning) in rows {
        writeln!(page, "| {code} | {} |", meaning.trim()).expect("a String takes all text");
    }
}

/// The reference of configuration files as Markdown.
pub(super) fn keys(program: &Path) -> Result<String> {
    let mut page = String::from("# Configuration file\n\n");
    page += "<!-- Made by `cargo xtask docs` from the binary's own list of keys. Edit that, not this file. -->\n\n";
    page += &command::output(quiet(program).arg("config-keys"))?;
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

/// The program, without variables that stand for flags: help shows their present values, and the reference must not.
fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(VARIABLES)) {
        command.env_remove(name);
    }
    command
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

Exit codes:
  0      Done
  128+N  Ended
";

    const READ: &str = "\
Read it.

Commands:
  show  Show

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
            Ok(match words {
                [] => TOP.into(),
                ["check-config"] => READ.into(),
                words => format!("Help of {} \n\n", words.join(" ")),
            })
        };
        let page = render(help).unwrap();
        assert!(page.starts_with("# Command line\n"));
        assert!(page.contains("## `redis-failover`\n\n```text\nFailover.\n"), "{page}");
        let codes =
            "## Exit codes\n\n| code | what it means |\n|---|---|\n| 0 | Done |\n| 128+N | Ended |\n\n## ";
        assert!(page.contains(codes), "{page}");
        let nested = "## `redis-failover check-config show`\n\n```text\nHelp of check-config show\n```\n";
        assert!(page.contains("\n## `redis-failover run`\n\n```text\nHelp of run\n```\n"), "{page}");
        assert!(page.ends_with(nested), "{page}");
        assert!(!page.contains("Start \n"), "trailing blanks survive");
    }
}
