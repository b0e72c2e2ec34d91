//! What is installed beside the program: completions and man pages. No server runs here.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use common::{commands, redis_failover, words};

/// What is printed by a command that succeeds.
fn printed(arguments: &[&str]) -> String {
    let output = redis_failover(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.as_ref()), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Sources the completions and has a real bash complete the last of the words, as its Tab key does.
const COMPLETE: &str = r#"
source "$1"; shift
registered=$(complete -p redis-failover)
[[ $registered =~ -F\ ([^ ]+) ]] || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn bash_completes_commands_options_and_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("redis-failover.bash");
    fs::write(&script, printed(&["completions", "bash"])).expect("it is written");
    let completed = |typed: &[&str]| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", COMPLETE, "complete"]).arg(&script).arg("redis-failover").args(typed);
        let output = bash.output().expect("bash runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.as_ref()), (Some(0), ""), "{typed:?}");
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["sw"]), ["switchover"]);
    assert_eq!(completed(&["monitor", "f"]), ["forget"]);
    assert_eq!(completed(&["config", "set", "--ti"]), ["--timeout"]);
    assert_eq!(completed(&["check-config", "--js"]), ["--json"]);
    assert_eq!(completed(&["switchover", "--dr"]), ["--dry-run"]);
    assert_eq!(completed(&["run", "--fencing", ""]), ["off", "replicas"]);
    assert_eq!(completed(&["no-such-command-at"]), [""]);
    let all: BTreeSet<_> = completed(&[""]).into_iter().collect();
    for command in commands() {
        assert!(all.contains(words(&command)[0]), "{command} is not among {all:?}");
    }
}

#[test]
fn each_shell_is_told_every_command() {
    let commands = commands();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in commands.iter().flat_map(|command| words(command)) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

/// The pages, each with its text.
struct Pages {
    directory: TempDir,
}

impl Pages {
    fn write() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listed = printed(&["man", &directory.path().to_string_lossy()]);
        let pages = Self { directory };
        let present: BTreeSet<_> = fs::read_dir(pages.directory.path())
            .expect("it is there")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert_eq!(listed.lines().map(PathBuf::from).collect::<BTreeSet<_>>(), present, "each is named");
        pages
    }

    fn of(&self, command: &str) -> PathBuf {
        let words = [&["redis-failover"], &words(command)[..]].concat();
        self.directory.path().join(format!("{}.1", words.join("-")))
    }
}

/// The page as a reader sees it; `None` where nothing is installed that shows man pages.
fn rendered(page: &Path) -> Option<String> {
    let groff = Command::new("groff").args(["-man", "-Tascii", "-ww", "-P-cbou"]).arg(page).output().ok()?;
    let complaints = String::from_utf8_lossy(&groff.stderr);
    assert_eq!((groff.status.code(), complaints.as_ref()), (Some(0), ""), "{}", page.display());
    // Lines are filled and justified.
    let text = String::from_utf8(groff.stdout).expect("text");
    Some(words(&text).join(" "))
}

const CODES: [&str; 6] = ["0", "1", "2", "3", "4", "128+N"];

#[test]
fn each_command_has_a_man_page_with_its_options_and_the_exit_codes() {
    let pages = Pages::write();
    for command in commands() {
        let page = pages.of(&command);
        let source = fs::read_to_string(&page).expect("it has a page");
        let codes = source.split_once(".SH \"EXIT STATUS\"\n").expect("exit codes").1;
        for code in CODES {
            assert!(codes.contains(&format!(".TP\n\\fB{code}\\fR\n")), "{command}: {code}");
        }
        for word in words(&common::help(&words(&command))).iter().filter(|word| word.starts_with("--")) {
            let option = word.trim_end_matches(|end: char| !end.is_ascii_alphanumeric());
            assert!(source.contains(&option.replace('-', "\\-")), "{command}: {option}");
        }
        let Some(text) = rendered(&page) else { continue };
        let called = format!("redis-failover {command}");
        for part in ["NAME", "SYNOPSIS", &called, "DESCRIPTION", "OPTIONS", "EXIT STATUS"] {
            assert!(text.contains(part), "{command}: no {part} in\n{text}");
        }
    }
}

#[test]
fn the_first_page_names_every_command_and_is_printed_without_a_directory() {
    let pages = Pages::write();
    let first = pages.of("");
    assert_eq!(printed(&["man"]), fs::read_to_string(&first).expect("it has a page"));
    let source = fs::read_to_string(&first).expect("it has a page");
    for command in commands() {
        let name = format!("redis\\-failover\\-{}(1)", words(&command)[0].replace('-', "\\-"));
        assert!(source.contains(&name), "{name} is not in\n{source}");
    }
    let of_config = fs::read_to_string(pages.of("config")).expect("a page");
    assert!(of_config.contains("redis\\-failover\\-config\\-set(1)"), "{of_config}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let output = redis_failover(&["man", "/nowhere"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("/nowhere/redis-failover.1: No such file"), "{error}");
}
