//! ZooKeeper: how many servers there are, how long a session lasts, who may change the group's znodes.

use super::Judge;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::{Finding, Name, Severity};

pub(super) const JUDGES: &[Judge] = &[single, even, listed_partly, session_timeout, znodes_open];

impl Facts {
    /// The hosts of ZooKeeper's servers: as these know each other, else as they were listed. `None` where one name
    /// stands for several.
    pub(super) fn zookeepers(&self) -> Option<&[String]> {
        match (&self.examination.voters, self.listed.as_slice()) {
            (Some(voters), _) => Some(voters),
            (None, [one]) if self.stands_for_many(one) => None,
            (None, listed) => Some(listed),
        }
    }

    fn stands_for_many(&self, host: &str) -> bool {
        let addresses = self.addresses.get(host).into_iter().flatten();
        addresses.filter(|address| address.is_ipv4() && !address.is_loopback()).count() > 1
    }
}

fn single(facts: &Facts) -> Option<Finding> {
    let servers = facts.zookeepers()?;
    let found = (servers.len() == 1).then(|| format!("ZooKeeper is one server: {}", servers[0]));
    let why = "without it nobody leads and no master is replaced; with its disk the record is gone";
    let fix = "let three ZooKeeper servers run, each on a machine of its own".to_owned();
    Finding::of(Severity::Warning, Name::ZookeeperSingle, found, why, [fix])
}

fn even(facts: &Facts) -> Option<Finding> {
    let servers = facts.zookeepers()?;
    let count = servers.len();
    let found = (count > 0 && count.is_multiple_of(2))
        .then(|| format!("{count} ZooKeeper servers vote: {}", servers.join(", ")));
    let spare = count.div_ceil(2).saturating_sub(1);
    let why = format!(
        "a majority of {count} is {}, so {spare} may be lost, no more than of {}: the last one only adds something \
         that can fail",
        count / 2 + 1,
        count.saturating_sub(1)
    );
    let severity = if count == 2 { Severity::Warning } else { Severity::Note };
    let fix = format!("let {} of them vote, or {}", count.saturating_sub(1), count + 1);
    Finding::of(severity, Name::ZookeeperEven, found, why, [fix])
}

fn listed_partly(facts: &Facts) -> Option<Finding> {
    let voters = facts.examination.voters.as_ref()?;
    let listed = facts.listed.len();
    let few = listed < voters.len() && !facts.listed.iter().any(|host| facts.stands_for_many(host));
    let found = few.then(|| format!("-z names {listed} of {} ZooKeeper servers", voters.len()));
    let why = "whoever is told no more can't connect while those are away, though the others serve";
    let fix = format!("name all in -z (zkhosts), of monitors and clients, too: {}", voters.join(", "));
    Finding::of(Severity::Note, Name::ZookeeperListedPartly, found, why, [fix])
}

fn session_timeout(facts: &Facts) -> Option<Finding> {
    let (asked, negotiated) = (facts.examination.asked, facts.examination.negotiated);
    let found = (asked != negotiated).then(|| {
        format!("a session time-out of {asked:?} was asked for, and ZooKeeper granted {negotiated:?}")
    });
    let (why, bound) = if negotiated > asked {
        let why = format!(
            "a monitor that died keeps the lead for {negotiated:?}, unless it could be asked (--listen): a failover \
             waits so long"
        );
        (why, "minSessionTimeout")
    } else {
        let why = format!(
            "a monitor that hears nothing of ZooKeeper for {negotiated:?} loses the lead and its votes"
        );
        (why, "maxSessionTimeout")
    };
    let fix = [
        format!(
            "{bound}={}   # zoo.cfg of each server; by default it follows from tickTime",
            asked.as_millis()
        ),
        "or say what the monitors really ask for: redis-failover doctor --session-timeout TIME".to_owned(),
    ];
    Finding::of(Severity::Warning, Name::SessionTimeoutChanged, found, why, fix)
}

fn znodes_open(facts: &Facts) -> Option<Finding> {
    /// So many are named.
    const NAMED: usize = 3;
    let open = &facts.examination.open;
    let found = (!open.is_empty()).then(|| {
        let named = open.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        match open.len().saturating_sub(NAMED) {
            0 => format!("everybody may change {named}"),
            more => format!("everybody may change {named} and {more} more znodes"),
        }
    });
    let why = "whoever reaches ZooKeeper can name another master, take the lead, or delete the record";
    let fix = format!("setAcl -R {} auth::cdrwa,world:anyone:r", facts.place.path());
    let (severity, fix) = if facts.is_somebody {
        let first =
            "in zkCli.sh, once all monitors have the user: addauth digest USER:PASSWORD, then".to_owned();
        (Severity::Warning, vec![first, fix])
    } else {
        let first = "give all monitors --zookeeper-user and a password, then in zkCli.sh: addauth digest USER:PASSWORD";
        (
            Severity::Note,
            vec![first.to_owned(), fix, "see docs/operating.md, \"Users, passwords, TLS\"".to_owned()],
        )
    };
    Finding::of(severity, Name::ZnodesOpen, found, why, fix)
}
