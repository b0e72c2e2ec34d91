//! What came of a soak, whether it is what docs/guarantees.md promises, and the page that says so. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::{Change, Kind, Loss, Promise, TURN};
use super::play::WELL_WITHIN;
use super::traffic::{Balance, WRITERS};
use super::uses::{self, Toll};

/// What all the round trips of a change may take, on a machine that has other things to do.
const ROUND_TRIPS: Duration = Duration::from_secs(5);

/// How long a client may be held up by what it is not to notice, on such a machine.
const UNNOTICED: Duration = Duration::from_secs(3);

/// The verdict on most days.
const HELD: &str = "All that docs/guarantees.md promises of these faults held.";

/// What came of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Episode {
    pub kind: Kind,
    pub victim: String,
    /// Since the soak began.
    pub at: Duration,
    pub lasted: Duration,
    /// From its end until the group was well.
    pub well_after: Duration,
    pub changes: usize,
    pub no_writes: Duration,
    pub lost: usize,
    /// Writes that were confirmed from its beginning until clients must have heard of the last change.
    pub until_heard: usize,
    pub unknown: usize,
    /// What the other uses of the client lost.
    pub tolls: Vec<Toll>,
    /// How often the subscriber was told that it may have missed something.
    pub markers: usize,
    pub two_took_writes: Duration,
    /// Why the group is not well in the end, if it is not.
    pub trouble: Option<String>,
}

/// What came of all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub episodes: Vec<Episode>,
    /// How many masters were published.
    pub masters: usize,
    /// What must never be, whatever was done.
    pub wrongs: Vec<String>,
    pub balance: Balance,
    /// What the other uses of the client lost after the last fault.
    pub tolls_of_calm: Vec<Toll>,
    pub two_took_writes: Duration,
    pub took: Duration,
}

/// What came of a seed, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub seed: u64,
    pub outcome: Outcome,
    /// All processes that were started.
    pub pids: Vec<u32>,
    /// Those of them that live on.
    pub left: Vec<u32>,
}

impl Episode {
    /// One line, while it goes on.
    pub(super) fn line(&self) -> String {
        let wrongs = self.wrongs();
        let wrong = if wrongs.is_empty() { String::new() } else { format!("  WRONG: {}", wrongs.join("; ")) };
        format!(
            "{:>7.1} s  {} ({}) for {}: {} changes, no writes for {}, {} lost{wrong}",
            self.at.as_secs_f64(),
            self.kind.name(),
            self.victim,
            millis(self.lasted),
            self.changes,
            millis(self.no_writes),
            self.lost
        )
    }

    /// What is not as promised.
    fn wrongs(&self) -> Vec<String> {
        let Promise { change, loss, silence, stops_writes, two } = self.kind.promise();
        let mut wrongs = Vec::new();
        if let Some(trouble) = &self.trouble {
            wrongs.push(format!("it is not well within {} s: {trouble}", WELL_WITHIN.as_secs()));
        }
        match (change, self.changes) {
            (Change::Never, 1..) => {
                wrongs.push("the master was replaced, and should be left alone".to_owned());
            }
            (Change::Always, 0) => wrongs.push("the master was not replaced".to_owned()),
            _ => {}
        }
        if let Some(allowed) = self.allowed().filter(|allowed| self.lost > *allowed) {
            wrongs.push(format!("{} confirmed writes are lost, {allowed} may be", self.lost));
        }
        wrongs.extend(self.tolls.iter().filter_map(|toll| toll.wrong(loss)));
        if self.markers > 0 && !self.kind.breaks_connections() {
            wrongs.push("the subscriber was told that it may have missed something".to_owned());
        }
        let fault = if stops_writes { self.lasted } else { Duration::ZERO };
        let round_trips = if change == Change::Never { UNNOTICED } else { ROUND_TRIPS };
        let bound = silence + fault + round_trips;
        if self.no_writes > bound {
            let (time, bound) = (millis(self.no_writes), millis(bound));
            wrongs.push(format!("no writes for {time}, {bound} is allowed"));
        }
        if self.two_took_writes > two {
            let (time, bound) = (millis(self.two_took_writes), millis(two));
            wrongs.push(format!("two nodes took writes for {time}, {bound} is allowed"));
        }
        wrongs
    }

    /// How many confirmed writes may be lost; `None` is any.
    fn allowed(&self) -> Option<usize> {
        self.kind.promise().loss.allowed(WRITERS, self.until_heard)
    }

    fn json(&self) -> Value {
        json!({
            "fault": self.kind.name(),
            "victim": self.victim,
            "at_ms": number(self.at),
            "lasted_ms": number(self.lasted),
            "well_after_ms": number(self.well_after),
            "changes": self.changes,
            "no_writes_ms": number(self.no_writes),
            "lost": self.lost,
            "lost_allowed": self.allowed(),
            "unknown": self.unknown,
            "lost_by_use": self.tolls.iter().map(|it| (it.of.name(), it.lost)).collect::<BTreeMap<_, _>>(),
            "markers": self.markers,
            "two_took_writes_ms": number(self.two_took_writes),
            "wrong": self.wrongs(),
        })
    }
}

impl Report {
    /// All that is not as promised.
    pub(super) fn wrongs(&self) -> Vec<String> {
        let Outcome { episodes, wrongs, balance, .. } = &self.outcome;
        let of_episode = |episode: &Episode| {
            let (at, name, victim) = (episode.at.as_secs_f64(), episode.kind.name(), episode.victim.clone());
            let wrongs = episode.wrongs().into_iter();
            wrongs.map(move |wrong| format!("{at:.1} s, {name} ({victim}): {wrong}"))
        };
        let mut all: Vec<_> = episodes.iter().flat_map(of_episode).chain(wrongs.iter().cloned()).collect();
        if balance.twice > 0 {
            all.push(format!("{} writes were executed twice", balance.twice));
        }
        let in_calm = self.outcome.tolls_of_calm.iter().filter_map(|toll| toll.wrong(Loss::Nothing));
        all.extend(in_calm.map(|wrong| format!("after the last fault: {wrong}")));
        if balance.proves_nothing() {
            all.push("nothing was written or read, or not by all: this proves nothing".to_owned());
        }
        let mut refusals = balance.refusals.clone();
        refusals.dedup();
        all.extend(refusals.iter().take(3).map(|said| format!("a write was answered with: {said}")));
        if !self.left.is_empty() {
            all.push(format!("processes are left: {:?}", self.left));
        }
        all
    }

    /// What nobody promised against and somebody should see: best effort that was not enough.
    pub(super) fn worth_a_look(&self) -> Vec<String> {
        let many = |episode: &&Episode| episode.allowed().is_none() && episode.lost > TURN * WRITERS;
        let line = |episode: &Episode| {
            let (at, name, lost) = (episode.at.as_secs_f64(), episode.kind.name(), episode.lost);
            format!("{at:.1} s, {name} ({}): {lost} confirmed writes are lost", episode.victim)
        };
        self.outcome.episodes.iter().filter(many).map(line).collect()
    }

    /// The page.
    pub(super) fn text(&self) -> String {
        let Outcome { episodes, masters, balance, two_took_writes, took, .. } = &self.outcome;
        let mut text =
            format!("soak, seed {}: {:.0} s, {} faults\n\n", self.seed, took.as_secs_f64(), episodes.len());
        let heads =
            ["fault", "times", "changes", "no writes, longest", "lost (most)", "unknown", "two took writes"];
        let mut row = |cells: [&str; 7]| {
            let [fault, times, changes, silence, lost, unknown, two] = cells;
            writeln!(
                text,
                "{fault:<29} {times:>5} {changes:>8} {silence:>19} {lost:>12} {unknown:>8} {two:>16}"
            )
            .expect("a String takes all text");
        };
        row(heads);
        for (kind, episodes) in self.by_kind() {
            let sum = |count: fn(&Episode) -> usize| episodes.iter().map(|it| count(it)).sum::<usize>();
            let most = episodes.iter().map(|it| it.lost).max().unwrap_or_default();
            row([
                kind.name(),
                &episodes.len().to_string(),
                &sum(|it| it.changes).to_string(),
                &millis(longest(&episodes, |it| it.no_writes)),
                &format!("{} ({most})", sum(|it| it.lost)),
                &sum(|it| it.unknown).to_string(),
                &millis(longest(&episodes, |it| it.two_took_writes)),
            ]);
        }
        let slowest = episodes.iter().map(|it| it.well_after).max().unwrap_or_default();
        let tolls: Vec<_> = episodes.iter().flat_map(|it| it.tolls.clone()).collect();
        write!(
            text,
            "\n{}\n{} writes confirmed, {} of them lost, {} unknown, {} executed twice; {} reads, {} errors.\n\
             {} reads of own writes, {} of them seen to go to replicas; {} transactions aborted.\n\
             The subscriber was told {} times that messages may be missing.\n\
             Threads were told {} times that a write was not executed. The pool gave out {} connections, each\n\
             within {}; it made {}, and {} were given back in a session.\n\
             {masters} masters published; two nodes took writes for {} in all. Well again after {} at most.\n\
             {} of {} kinds of faults came; {} processes were started, {} are left.\n\n{}",
            uses::table(&balance.uses, &tolls),
            balance.acknowledged,
            balance.lost,
            balance.unknown,
            balance.twice,
            balance.reads,
            balance.read_errors,
            balance.own_reads,
            balance.own_reads_of_replicas,
            balance.aborted,
            balance.markers,
            balance.not_executed,
            balance.pool.given,
            millis(balance.pool.longest),
            balance.pool.made,
            balance.pool.left,
            millis(*two_took_writes),
            millis(slowest),
            self.by_kind().len(),
            Kind::ALL.len(),
            self.pids.len(),
            self.left.len(),
            self.verdict()
        )
        .expect("a String takes all text");
        text
    }

    fn verdict(&self) -> String {
        let (wrongs, worth_a_look) = (self.wrongs(), self.worth_a_look());
        if wrongs.is_empty() && worth_a_look.is_empty() {
            return HELD.to_owned();
        }
        if wrongs.is_empty() {
            return format!("{HELD} Best effort was not enough:\n  {}", worth_a_look.join("\n  "));
        }
        format!("This is not what docs/guarantees.md promises:\n  {}", wrongs.join("\n  "))
    }

    fn by_kind(&self) -> BTreeMap<Kind, Vec<&Episode>> {
        let mut kinds = BTreeMap::<_, Vec<_>>::new();
        for episode in &self.outcome.episodes {
            kinds.entry(episode.kind).or_default().push(episode);
        }
        kinds
    }

    /// The same for programs; times in milliseconds.
    pub(super) fn json(&self) -> Value {
        let Outcome { episodes, masters, balance, two_took_writes, took, .. } = &self.outcome;
        let tolls: Vec<_> = episodes.iter().flat_map(|it| it.tolls.clone()).collect();
        json!({
            "seed": self.seed,
            "as_promised": self.wrongs().is_empty(),
            "wrong": self.wrongs(),
            "worth_a_look": self.worth_a_look(),
            "took_ms": number(*took),
            "faults": episodes.iter().map(Episode::json).collect::<Vec<_>>(),
            "masters": masters,
            "acknowledged": balance.acknowledged,
            "lost": balance.lost,
            "unknown": balance.unknown,
            "executed_twice": balance.twice,
            "reads": balance.reads,
            "read_errors": balance.read_errors,
            "uses": uses::json(&balance.uses, &tolls),
            "own_reads": balance.own_reads,
            "own_reads_of_replicas": balance.own_reads_of_replicas,
            "transactions_aborted": balance.aborted,
            "markers": balance.markers,
            "threads_told_not_executed": balance.not_executed,
            "pool": {
                "given": balance.pool.given,
                "longest_wait_ms": number(balance.pool.longest),
                "made": balance.pool.made,
                "left_in_session": balance.pool.left,
            },
            "two_took_writes_ms": number(*two_took_writes),
            "pids": self.pids,
            "left": self.left,
        })
    }
}

fn longest(episodes: &[&Episode], time: impl Fn(&Episode) -> Duration) -> Duration {
    episodes.iter().map(|it| time(it)).max().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn number(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::pool::Pool;
    use super::super::uses::{Standing, Use};
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn episode(kind: Kind) -> Episode {
        Episode {
            kind,
            victim: "127.0.0.1:7001".to_owned(),
            at: MS(1_500),
            lasted: MS(2_000),
            well_after: MS(300),
            changes: usize::from(kind.promise().change == Change::Always),
            no_writes: MS(40),
            lost: 0,
            until_heard: 0,
            unknown: 1,
            tolls: vec![Toll { of: Use::Pushes, lost: 0, excused: 0, until_heard: 0 }],
            markers: 0,
            two_took_writes: MS(0),
            trouble: None,
        }
    }

    fn report(episodes: Vec<Episode>) -> Report {
        let uses = [Standing { confirmed: 90, ..Standing::default() }; Use::ALL.len()];
        let balance = Balance {
            acknowledged: 900,
            reads: 800,
            own_reads: 70,
            own_reads_of_replicas: 6,
            aborted: 5,
            pool: Pool { given: 60, longest: MS(3), made: 4, left: 2 },
            uses,
            ..Balance::default()
        };
        let outcome = Outcome { episodes, masters: 2, balance, took: MS(9_000), ..Outcome::default() };
        Report { seed: 7, outcome, pids: vec![1, 2], left: vec![] }
    }

    /// What is wrong with an episode of this kind that was changed so.
    fn wrongs(kind: Kind, change: impl Fn(&mut Episode)) -> Vec<String> {
        let mut episode = episode(kind);
        change(&mut episode);
        let report = report(vec![episode]);
        assert_eq!(report.json()["as_promised"], report.wrongs().is_empty());
        report.wrongs()
    }

    #[test]
    fn what_is_promised_of_each_kind_is_held_against_it() {
        for kind in Kind::ALL {
            assert_eq!(wrongs(kind, |_| ()), Vec::<String>::new(), "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.no_writes = MS(30_000)).len(), 1, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.two_took_writes = MS(5_000)).len(), 1, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.trouble = Some("it hangs".to_owned())).len(), 1, "{kind:?}");
            let Promise { change, loss, .. } = kind.promise();
            let may_change = wrongs(kind, |it| it.changes = 1).is_empty();
            assert_eq!(may_change, change != Change::Never, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.changes = 0).is_empty(), change != Change::Always, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.lost = 1).is_empty(), loss != Loss::Nothing, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.lost = 5).is_empty(), loss == Loss::Any, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.tolls[0].lost = 1).is_empty(), loss != Loss::Nothing, "{kind:?}");
            assert_eq!(wrongs(kind, |it| it.tolls[0].lost = 3).is_empty(), loss == Loss::Any, "{kind:?}");
            let may_miss = change != Change::Never || kind == Kind::ClientsCutOff;
            assert_eq!(wrongs(kind, |it| it.markers = 1).is_empty(), may_miss, "{kind:?}");
        }
        let until_heard = wrongs(Kind::MasterLostByBoth, |it| (it.lost, it.until_heard) = (500, 499));
        assert_eq!(until_heard, Vec::<String>::new());
    }

    #[test]
    fn a_wrong_names_when_it_was_and_whom_it_befell() {
        let wrong = wrongs(Kind::ReplicaKilled, |it| it.lost = 3).remove(0);
        assert_eq!(wrong, "1.5 s, replica killed (127.0.0.1:7001): 3 confirmed writes are lost, 0 may be");
    }

    #[test]
    fn best_effort_that_was_not_enough_is_no_wrong_and_is_said() {
        let mut wiped = episode(Kind::MasterRestartedEmpty);
        wiped.lost = 4;
        assert!(report(vec![wiped.clone()]).worth_a_look().is_empty(), "a turn of its loop");
        wiped.lost = 600;
        let report = report(vec![wiped, episode(Kind::MasterKilled)]);
        assert_eq!(report.wrongs(), Vec::<String>::new());
        assert_eq!(report.worth_a_look().len(), 1);
        assert!(report.text().contains("Best effort was not enough:\n  1.5 s, master back at once, empty"));
    }

    #[test]
    fn what_must_never_be_is_wrong_whatever_was_done() {
        const AGAIN: Toll = Toll { of: Use::Takings, lost: 1, excused: 0, until_heard: 9 };
        let spoilt = |spoil: fn(&mut Report)| {
            let mut report = report(vec![]);
            spoil(&mut report);
            report.wrongs().len()
        };
        assert_eq!(spoilt(|_| ()), 0);
        assert_eq!(spoilt(|it| it.outcome.balance.twice = 1), 1);
        assert_eq!(spoilt(|it| it.outcome.balance.acknowledged = 0), 1);
        assert_eq!(spoilt(|it| it.outcome.balance.own_reads_of_replicas = 0), 1);
        assert_eq!(spoilt(|it| it.outcome.balance.aborted = 0), 1);
        assert_eq!(spoilt(|it| it.outcome.balance.pool.left = 0), 1);
        assert_eq!(spoilt(|it| it.outcome.balance.uses[Use::Takings as usize].confirmed = 0), 1);
        assert_eq!(spoilt(|it| it.outcome.tolls_of_calm = vec![AGAIN]), 1);
        assert_eq!(spoilt(|it| it.outcome.balance.refusals = vec!["OOM".to_owned(); 9]), 1);
        assert_eq!(spoilt(|it| it.outcome.wrongs.push("epoch 1 was published after epoch 2".to_owned())), 1);
        assert_eq!(spoilt(|it| it.left.push(1)), 1);
    }

    #[test]
    fn the_page_has_a_line_for_each_kind_and_says_what_is_wrong() {
        let text = report(vec![episode(Kind::MasterKilled), episode(Kind::MasterKilled)]).text();
        assert!(text.contains("soak, seed 7: 9 s, 2 faults"), "{text}");
        assert_eq!(text.matches("master killed, back later").count(), 1, "{text}");
        assert!(text.contains("All that docs/guarantees.md promises of these faults held."), "{text}");
        assert!(text.contains("gave out 60 connections, each\nwithin 3 ms; it made 4, and 2 were"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 105), "{text}");
        let mut lost = episode(Kind::LeaderStops);
        lost.lost = 1;
        assert!(report(vec![lost]).text().contains("This is not what docs/guarantees.md promises:\n  1.5 s"));
    }
}
