//! `redis-failover replay`, by what it prints of a journal that is kept, and of damaged ones. No server runs here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The journal of a failover, and what is shown of it.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals").join(name)
}

fn replay(file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command.env_clear().arg("replay").arg(file).args(arguments).output().expect("the program runs")
}

/// What is shown of a journal, where all is as it was.
fn shown(file: &Path, arguments: &[&str]) -> String {
    let output = replay(file, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).expect("text")
}

/// The kept journal, changed, in a file of its own.
struct Changed {
    directory: TempDir,
}

impl Changed {
    fn new(change: impl Fn(String) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let text = fs::read_to_string(kept("failover.journal")).expect("the kept journal");
        let changed = change(text.clone());
        assert_ne!(changed, text, "nothing was changed");
        fs::write(directory.path().join("journal"), changed).expect("it is written");
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// Asserts that it fails and what standard error has, and returns what was shown before.
    fn fails(&self, texts: &[&str]) -> String {
        let output = replay(&self.file(), &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with(&format!("error: {}: ", self.file().display())), "{error}");
        for text in texts {
            assert!(error.contains(text), "it says:\n{error}\nwithout `{text}`");
        }
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn each_decision_is_shown_with_what_it_was_based_on() {
    let text = shown(&kept("failover.journal"), &[]);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(kept("failover.txt"), &text).expect("it is written");
    }
    let expected = fs::read_to_string(kept("failover.txt")).expect("what is to be shown");
    let differs = text.lines().zip(expected.lines()).find(|(now, then)| now != then);
    assert!(text == expected, "UPDATE_EXPECT=1 writes it anew; the first difference: {differs:?}");
    for part in [
        "2026-01-31T13:05:01.106Z => commit epoch 2: open\n    lead: this monitor's, term 7\n",
        "    diagnosis: the master is lost (refused)\n",
        "    m2 on the master: refused since 1 ms\n",
        "    candidate b:6379: taken: it stands at 210 of the history of epoch 1; 12 keys",
        "    candidate a:6379: dropped: did not answer\n",
        "    candidate c:6379: not taken: it stands at 207 of the history of epoch 1, 3 bytes behind;",
    ] {
        assert!(text.contains(part), "{text}\nwithout `{part}`");
    }
}

#[test]
fn all_and_from_choose_what_is_shown() {
    let some = shown(&kept("failover.journal"), &[]);
    let all = shown(&kept("failover.journal"), &["--all"]);
    let turns = |text: &str| text.lines().filter(|line| line.starts_with("2026-")).count();
    assert!(turns(&all) > 2 * turns(&some), "{} and {}", turns(&all), turns(&some));
    assert!(all.contains("Z asked for the next step\n") && !some.contains("asked for the next step"));

    let late = shown(&kept("failover.journal"), &["--from", "2026-01-31T13:05:01.110Z"]);
    assert!(late.starts_with("2026-01-31T13:05:01.110Z "), "{late}");
    assert!(some.ends_with(&late), "{late}");
    let wrong = replay(&kept("failover.journal"), &["--from", "13:05"]);
    let error = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(error.contains("--from") && error.contains("2026-01-31T13:05:00.250Z"), "{error}");
}

#[test]
fn json_is_one_object_a_line_with_the_same_words() {
    let text = shown(&kept("failover.journal"), &["--json"]);
    let turns: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let words = shown(&kept("failover.journal"), &[]);
    assert_eq!(turns.len(), words.lines().filter(|line| line.starts_with("2026-")).count());
    assert_eq!((&turns[0]["turn"], &turns[0]["monitor"]), (&"begin".into(), &"m1".into()));
    let opened = turns.iter().find(|turn| turn["step"] == "commit epoch 2: open").expect("an epoch");
    assert_eq!(opened["same"], true);
    assert_eq!(opened["time"], "2026-01-31T13:05:01.106Z");
    assert_eq!(opened["facts"]["diagnosis"], "the master is lost (refused)");
    assert_eq!(opened["votes"]["m2"], "refused since 1 ms");
    let candidates = opened["candidates"].as_array().expect("candidates");
    let taken: Vec<_> = candidates.iter().map(|it| (it["node"].as_str(), it["taken"].as_bool())).collect();
    let expected = [("b:6379", true), ("a:6379", false), ("c:6379", false)];
    assert_eq!(taken, expected.map(|(node, taken)| (Some(node), Some(taken))));
    assert_eq!(candidates[1]["why"], "dropped: did not answer");
}

#[test]
fn a_decision_that_is_another_one_now_is_told_with_both_and_is_exit_code_1() {
    let changed = Changed::new(|text| {
        text.replace("{\"Follow\":{\"nodes\":[\"c:6379\"]", "{\"Follow\":{\"nodes\":[\"a:6379\"]")
    });
    let text = changed.fails(&["1 of the recorded decisions", "hint: another version of the program"]);
    let both = "=> follow b:6379: c:6379\n!! the journal says: follow b:6379: a:6379\n";
    assert!(text.contains(both), "{text}");
    let json = String::from_utf8(replay(&changed.file(), &["--json"]).stdout).expect("text");
    let mut lines = json.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let failure = lines.next_back().expect("a line");
    assert_eq!((&failure["done"], &failure["kind"]), (&false.into(), &"failed".into()), "{failure}");
    let last = lines.next_back().expect("the decision before");
    assert_eq!((&last["same"], &last["step"]), (&false.into(), &"follow b:6379: c:6379".into()));
    assert_eq!(last["recorded"]["step"], "follow b:6379: a:6379");
}

#[test]
fn decisions_that_only_differ_where_people_do_not_see_it_are_shown_in_full() {
    let changed = Changed::new(|text| text.replace("\"awaited\":[\"b:6379\",\"c:6379\"]", "\"awaited\":[]"));
    let text = changed.fails(&["1 of the recorded decisions"]);
    assert!(text.contains("!! the journal says: freeze") && text.contains("awaited: {}"), "{text}");
}

#[test]
fn what_is_no_journal_is_told_by_line_and_cause() {
    let nothing = Changed::new(|_| String::new());
    nothing.fails(&["it is empty"]);
    Changed::new(|_| "hello\n".into()).fails(&["line 1: this is no journal of a monitor", "run --journal"]);
    let newer = Changed::new(|text| {
        text.replace("\"journal\":8,\"program\":\"0.0.0\"", "\"journal\":9,\"program\":\"7.1.0\"")
    });
    newer.fails(&["line 1: its format is 9, written by redis-failover 7.1.0", "reads format 8"]);
    let broken = Changed::new(|text| text.replacen("{\"poll\":0}", "{\"poll\":}", 1));
    let before = broken.fails(&["line 7: it is no line of a journal"]);
    assert!(before.contains("this monitor's, term 7"), "what comes before is shown: {before}");
    let missing = replay(Path::new("/nowhere/journal"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/journal: No such file"));
}

#[test]
fn a_journal_that_breaks_off_as_after_a_crash_is_whole_up_to_there() {
    let cut = Changed::new(|text| text[..text.len() - 30].to_owned());
    let text = shown(&cut.file(), &[]);
    assert!(text.ends_with("Z -- a line is cut off, as after a crash\n"), "{text}");
    let whole = shown(&kept("failover.journal"), &[]);
    let before = text.rsplit_once("2026-").expect("a time").0;
    assert!(whole.starts_with(before));

    let gap = Changed::new(|text| text.clone() + &text.replace("\"missing\":0", "\"missing\":12"));
    let text = shown(&gap.file(), &[]);
    assert!(
        text.contains("Z -- a gap: 12 entries could not be written; monitor m1 of orders starts"),
        "{text}"
    );
}
