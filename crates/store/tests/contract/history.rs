//! The history: an entry stands with its record or not at all, there are never too many, and what is in the way holds
//! up no record.

use std::time::Duration;

use redis_failover_core::history::{Account, Cause, Ending, Entry, Milestone, Return};
use redis_failover_core::{Divergence, Epoch, Keeping, ReplId, RunId, Term, Version};
use redis_failover_store::{CommitError, KEPT, RETURNS_KEPT};

use super::subject::{Candidate, Group, Subject, cases};
use super::world::{Led, SESSION, id, led, record, term};

cases![
    an_entry_is_written_with_its_record_and_the_oldest_goes_for_it,
    who_may_not_commit_leaves_no_entry,
    an_entry_is_amended_by_who_wrote_it_and_only_when_there_is_more_to_tell,
    what_stands_there_is_not_overwritten_and_what_cannot_be_read_is_named,
    what_is_in_the_way_holds_up_no_record,
    a_return_is_told_beside_its_change_and_who_tells_more_of_it_takes_its_place,
    a_node_that_comes_back_over_and_over_leaves_the_changes_where_they_are,
];

fn account(epoch: u64) -> Account {
    Account {
        epoch: Epoch(epoch),
        cause: Cause::Founded,
        old: None,
        new: "h1:1".parse().unwrap(),
        ending: Ending::Published,
        leader: Some(id("m1")),
        finished_by: None,
        votes: [].into(),
        candidates: [].into(),
        times: [].into(),
        following: [].into(),
        seen: None,
        loss: None,
    }
}

fn entry(epoch: u64) -> Entry {
    Entry::Change(Box::new(account(epoch)))
}

/// The same with one thing more.
fn more(epoch: u64, after: u64) -> Entry {
    let mut account = account(epoch);
    account.times.insert(Milestone::Published, Duration::from_millis(after));
    Entry::Change(Box::new(account))
}

fn name(epoch: u64) -> String {
    format!("/g/history/{epoch:010}")
}

async fn commit(campaign: &impl Candidate, term: Term, version: Version, epoch: u64) -> Version {
    campaign.commit_with(term, version, &record(epoch), Some(&entry(epoch))).await.unwrap()
}

async fn epochs(group: &impl Group) -> Vec<u64> {
    group.history().await.into_iter().map(|recorded| recorded.entry.unwrap().epoch().0).collect()
}

/// This node came back in epoch 1 with so many bytes beyond, of which this becomes.
fn returned(node: &str, bytes: u64, keeping: Keeping) -> Entry {
    Entry::Return(Box::new(Return {
        epoch: Epoch(1),
        node: node.parse().unwrap(),
        replid: ReplId("p".to_owned()),
        offset: 100 + bytes,
        keys: 1,
        divergence: Divergence {
            run: RunId("r".to_owned()),
            left: Some(Epoch(1)),
            bytes: Some(bytes),
            keeping,
        },
        leader: id("m1"),
    }))
}

fn due() -> Keeping {
    Keeping::Due { file: "f".to_owned() }
}

fn saved() -> Keeping {
    Keeping::Saved { file: "/f".to_owned() }
}

async fn an_entry_is_written_with_its_record_and_the_oldest_goes_for_it<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term, mut version } = led(&subject, &session, "/g").await;
    assert_eq!(group.history().await, []);
    let last = u64::try_from(KEPT).unwrap() + 2;
    for epoch in 1..=last {
        let transaction = subject.transaction();
        version = commit(&campaign, term, version, epoch).await;
        assert_eq!(subject.transaction(), transaction + 1, "one transaction");
        assert_eq!(subject.stat(&name(epoch)).await.map(|stat| stat.created), Some(version.order));
        if epoch == 1 {
            // Only the record: what follows is no part of it.
            version = campaign.commit(term, version, &with_number(1, 3)).await.unwrap();
        }
    }
    assert!(epochs(&group).await.into_iter().eq(3..=last));
    // A later leader knows as well what is there.
    let other = subject.open(SESSION);
    let next = subject.group(&other, "/g");
    let second = next.campaign(&id("m2"), None);
    campaign.resign().await;
    let later = super::world::term(&second).await;
    let version = super::world::seen(&next, "the record", |_| true).await.version;
    commit(&second, later, version, last + 1).await;
    assert!(epochs(&group).await.into_iter().eq(4..=last + 1));
}

fn with_number(epoch: u64, number: u32) -> redis_failover_core::Topology {
    redis_failover_core::Topology { min_replicas_to_write: number, ..record(epoch) }
}

async fn who_may_not_commit_leaves_no_entry<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term, version: old } = led(&subject, &session, "/g").await;
    let version = commit(&campaign, term, old, 1).await;
    let again = campaign.commit_with(term, old, &record(2), Some(&entry(2))).await;
    assert_eq!(again, Err(CommitError::Conflict));
    // Nothing of the record differs, so nothing is written.
    assert_eq!(campaign.commit_with(term, version, &record(1), Some(&entry(2))).await, Ok(version));
    let lock = subject.children("/g/leader").await.remove(0);
    subject.delete(&format!("/g/leader/{lock}")).await;
    let deposed = campaign.commit_with(term, version, &record(2), Some(&entry(2))).await;
    assert_eq!(deposed, Err(CommitError::Fenced));
    assert_eq!(campaign.amend(term, &more(1, 5)).await, Err(CommitError::Fenced));
    assert_eq!(group.history().await.len(), 1);
    assert_eq!(group.history().await[0].entry, Ok(entry(1)));
}

async fn an_entry_is_amended_by_who_wrote_it_and_only_when_there_is_more_to_tell<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term: first, version } = led(&subject, &session, "/g").await;
    assert_eq!(campaign.amend(first, &entry(1)).await, Err(CommitError::Conflict), "there is none");
    let version = commit(&campaign, first, version, 1).await;
    let before = (subject.transaction(), subject.stat("/g").await, subject.stat("/g/state").await);
    assert_eq!(campaign.amend(first, &entry(1)).await, Ok(()), "it says the same");
    assert_eq!(subject.transaction(), before.0);
    assert_eq!(campaign.amend(first, &more(1, 5)).await, Ok(()));
    assert_eq!(campaign.amend(first, &more(1, 6)).await, Ok(()));
    assert_eq!(subject.transaction(), before.0 + 2);
    assert_eq!((subject.stat("/g").await, subject.stat("/g/state").await), (before.1, before.2));
    assert_eq!(group.history().await[0].entry, Ok(more(1, 6)));
    assert_eq!(campaign.amend(first, &more(2, 6)).await, Err(CommitError::Conflict), "of another epoch");
    // Somebody else wrote it.
    subject.put(&name(1), "mine").await;
    assert_eq!(campaign.amend(first, &more(1, 7)).await, Err(CommitError::Conflict));
    assert_eq!(subject.text(&name(1)).await, "mine");
    commit(&campaign, first, version, 2).await;
    let other = subject.open(SESSION);
    let second = subject.group(&other, "/g").campaign(&id("m2"), None);
    campaign.resign().await;
    let later = term(&second).await;
    assert_eq!(second.amend(later, &more(2, 7)).await, Err(CommitError::Conflict), "another wrote it");
}

async fn what_stands_there_is_not_overwritten_and_what_cannot_be_read_is_named<S: Subject>() {
    let subject = S::start().await;
    subject.put(&name(1), "what?").await;
    subject.put(&name(2), r#"{"format":1,"kind":"dance","epoch":2}"#).await;
    subject.put("/g/history/0000000002+h:1", r#"{"format":2,"kind":"change"}"#).await;
    subject.put("/g/history/notes", "none of ours").await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term, version } = led(&subject, &session, "/g").await;
    let version = commit(&campaign, term, version, 1).await;
    // After the leader looked.
    subject.put(&name(2), "made").await;
    subject.put(&name(3), "meanwhile").await;
    let version = commit(&campaign, term, version, 2).await;
    commit(&campaign, term, version, 3).await;
    assert_eq!(campaign.amend(term, &more(3, 1)).await, Ok(()), "of the one that it wrote");

    let history = group.history().await;
    let unreadable = |epoch: u64| history.iter().find(|it| it.znode == name(epoch)).unwrap().entry.clone();
    assert!(unreadable(1).unwrap_err().to_string().contains("/g/history/0000000001"));
    // A kind or a format that is not known is none of these.
    let unread: Vec<_> = history.iter().filter(|it| it.entry.is_err()).map(|it| it.znode.clone()).collect();
    assert_eq!(unread, [name(1), name(2), name(3)]);
    let told: Vec<_> = history.iter().filter_map(|it| it.entry.clone().ok()).collect();
    assert_eq!(told, [entry(1), entry(2), more(3, 1)]);
    let texts = [(name(1), "what?"), (name(2), "made"), (name(3), "meanwhile")];
    for (znode, text) in texts {
        assert_eq!(subject.text(&znode).await, text);
    }
    assert_eq!(subject.text("/g/history/notes").await, "none of ours");
}

async fn what_is_in_the_way_holds_up_no_record<S: Subject>() {
    let subject = S::start().await;
    // The oldest cannot go.
    for epoch in 1..=u64::try_from(KEPT).unwrap() {
        subject.put(&name(epoch), "").await;
    }
    subject.put(&format!("{}/below", name(1)), "").await;
    let session = subject.open(SESSION);
    let Led { campaign, term, version, .. } = led(&subject, &session, "/g").await;
    let version = commit(&campaign, term, version, 200).await;
    assert_eq!(subject.stat(&name(200)).await, None);
    assert_eq!(subject.stat("/g").await.map(|stat| stat.modified), Some(version.order));
    subject.delete(&format!("{}/below", name(1))).await;
    commit(&campaign, term, version, 201).await;
    assert!(subject.stat(&name(201)).await.is_some() && subject.stat(&name(1)).await.is_none());
}

async fn a_return_is_told_beside_its_change_and_who_tells_more_of_it_takes_its_place<S: Subject>() {
    let subject = S::start().await;
    let session = subject.open(SESSION);
    let Led { group, campaign, term: first, version } = led(&subject, &session, "/g").await;
    let version = commit(&campaign, first, version, 1).await;
    let [due, saved] = [due, saved].map(|keeping| returned("[::1]:1", 5, keeping()));
    let transaction = subject.transaction();
    let version = campaign.commit_with(first, version, &with_number(1, 2), Some(&due)).await.unwrap();
    assert_eq!(subject.transaction(), transaction + 1, "one transaction");
    let znode = format!("{}+[::1]:1.1", name(1));
    assert_eq!(subject.stat(&znode).await.map(|stat| stat.created), Some(version.order));
    // What is told of the change can still be amended.
    assert_eq!(campaign.amend(first, &more(1, 5)).await, Ok(()));
    assert_eq!(campaign.amend(first, &saved).await, Err(CommitError::Conflict), "that goes with a record");

    let other = subject.open(SESSION);
    let next = subject.group(&other, "/g");
    let second = next.campaign(&id("m2"), None);
    campaign.resign().await;
    let later = term(&second).await;
    let version = super::world::seen(&next, "the record", |_| true).await.version;
    let version = second.commit_with(later, version, &with_number(1, 3), Some(&saved)).await.unwrap();
    assert_eq!(subject.stat(&znode).await.map(|stat| stat.modified), Some(version.order));
    let told = |history: Vec<redis_failover_store::Recorded>| -> Vec<_> {
        history.into_iter().map(|recorded| recorded.entry.unwrap()).collect()
    };
    assert_eq!(told(group.history().await), [more(1, 5), saved.clone()]);
    // Another return of the node, and one of another node, have their own.
    let again = returned("[::1]:1", 6, Keeping::Discarded);
    let another = returned("h:1", 5, Keeping::Discarded);
    let version = second.commit_with(later, version, &with_number(1, 4), Some(&again)).await.unwrap();
    let version = second.commit_with(later, version, &with_number(1, 5), Some(&another)).await.unwrap();
    assert_eq!(told(group.history().await), [more(1, 5), saved.clone(), again, another.clone()]);
    // What is none of ours stays as it is.
    let mine = format!("{}+h:1.3", name(1));
    assert!(subject.stat(&mine).await.is_some());
    subject.put(&mine, "mine").await;
    let version = second.commit_with(later, version, &with_number(1, 6), Some(&another)).await.unwrap();
    assert_eq!(subject.text(&mine).await, "mine");
    assert_eq!(subject.stat(&format!("{}+h:1.4", name(1))).await.map(|it| it.created), Some(version.order));
    // And so does a return that a deposed leader has more to tell of.
    let lock = subject.children("/g/leader").await.remove(0);
    subject.delete(&format!("/g/leader/{lock}")).await;
    let deposed = second.commit_with(later, version, &with_number(1, 7), Some(&due)).await;
    assert_eq!(deposed, Err(CommitError::Fenced));
    assert_eq!(subject.stat(&znode).await.map(|stat| stat.version), Some(1));
}

async fn a_node_that_comes_back_over_and_over_leaves_the_changes_where_they_are<S: Subject>() {
    let subject = S::start().await;
    for epoch in 1..=u64::try_from(KEPT).unwrap() {
        subject.put(&name(epoch), "").await;
    }
    let session = subject.open(SESSION);
    let Led { campaign, term, mut version, .. } = led(&subject, &session, "/g").await;
    let times = u64::try_from(RETURNS_KEPT).unwrap() + 5;
    for n in 1..=times {
        let (entry, number) = (returned("h:1", n, due()), u32::try_from(n).unwrap());
        version = campaign.commit_with(term, version, &with_number(1, number), Some(&entry)).await.unwrap();
    }
    let names = subject.children("/g/history").await;
    let returns = names.iter().filter(|name| name.contains('+')).count();
    assert_eq!((names.len(), returns), (KEPT, RETURNS_KEPT));
    let last = format!("{}+h:1.{times}", name(1));
    assert_eq!(subject.stat(&last).await.map(|stat| stat.created), Some(version.order));
    assert!(subject.stat(&format!("{}+h:1.5", name(1))).await.is_none());
}
