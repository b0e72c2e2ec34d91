//! What a running monitor is told from outside: what operators ask for, another seed, or to leave its group for good.
//! Then it takes its votes back, looks who is left, and has the decider see to what nobody would look after any more.
//! It decides nothing, and stays for some seconds at most.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis_failover_core::{Event, Fencing, MonitorId, Requests};
use redis_failover_store::{Store, StoreError};
use tokio::time::Instant as Moment;
use tracing::{info, warn};

use super::{Monitor, Seed};

/// How long a monitor stays at most.
const LIMIT: Duration = Duration::from_secs(5);

/// What a running monitor is told from outside.
pub(crate) enum Order {
    /// Another seed. A group that has a record only says in what that differs.
    Reseed(Seed),
    /// To leave the group for good, and then to end.
    Leave,
    /// Its votes are gone, and these others' stand.
    Left(Result<BTreeSet<MonitorId>, StoreError>),
}

/// A monitor that leaves.
pub(super) struct Leaving {
    /// When it is gone, whatever is left to do.
    pub(super) until: Moment,
    /// Who stays, once that was looked at.
    others: Option<Result<BTreeSet<MonitorId>, StoreError>>,
}

/// What this machine's clock says, in milliseconds since 1970.
pub(super) fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl<S: Store> Monitor<S> {
    /// How long a pause lasts is told from it, which stands in the record or is asked for.
    pub(super) fn tell_wall_clock(&mut self) {
        self.decide(Event::WallClock(unix_millis()));
    }

    /// Takes in what operators ask the leader for.
    pub(super) fn requests(&mut self, asked: &Requests) {
        self.tell_wall_clock();
        self.decide(Event::RequestsRead(asked.clone()));
    }

    /// Takes in an order.
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Reseed(seed) => self.reseed(seed),
            Order::Leave => self.leave(),
            Order::Left(others) => self.left(others),
        }
    }

    fn reseed(&mut self, Seed { nodes, policy }: Seed) {
        (self.setup.nodes, self.setup.policy) = (nodes.clone(), policy.clone());
        self.tidings.compare_again();
        if self.decider.record().is_none() {
            if let Some(running) = self.running.take() {
                running.abort();
            }
            self.decider.seed(self.clock.now(), nodes, policy.clone());
            self.watch_by(policy);
        }
    }

    fn leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(Leaving { until: Moment::now() + LIMIT, others: None });
        self.store.withdraw();
        let (store, me, orders) = (self.store.clone(), self.setup.id.clone(), self.orders.clone());
        tokio::spawn(async move {
            let others = store.remaining(&me, LIMIT).await;
            // The monitor may have ended meanwhile.
            let _ = orders.send(Order::Left(others));
        });
    }

    fn left(&mut self, others: Result<BTreeSet<MonitorId>, StoreError>) {
        if let Ok(others) = &others {
            self.decide(Event::Leaving(others.clone()));
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.others = Some(others);
        }
    }

    /// Whether it leaves and there is nothing left to do, or nothing that can be done.
    pub(super) fn is_gone(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| {
            let failed = matches!(leaving.others, Some(Err(_)));
            failed || Moment::now() >= leaving.until || self.decider.has_parted(self.clock.now())
        })
    }

    /// Says what becomes of the fence of the group that is left.
    pub(super) fn tell_parting(&self) {
        let (Some(leaving), Some(record)) = (&self.leaving, self.decider.record()) else { return };
        let (group, master) = (&self.setup.group, &record.master);
        let fenced = record.policy.fencing() != Fencing::Off && record.min_replicas_to_write == 0;
        let in_order = self.decider.left_in_order(self.clock.now());
        if !fenced {
            if matches!(&leaving.others, Some(Ok(others)) if others.is_empty()) && !in_order {
                warn!(
                    event = "closed-left", %group,
                    "the group is left by its last monitor before all was done: {master} may refuse writes \
                     (min-replicas-to-write 1000000), and others may follow nobody"
                );
            }
            return;
        }
        let why = match &leaving.others {
            Some(Ok(others)) if !others.is_empty() => {
                let others: Vec<_> = others.iter().map(ToString::to_string).collect();
                let others = others.join(", ");
                info!(event = "left", %group, "the group is left to {others}, and {master} stays fenced");
                return;
            }
            Some(Ok(_)) if in_order => {
                info!(
                    event = "unfenced", %group,
                    "this was the last monitor of the group: {master} has min-replicas-to-write 0 again"
                );
                return;
            }
            Some(Err(error)) => format!("it is not known whether others look after it: {error}"),
            None => "it is not known whether others look after it".to_owned(),
            Some(Ok(_)) => format!("it could not be set within {} s", LIMIT.as_secs()),
        };
        warn!(
            event = "fence-left", %group,
            "min-replicas-to-write 1 may be left on {master} ({why}): if no monitor looks after the group, set it to \
             0, or the master takes no write when it has lost its last replica"
        );
    }
}
