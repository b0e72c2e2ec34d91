//! The monitors: how many there are, how many may be lost, whether they watch each other.

use super::Judge;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::{Finding, Name, Severity};

pub(super) const JUDGES: &[Judge] =
    &[no_leader, gone, no_spare, quorum_too_small, quorum_out_of_reach, not_asked, versions, clocks];

fn no_leader(facts: &Facts) -> Option<Finding> {
    let found = (!facts.leads).then(|| "no monitor leads".to_owned());
    let why = "nothing is repaired and no master is replaced while nobody leads";
    let fix = "start monitors, and read the logs of those that run".to_owned();
    Finding::of(Severity::Error, Name::NoLeader, found, why, [fix])
}

fn gone(facts: &Facts) -> Option<Finding> {
    let gone: Vec<_> = facts
        .record
        .monitors
        .iter()
        .filter(|id| !facts.alive.contains_key(id))
        .map(ToString::to_string)
        .collect();
    let (registered, quorum) = (facts.record.monitors.len(), facts.record.quorum());
    let alive = registered - gone.len();
    let found = (!gone.is_empty())
        .then(|| format!("{alive} of {registered} registered monitors are alive; gone: {}", gone.join(", ")));
    let (severity, why) = if alive < quorum {
        (
            Severity::Error,
            format!("{quorum} must agree before a master is replaced: there is no failover now"),
        )
    } else {
        let spare = alive - quorum;
        (
            Severity::Warning,
            format!("a quorum counts dead monitors, too: {quorum} must agree, so {spare} more may be lost"),
        )
    };
    let forget = gone.iter().map(|id| facts.place.command("monitor forget", &[id]));
    let fix = ["start it again, or, if it will not come back:".to_owned()].into_iter().chain(forget);
    Finding::of(severity, Name::MonitorsGone, found, why, fix)
}

fn no_spare(facts: &Facts) -> Option<Finding> {
    let (registered, quorum) = (facts.record.monitors.len(), facts.record.quorum());
    let found = (registered == quorum).then(|| match registered {
        1 => "one monitor is registered".to_owned(),
        _ => format!("{registered} monitors are registered, and all {quorum} must agree"),
    });
    let why = match registered {
        1 => "when it is lost, or cut off from the nodes, nothing is replaced, or the wrong thing",
        2 => "when either is lost there is no failover, and two cannot tell which of them is cut off",
        _ => "when any of them is lost there is no failover",
    };
    let wanted = if registered < 3 { 3 } else { registered + 1 };
    let fix = format!("let {wanted} monitors run, each on a machine of its own, with --id of its own");
    Finding::of(Severity::Warning, Name::NoSpareMonitor, found, why, [fix])
}

fn quorum_too_small(facts: &Facts) -> Option<Finding> {
    let (registered, quorum) = (facts.record.monitors.len(), facts.record.quorum());
    let found = (quorum * 2 <= registered)
        .then(|| format!("the quorum is set to {quorum}, and {registered} monitors are registered"));
    let why = format!(
        "{quorum} that are cut off from a master that serves the others can have it replaced; a majority is {}",
        registered / 2 + 1
    );
    Finding::of(Severity::Warning, Name::QuorumTooSmall, found, why, [majority(facts)])
}

fn quorum_out_of_reach(facts: &Facts) -> Option<Finding> {
    let (registered, quorum) = (facts.record.monitors.len(), facts.record.quorum());
    let found = (quorum > registered)
        .then(|| format!("the quorum is set to {quorum}, and {registered} monitors are registered"));
    let why = "so many can never agree: there is no failover";
    let more = quorum.saturating_sub(registered);
    let fix = [format!("let {more} more monitors run for it; or:"), majority(facts)];
    Finding::of(Severity::Error, Name::QuorumOutOfReach, found, why, fix)
}

/// What has the majority of the registered monitors decide.
fn majority(facts: &Facts) -> String {
    facts.place.command("config set", &["quorum=majority"])
}

fn not_asked(facts: &Facts) -> Option<Finding> {
    let deaf: Vec<_> =
        facts.alive.iter().filter(|(_, it)| it.address.is_none()).map(|(id, _)| id.to_string()).collect();
    let found = (!deaf.is_empty() && facts.alive.len() > 1)
        .then(|| format!("these monitors can't be asked whether they live: {}", deaf.join(", ")));
    let why = "when one of them leads and dies the others wait until its ZooKeeper session is over";
    let fix = "redis-failover run --listen IP:PORT …   # where the other monitors reach it".to_owned();
    Finding::of(Severity::Note, Name::MonitorsNotAsked, found, why, [fix])
}

fn versions(facts: &Facts) -> Option<Finding> {
    let told = facts.alive.iter().filter_map(|(id, it)| Some((id, it.version.as_ref()?)));
    let told: Vec<_> = told.collect();
    let differ = told.iter().any(|(_, version)| *version != told[0].1);
    let found = differ.then(|| {
        let each: Vec<_> = told.iter().map(|(id, version)| format!("{id}: {version}")).collect();
        format!("the monitors are of several versions: {}", each.join(", "))
    });
    let why = "what the newer ones write the older ones may not heed when they lead; upgrade all before you use what \
               is new";
    let fix = "end the upgrade, one monitor after the other".to_owned();
    Finding::of(Severity::Note, Name::MonitorVersionsDiffer, found, why, [fix])
}

fn clocks(facts: &Facts) -> Option<Finding> {
    /// In milliseconds. A report takes some time to be written.
    const TOLERATED: i64 = 2000;
    let told = facts.alive.iter().filter_map(|(id, it)| Some((it.ahead?, id)));
    let (first, last) = (told.clone().min()?, told.max()?);
    let found = (last.0.saturating_sub(first.0) > TOLERATED)
        .then(|| format!("the clock of {} is {} ms ahead of that of {}", last.1, last.0 - first.0, first.1));
    let why = "a pause ends by the clock of who leads, and what logs and history tell is compared by them; nothing \
               else is decided by clocks";
    let fix = "timedatectl set-ntp true   # on both machines".to_owned();
    Finding::of(Severity::Warning, Name::MonitorClocksDiffer, found, why, [fix])
}
