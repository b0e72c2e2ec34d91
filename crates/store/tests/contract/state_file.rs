//! What only a store in a file has: lives that follow each other, and a disk that can fail.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};

use redis_failover_core::history::{Account, Cause, Ending, Entry};
use redis_failover_core::{Epoch, Found, Topology, Vote};
use redis_failover_store::{Campaign, CommitError, Embedded, EmbeddedGroup, Sight, StateFileError, Store};
use tempfile::TempDir;

use super::reports::shown;
use super::subject::Shows;
use super::world::{LONG, Led, lead, path, record, report, seen};

/// A directory with room for a state file.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn unfinished(&self) -> PathBuf {
        self.0.path().join("state.new")
    }

    fn open(&self) -> Embedded {
        Embedded::open(&self.file()).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn refusal(&self) -> StateFileError {
        Embedded::open(&self.file()).unwrap_err()
    }
}

async fn led(store: &Embedded, group: &str) -> Led<EmbeddedGroup> {
    lead(store.session().group(&path(group))).await
}

fn record_of(found: &Found) -> Option<&Topology> {
    match found {
        Found::Record(record) => Some(record),
        _ => None,
    }
}

fn entry(epoch: u64) -> Entry {
    Entry::Change(Box::new(Account {
        epoch: Epoch(epoch),
        cause: Cause::Founded,
        old: None,
        new: "h1:1".parse().unwrap(),
        ending: Ending::Published,
        leader: None,
        finished_by: None,
        votes: [].into(),
        candidates: [].into(),
        times: [].into(),
        following: [].into(),
        seen: None,
        loss: None,
    }))
}

/// What the future has come to when it is asked once.
fn once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_restart_finds_the_record_and_the_history_of_all_groups_and_every_term_is_a_greater_one() {
    let disk = Disk::new();
    let (mut greatest, mut orders) = (0, 0);
    for epoch in 1..=3_u64 {
        let store = disk.open();
        for group in ["/g", "/redis/other"] {
            let Led { group, campaign, term, version } = led(&store, group).await;
            assert!(term.0 > greatest, "{term:?} came after {greatest}");
            greatest = term.0;
            let found = seen(&group, "what was left", |_| true).await.found;
            assert_eq!(record_of(&found).map(|record| record.epoch.0), (epoch > 1).then_some(epoch - 1));
            let version = campaign.commit(term, version, &record(epoch), Some(&entry(epoch))).await.unwrap();
            assert!(version.order > orders);
            orders = version.order;
            campaign.amend(term, &entry(epoch)).await.unwrap();
            // A lock that nobody keeps takes numbers, too.
            campaign.stand(false);
            campaign.stand(true);
            greatest = greatest.max(super::world::term(&campaign).await.0);
        }
    }
    let group = disk.open().session().group(&path("/redis/other"));
    let epochs = group.history(LONG).await.unwrap().into_iter().map(|it| it.entry.unwrap());
    assert_eq!(epochs.collect::<Vec<_>>(), [entry(1), entry(2), entry(3)]);
    assert_eq!(record_of(&seen(&group, "the last", |_| true).await.found), Some(&record(3)));
    let text = disk.text();
    assert!(text.contains(r#""/redis/other": {"#) && text.contains(r#""epoch": 3"#), "{text}");
}

#[tokio::test]
async fn what_belongs_to_a_session_ends_with_the_process() {
    let disk = Disk::new();
    let store = disk.open();
    let Led { group, campaign, term, version } = led(&store, "/g").await;
    group.publish(report("m1", Vote::Up));
    shown(&group, &["m1"]).await;
    campaign.commit(term, version, &record(1), None).await.unwrap();
    assert!(!store.meddle(|model| model.children("/g/leader")).is_empty());
    // As after a kill: nobody says good-bye, and what was written is all there is.
    let copy = Disk::new();
    fs::copy(disk.file(), copy.file()).unwrap();
    let next = copy.open();
    for znode in ["/g/leader", "/g/monitors"] {
        assert_eq!(next.meddle(|model| model.children(znode)), [""; 0], "{znode}");
    }
    assert!(next.meddle(|model| model.get("/g").is_some()));
}

#[tokio::test]
async fn a_file_is_one_stores_at_a_time_by_whatever_name() {
    let disk = Disk::new();
    let store = disk.open();
    let link = disk.0.path().join("link");
    symlink(disk.file(), &link).unwrap();
    for name in [&disk.file(), &link] {
        let error = Embedded::open(name).unwrap_err();
        assert!(matches!(error, StateFileError::InUse { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(name.to_str().unwrap()) && text.contains("another process"), "{text}");
    }
    let Led { group, campaign, term, version } = led(&store, "/g").await;
    drop(store);
    drop(group);
    // A campaign is a handle of it, too.
    assert!(matches!(disk.refusal(), StateFileError::InUse { .. }));
    campaign.commit(term, version, &record(1), None).await.unwrap();
    drop(campaign);
    let store = Embedded::open(&link).unwrap();
    let group = store.session().group(&path("/g"));
    assert_eq!(record_of(&seen(&group, "it", |_| true).await.found), Some(&record(1)));
    assert!(link.is_symlink(), "what the link leads to is written, not the link");
    drop((store, group));
    // What it leads to may be on a disk that is not mounted yet.
    fs::rename(disk.file(), disk.0.path().join("elsewhere")).unwrap();
    let error = Embedded::open(&link).unwrap_err();
    assert!(matches!(error, StateFileError::Refused { .. }) && link.is_symlink(), "{error}");
}

#[test]
fn what_cannot_be_read_is_left_as_it_is_and_named() {
    let right = Disk::new();
    drop(right.open());
    let right = right.text();
    for (text, told) in [
        ("", "no state file"),
        ("my notes", "no state file"),
        (&right[..right.len() / 2], "no state file"),
        (&right.replace(r#""format": 1"#, r#""format": 7"#), "has format 7"),
    ] {
        let disk = Disk::new();
        fs::write(disk.file(), text).unwrap();
        let error = disk.refusal().to_string();
        assert!(error.contains(told) && error.contains(disk.file().to_str().unwrap()), "{error}");
        assert!(error.contains("name another file"), "{error}");
        assert_eq!(disk.text(), text);
    }
}

#[test]
fn what_the_system_refuses_is_said_before_anything_depends_on_it() {
    let disk = Disk::new();
    let nowhere = disk.0.path().join("nowhere/state");
    let error = Embedded::open(&nowhere).unwrap_err().to_string();
    assert!(error.contains("nowhere/state") && error.contains("directory must be there"), "{error}");
    assert!(Embedded::open(disk.0.path()).is_err(), "a directory");
    assert!(Embedded::open(Path::new("/")).is_err());
    // What is in the way of the writing.
    fs::create_dir(disk.unfinished()).unwrap();
    let error = disk.refusal().to_string();
    assert!(error.contains("cannot be written"), "{error}");
    assert!(!disk.file().exists());
}

#[tokio::test]
async fn what_a_killed_process_had_not_finished_is_no_part_of_it() {
    let disk = Disk::new();
    let Led { group, campaign, term, version } = led(&disk.open(), "/g").await;
    campaign.commit(term, version, &record(1), None).await.unwrap();
    drop((group, campaign));
    let whole = disk.text();
    // Between the write and the rename: all of it, or a part.
    for unfinished in [whole.replace("h1:1", "h3:3"), whole[..whole.len() / 2].to_owned(), String::new()] {
        fs::write(disk.unfinished(), unfinished).unwrap();
        let store = disk.open();
        assert!(!disk.unfinished().exists());
        let group = store.session().group(&path("/g"));
        assert_eq!(record_of(&seen(&group, "it", |_| true).await.found), Some(&record(1)));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_commit_and_nobody_is_told_what_the_file_does_not_hold() {
    let disk = Disk::new();
    let store = disk.open();
    let Led { group, campaign, term, version } = led(&store, "/g").await;
    let version = campaign.commit(term, version, &record(1), Some(&entry(1))).await.unwrap();
    let before = disk.text();
    let mut sights = group.record();
    sights.until("the record", |_| Some(())).await;

    symlink("/dev/full", disk.unfinished()).unwrap();
    let refused = campaign.commit(term, version, &record(2), Some(&entry(2))).await;
    match &refused {
        Err(error @ CommitError::Refused(_)) => {
            let text = error.to_string();
            assert!(text.contains("No space left") && text.contains("state"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.text(), before);
    sights.stays("it was told", super::world::MOMENT).await;
    assert_eq!(group.history(LONG).await.unwrap().len(), 1);
    assert!(campaign.holds(term));

    // There is room again: it goes on where it stood.
    campaign.commit(term, version, &record(2), Some(&entry(2))).await.unwrap();
    drop((group, campaign, store));
    let group = disk.open().session().group(&path("/g"));
    assert_eq!(record_of(&seen(&group, "it", |_| true).await.found), Some(&record(2)));
}

/// A disk that takes the first bytes only when somebody reads them.
fn hang(disk: &Disk) {
    assert!(Command::new("mkfifo").arg(disk.unfinished()).status().unwrap().success());
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_commits_and_nothing_else() {
    let disk = Disk::new();
    let store = disk.open();
    let Led { group, campaign, term, version } = led(&store, "/g").await;
    hang(&disk);
    let (wanted, unwanted) = (record(1), record(2));
    let mut commit = pin!(campaign.commit(term, version, &wanted, None));
    assert_eq!(once(commit.as_mut()), None);
    assert!(campaign.holds(term));
    group.publish(report("m1", Vote::Up));
    shown(&group, &["m1"]).await;
    campaign.confirm(term).await.unwrap();
    assert_eq!(once(commit.as_mut()), None);
    // Whoever comes later waits for its turn, and finds what the first has left.
    let mut next = pin!(campaign.commit(term, version, &unwanted, None));
    assert_eq!(once(next.as_mut()), None);

    // It wakes, and fails: nothing of that kind can be had on a disk.
    fs::File::open(disk.unfinished()).unwrap().read_to_end(&mut Vec::new()).unwrap();
    assert!(matches!(commit.await, Err(CommitError::Refused(_))));
    next.await.unwrap();
    assert_eq!(record_of(&seen(&group, "it", |_| true).await.found), Some(&unwanted));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_disk_that_hangs() {
    let disk = Disk::new();
    let Led { campaign, term, version, group } = led(&disk.open(), "/g").await;
    hang(&disk);
    match campaign.commit(term, version, &record(1), None).await {
        Err(error @ CommitError::Unknown(_)) => assert!(error.to_string().contains("10s"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(record_of(&seen(&group, "nothing", |_| true).await.found), None);
    fs::File::open(disk.unfinished()).unwrap().read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_in_the_file_and_in_the_store_or_in_neither() {
    let disk = Disk::new();
    let Led { group, campaign, term, version } = led(&disk.open(), "/g").await;
    {
        let wanted = record(1);
        let commit = pin!(campaign.commit(term, version, &wanted, None));
        let _ = once(commit);
    }
    let is_there = |sight: &Sight| match &sight.read {
        Some(Ok(read)) if record_of(&read.found) == Some(&record(1)) => Some(()),
        _ => None,
    };
    group.record().until("it is carried out", is_there).await;
    assert!(disk.text().contains(r#""epoch": 1"#));
}
