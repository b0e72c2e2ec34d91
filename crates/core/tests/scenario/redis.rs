//! A model of Redis servers: roles, histories, asynchronous replication, restarts. It keeps no time.

use std::collections::{BTreeMap, BTreeSet};

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{
    Evidence, History, Instant, Link, NodeAddr, ReplId, Role, RunId, Saving, Sighting,
};

/// What monitors meet at a server that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    /// It answers and lets nobody in: a password or a certificate is wrong.
    Denied,
    /// There is no way there.
    Unreachable,
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    pub(super) state: State,
    pub(super) run: u32,
    pub(super) follows: Option<Follows>,
    pub(super) replid: String,
    /// How often it was made a master: each time its history gets a name that nobody had.
    named: u32,
    pub(super) offset: u64,
    pub(super) previous: Option<(String, u64)>,
    pub(super) keys: u64,
    /// Whether its writes move no offset: it has gone on with nobody since it was started as a replica.
    pub(super) uncounted: bool,
    pub(super) priority: u32,
    /// What a snapshot on its disk holds: history, offset and keys.
    pub(super) saved: Option<(String, u64, u64)>,
    /// How its snapshots end: well, badly, or not at all.
    pub(super) saves: Saves,
    /// The snapshots that were begun for the monitors.
    pub(super) files: Vec<String>,
    /// It receives nothing, though its link stands.
    pub(super) lagging: bool,
    /// It is in the middle of a full copy for as long as this is set.
    pub(super) half_synced: bool,
    pub(super) min_replicas: u32,
    /// How a switchover has it treat writes.
    pub(super) writes: Writes,
    /// What the monitors meet there; its replicas reach it in any case.
    pub(super) door: Door,
    /// The monitors that can't reach it.
    pub(super) unseen_by: BTreeSet<String>,
    /// Commands in its socket while it hangs.
    pub(super) queued: Vec<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Dead,
    Hung,
    Loading,
}

/// What a server does with writes, but for its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    Taken,
    /// They wait.
    Held,
    /// It gave up its role, and feeds those who follow it on: most servers do.
    Ceded,
}

/// How a snapshot ends; or into its own file, for it lets no other be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saves {
    Well,
    Badly,
    Never,
    Unnamed,
}

/// Whom a replica follows; nobody when it is frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follows(pub(super) Option<String>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Freeze,
    Hold(bool),
    Cede { run: u32 },
    Promote { run: u32 },
    Open(u32),
    Fence(u32),
    Follow(String, u32),
}

impl Redis {
    pub(super) fn new(name: &str) -> Self {
        Self {
            state: State::Running,
            // No two servers have a run in common.
            run: name.bytes().map(u32::from).sum::<u32>() * 1_000,
            follows: None,
            replid: format!("{name}1"),
            named: 0,
            offset: 0,
            previous: None,
            keys: 0,
            uncounted: false,
            priority: 100,
            saved: None,
            saves: Saves::Well,
            files: Vec::new(),
            lagging: false,
            half_synced: false,
            min_replicas: 0,
            writes: Writes::Taken,
            door: Door::Open,
            unseen_by: BTreeSet::new(),
            queued: Vec::new(),
        }
    }

    pub(super) fn carry_out(&mut self, name: &str, command: &Command) {
        match command {
            Command::Freeze => {
                self.follows = Some(Follows(None));
                self.half_synced = false;
                self.writes = Writes::Taken;
            }
            Command::Hold(holds) => self.writes = if *holds { Writes::Held } else { Writes::Taken },
            Command::Cede { run } if *run != self.run => {}
            Command::Cede { .. } => {
                self.follows = Some(Follows(None));
                self.writes = Writes::Ceded;
            }
            // A connection can't outlive a process.
            Command::Promote { run } if *run != self.run => {}
            Command::Promote { .. } => {
                self.min_replicas = CLOSED;
                self.follow_no_one(name);
            }
            // It opens one that is closed, and leaves any other number as it is.
            Command::Open(_) if self.min_replicas != CLOSED => {}
            Command::Open(number) | Command::Fence(number) => self.min_replicas = *number,
            Command::Follow(master, number) => {
                self.writes = Writes::Taken;
                self.follows = Some(Follows(Some(master.clone())));
                if [1, CLOSED].contains(&self.min_replicas) {
                    self.min_replicas = *number;
                }
            }
        }
    }

    /// REPLICAOF NO ONE.
    pub(super) fn follow_no_one(&mut self, name: &str) {
        if self.follows.take().is_some() {
            self.previous = Some((self.replid.clone(), self.offset + 1));
            self.named += 1;
            self.replid = format!("{name}{}p{}", self.run, self.named);
        }
    }

    /// A new life: with the data of its disk, or with none.
    pub(super) fn restart(&mut self, name: &str, empty: bool) {
        self.state = State::Running;
        self.run += 1;
        self.min_replicas = 0;
        self.writes = Writes::Taken;
        self.uncounted = self.follows.is_some();
        self.queued.clear();
        if self.follows.is_none() || empty {
            // A restarted master goes on under a new name; with a snapshot it remembers the old one.
            self.previous = (!empty).then(|| (self.replid.clone(), self.offset + 1));
            self.replid = format!("{name}{}", self.run);
        }
        if empty {
            (self.offset, self.keys, self.follows) = (0, 0, None);
        }
    }

    /// A new life with what the last snapshot holds.
    pub(super) fn restart_from_snapshot(&mut self, name: &str) {
        (self.replid, self.offset, self.keys) = self.saved.clone().expect("a snapshot was saved");
        self.restart(name, false);
    }

    /// A new life with all keys, which an append-only file holds without the name of their history.
    pub(super) fn restart_from_a_log(&mut self, name: &str) {
        let keys = self.keys;
        self.restart(name, true);
        self.keys = keys;
    }

    /// Begins a snapshot, or says how far it is.
    pub(super) fn save(&mut self, file: &str, begun: bool) -> Saving {
        match self.saves {
            _ if !begun => {
                let unnamed = self.saves == Saves::Unnamed;
                let file = if unnamed { "dump.rdb" } else { file };
                self.files.push(file.to_owned());
                let unnamed = unnamed.then(|| "its name can't be changed".to_owned());
                Saving::Begun { file: format!("/data/{file}"), unnamed }
            }
            Saves::Well | Saves::Unnamed => Saving::Complete,
            Saves::Badly => Saving::Failed("no space left".into()),
            Saves::Never => Saving::Running,
        }
    }

    fn role(&self, replicas: u32, link: Link) -> Role {
        match &self.follows {
            None => Role::Master { replicas },
            Some(Follows(of)) => Role::Replica {
                of: of.as_ref().map(|of| addr(of)).or_else(|| "127.0.0.1:1".parse().ok()),
                link,
                received: self.offset,
            },
        }
    }

    fn history(&self) -> History {
        let previous = self.previous.as_ref().map(|(replid, end)| (ReplId(replid.clone()), *end));
        History { replid: ReplId(self.replid.clone()), offset: self.offset, previous }
    }

    pub(super) fn run_id(&self) -> RunId {
        RunId(self.run.to_string())
    }
}

pub(super) fn addr(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

/// All servers of the group.
#[derive(Default)]
pub(super) struct Servers(pub(super) BTreeMap<String, Redis>);

impl Servers {
    pub(super) fn get(&mut self, name: &str) -> Result<&mut Redis, String> {
        self.0.get_mut(name).ok_or_else(|| format!("there is no node {name}"))
    }

    pub(super) fn link(&self, name: &str) -> Link {
        let redis = &self.0[name];
        match redis.follows.as_ref().and_then(|Follows(of)| of.as_ref()) {
            _ if redis.half_synced => Link::Syncing,
            Some(of) if self.feeds(of) => Link::Up,
            _ => Link::Down { seconds: 0 },
        }
    }

    fn feeds(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|master| matches!(master.state, State::Running | State::Hung))
    }

    fn role_of(&self, name: &str) -> Role {
        let follows_it = |redis: &&Redis| {
            redis.state == State::Running && redis.follows == Some(Follows(Some(name.to_owned())))
        };
        let replicas = self.0.values().filter(follows_it).count();
        self.0[name].role(u32::try_from(replicas).unwrap_or(u32::MAX), self.link(name))
    }

    pub(super) fn sighting(&self, name: &str, asked: Instant) -> Sighting {
        let redis = &self.0[name];
        Sighting {
            asked,
            run: redis.run_id(),
            role: self.role_of(name),
            history: redis.history(),
            guarded: redis.min_replicas > 0,
            good_replicas: self.good_replicas(name),
            feeds: self.fed_by(name),
        }
    }

    /// How many replicas of `name` acknowledge what they receive.
    pub(super) fn good_replicas(&self, name: &str) -> u32 {
        let fed = self.fed_by(name);
        let good = fed.iter().filter(|replica| !self.0[replica.host()].lagging);
        u32::try_from(good.count()).unwrap_or(u32::MAX)
    }

    /// The replicas whose link to `name` is up.
    fn fed_by(&self, name: &str) -> Vec<NodeAddr> {
        let follows_it = |(replica, redis): &(&String, &Redis)| {
            let follows = redis.follows == Some(Follows(Some(name.to_owned())));
            follows && redis.state == State::Running && self.link(replica) == Link::Up
        };
        self.0.iter().filter(follows_it).map(|(replica, _)| addr(replica)).collect()
    }

    pub(super) fn evidence(&self, name: &str) -> Evidence {
        let redis = &self.0[name];
        Evidence {
            run: redis.run_id(),
            role: self.role_of(name),
            history: redis.history(),
            priority: redis.priority,
            uncounted: redis.uncounted,
            keys: redis.keys,
            saved: None,
            min_replicas_to_write: Some(redis.min_replicas),
            version: None,
            appends: None,
        }
    }

    /// Replication catches up; returns a line for each resync.
    pub(super) fn replicate(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let names: Vec<_> = self.0.keys().cloned().collect();
        for name in names {
            let replica = &self.0[&name];
            let receives = replica.state == State::Running && !replica.lagging && !replica.half_synced;
            let Some(Follows(Some(of))) = replica.follows.clone().filter(|_| receives) else { continue };
            // A frozen node gives nothing away: it has no link to its master (NOMASTERLINK).
            let linked = |it: &Redis| it.follows != Some(Follows(None)) || it.writes == Writes::Ceded;
            let gives = |it: &&Redis| it.state == State::Running && linked(it);
            let Some(master) = self.0.get(&of).filter(gives).cloned() else { continue };
            let replica = self.get(&name).expect("it was just there");
            if replica.replid != master.replid {
                let end = master.previous.filter(|(replid, _)| *replid == replica.replid).map(|(_, end)| end);
                let partial = end.is_some_and(|end| replica.offset < end);
                let kind = if partial { "partial" } else { "full" };
                lines.push(format!("{name} {kind} sync from {of}"));
                let old = std::mem::replace(&mut replica.replid, master.replid);
                replica.previous = partial.then_some((old, replica.offset + 1));
            }
            (replica.offset, replica.keys, replica.uncounted) = (master.offset, master.keys, false);
            self.get(&of).expect("it was just there").uncounted = false;
        }
        lines
    }
}
