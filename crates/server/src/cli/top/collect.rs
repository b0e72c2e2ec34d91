//! Looks at one group, and has its nodes asked while it is the chosen one. It never waits for the screen.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_core::NodeAddr;
use redis_failover_store::{Store as _, ZooKeeperGroup};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::model::{News, Update};
use super::node::Node;
use super::{LIMIT, Target};
use crate::cli::place::Place;
use crate::cli::{history, status};
use crate::names::Names;

/// How often the chosen group is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How much rarer the others are.
const OTHERS: u64 = 5;

/// How often the history is read, if the record has not changed: entries are amended.
const HISTORY_EVERY: Duration = Duration::from_secs(10);

/// One group.
pub(super) struct Collector {
    /// Which one it is on the screen.
    pub(super) index: usize,
    pub(super) target: Target,
    pub(super) store: ZooKeeperGroup,
    /// Where what is found out goes.
    pub(super) news: UnboundedSender<Update>,
}

/// The nodes that are asked. They are asked no more when it is dropped.
#[derive(Default)]
struct Asking {
    tasks: JoinSet<()>,
    nodes: BTreeMap<NodeAddr, AbortHandle>,
    names: Names,
}

impl Collector {
    /// Goes on for ever; `chosen` says which group is shown in full.
    pub(super) async fn run(self, mut chosen: watch::Receiver<usize>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let place = Place::new(&self.target.ensemble.zkhosts, &self.target.path);
        let (mut asking, mut read, mut tick) = (Asking::default(), None, 0_u64);
        // They go on being asked when ZooKeeper is away.
        let mut nodes = Vec::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => tick += 1,
                changed = chosen.changed() => if changed.is_err() { return },
            }
            let shown = *chosen.borrow_and_update() == self.index;
            if !shown && !asking.nodes.is_empty() {
                asking = Asking::default();
                self.tell(News::Left);
            }
            // At the beginning all are looked at; later not all in one second.
            if !shown && tick > 1 && !(tick + self.index as u64).is_multiple_of(OTHERS) {
                continue;
            }
            let seen = status::look(&self.store, &place).await;
            let order = seen.as_ref().map_or(0, |view| view.order);
            if let Ok(view) = &seen {
                nodes = view.nodes.iter().map(|node| node.addr.clone()).collect();
            }
            if shown {
                asking.ask(&self, nodes.iter());
            }
            self.tell(News::Seen(Box::new(seen)));
            let is_old = |(at, of): (Instant, i64)| of != order || at.elapsed() >= HISTORY_EVERY;
            if shown && read.is_none_or(is_old) {
                let entries = self.store.history(LIMIT).await;
                self.tell(News::History(entries.map(history::page_of).map_err(|error| error.to_string())));
                read = Some((Instant::now(), order));
            }
        }
    }

    fn tell(&self, news: News) {
        // Where nobody listens any more the screen is gone, and this task with it.
        let _ = self.news.send(Update { group: self.index, news });
    }
}

impl Asking {
    /// Asks these nodes from now on, and no others.
    fn ask<'a>(&mut self, collector: &Collector, wanted: impl Iterator<Item = &'a NodeAddr>) {
        let wanted: Vec<_> = wanted.cloned().collect();
        self.nodes.retain(|node, task| {
            let stays = wanted.contains(node);
            if !stays {
                task.abort();
            }
            stays
        });
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Ok(()) | Err(_) => {}
            }
        }
        let begun = Instant::now();
        for addr in wanted {
            let Collector { index, target, news, .. } = collector;
            let (names, tasks) = (&self.names, &mut self.tasks);
            self.nodes.entry(addr.clone()).or_insert_with(|| {
                let node = Node {
                    group: *index,
                    addr,
                    names: names.clone(),
                    credentials: target.credentials.clone(),
                    news: news.clone(),
                };
                tasks.spawn(node.watch(begun))
            });
        }
    }
}
