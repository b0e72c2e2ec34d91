//! What stands on the screen, and what a key changes in it. It asks nobody and draws nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use redis_failover_core::{Link, NodeAddr, Role};

use crate::cli::status::{Seen, State, View};

/// Everything on the screen.
#[derive(Debug)]
pub(super) struct Model {
    /// The groups in the order in which they were said; there is one at least.
    pub(super) groups: Vec<Group>,
    /// Which of them is shown in full.
    pub(super) chosen: usize,
    /// Whether what stands where is explained.
    pub(super) help: bool,
    /// The time of day.
    pub(super) now: SystemTime,
    /// The same on the clock that spans are measured by.
    pub(super) instant: Instant,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    /// What people call it.
    pub(super) name: String,
    /// What the last look at ZooKeeper has shown.
    pub(super) seen: Option<Seen>,
    /// What the record said before ZooKeeper went away.
    last: Option<View>,
    /// Its last changes of master, the newest last, below a line that heads them; or why they are not known.
    pub(super) history: Option<Result<String, String>>,
    /// What the nodes say; only those of the chosen group are asked.
    pub(super) nodes: BTreeMap<NodeAddr, Said>,
}

/// What a node said last.
pub(super) type Said = Result<Told, Quiet>;

/// What a node that answers says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// How long it took to answer a PING.
    pub(super) ping: Duration,
    /// What it is.
    pub(super) role: Option<Role>,
    /// The name of its history and how far in it it is.
    pub(super) at: Option<(String, u64)>,
    /// For how many seconds its master has said nothing to it.
    pub(super) heard: Option<u64>,
}

/// Why a node has told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// A question waits for its answer since then.
    Silent(Instant),
    /// It can't be asked, for this reason.
    Because(String),
}

/// Something that was found out.
#[derive(Debug)]
pub(super) struct Update {
    /// Of which group.
    pub(super) group: usize,
    /// What.
    pub(super) news: News,
}

/// What was found out of a group.
#[derive(Debug)]
pub(super) enum News {
    /// A look at ZooKeeper.
    Seen(Box<Seen>),
    /// Its last changes.
    History(Result<String, String>),
    /// What a node says.
    Said(NodeAddr, Said),
    /// It is not the chosen group any more: nobody asks its nodes.
    Left,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To go on.
    Nothing,
    /// To end.
    End,
}

impl Model {
    /// Groups of which nothing is known yet.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let group = |name| Group { name, seen: None, last: None, history: None, nodes: BTreeMap::new() };
        let groups = names.into_iter().map(group).collect();
        Self { groups, chosen: 0, help: false, now: SystemTime::now(), instant: Instant::now() }
    }

    /// The group that is shown in full.
    pub(super) fn group(&self) -> &Group {
        &self.groups[self.chosen]
    }

    /// Takes in what was found out.
    pub(super) fn learn(&mut self, update: Update) {
        let Some(group) = self.groups.get_mut(update.group) else { return };
        match update.news {
            News::Seen(seen) => group.see(*seen),
            // What was read stays true while no more can be read.
            News::History(Err(_)) if matches!(group.history, Some(Ok(_))) => {}
            News::History(history) => group.history = Some(history),
            News::Said(node, said) => _ = group.nodes.insert(node, said),
            News::Left => group.nodes.clear(),
        }
    }

    /// Takes in a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Asked {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Asked::End,
            KeyCode::Esc | KeyCode::Char('?') if self.help => self.help = false,
            KeyCode::Esc | KeyCode::Char('q') => return Asked::End,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(self.groups.len() - 1),
            _ => {}
        }
        Asked::Nothing
    }
}

impl Group {
    fn see(&mut self, seen: Seen) {
        let before = self.seen.replace(seen);
        if let Some(Ok(view)) = before {
            self.last = Some(view);
        }
        // Anything else that stands there says that the record is no more.
        if matches!(&self.seen, Some(Err(absence)) if absence.state != State::NoZooKeeper) {
            self.last = None;
        }
    }

    /// What the record says, or said last where ZooKeeper is away.
    pub(super) fn view(&self) -> Option<&View> {
        match self.seen.as_ref()? {
            Ok(view) => Some(view),
            Err(_) => self.last.as_ref(),
        }
    }

    /// How many bytes `node` lacks of what the master says that it has, where both are in one history.
    pub(super) fn lag(&self, node: &NodeAddr) -> Option<u64> {
        let master = &self.view()?.master;
        let at = |node| self.nodes.get(node)?.as_ref().ok()?.at.as_ref();
        let ((history, offset), (own, reached)) = (at(master)?, at(node)?);
        (node != master && own == history).then(|| offset.saturating_sub(*reached))
    }
}

impl Told {
    /// Whether it is what it is recorded as, the master or a replica, with all that belongs to it.
    pub(super) fn is_well_as(&self, master: bool) -> bool {
        match &self.role {
            None => false,
            Some(Role::Master { .. }) => master,
            Some(Role::Replica { link, .. }) => !master && *link == Link::Up,
        }
    }

    /// What it says that it is, in words.
    pub(super) fn role(&self) -> String {
        match &self.role {
            None => "something else".to_owned(),
            Some(Role::Master { replicas: 1 }) => "master, 1 replica".to_owned(),
            Some(Role::Master { replicas }) => format!("master, {replicas} replicas"),
            Some(Role::Replica { link: Link::Up, .. }) => "replica, link up".to_owned(),
            Some(Role::Replica { link: Link::Syncing, .. }) => "replica, is filled".to_owned(),
            Some(Role::Replica { link: Link::Down { seconds }, .. }) => {
                format!("replica, link down {seconds} s")
            }
        }
    }
}
