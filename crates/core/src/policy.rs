//! What a group's operators chose: quorum and deadlines, valid by construction. It decides nothing.

use std::time::Duration;

/// Within which time three failovers of one group are one too many to hurry.
pub const FLAPPING_WINDOW: Duration = Duration::from_mins(10);

/// A group's settings, the same for all its monitors. Kept in the group's record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Policy {
    quorum: Option<u32>,
    down_after: Duration,
    probe_interval: Duration,
    misconf_is_unusable: bool,
    refusal_waits: bool,
    link_grace: Duration,
    third_failover_waits: Duration,
    discover: Discover,
    fencing: Fencing,
    on_divergence: OnDivergence,
    parallel_syncs: u32,
}

/// What becomes of what a node that comes back holds beyond the point where its history was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum OnDivergence {
    /// It is counted and told, and gone when the node has been filled with a copy of the master's data.
    #[default]
    Discard,
    /// It is saved to a file on the node first, and the node is not filled before that is done.
    Save,
}

impl OnDivergence {
    /// The word that is typed and written into the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Save => "save",
        }
    }

    /// The choice that has this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Discard, Self::Save].into_iter().find(|choice| choice.word() == word)
    }
}

/// What becomes of a replica that the master names and the group's record does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Discover {
    /// Nothing.
    Off,
    /// It becomes a member, is published and read from, and never takes over.
    Watch,
    /// It becomes a member like any other.
    #[default]
    Promote,
}

impl Discover {
    /// The word that is typed and written into the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Watch => "watch",
            Self::Promote => "promote",
        }
    }

    /// The choice that has this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Off, Self::Watch, Self::Promote].into_iter().find(|choice| choice.word() == word)
    }
}

/// What keeps a master that is cut off from taking writes for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fencing {
    /// Nothing: its `min-replicas-to-write` is its operator's alone.
    Off,
    /// It takes writes only while a replica follows it, unless the leader lets it go on alone.
    #[default]
    Replicas,
}

impl Fencing {
    /// The word that is typed and written into the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Replicas => "replicas",
        }
    }

    /// The choice that has this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Off, Self::Replicas].into_iter().find(|choice| choice.word() == word)
    }
}

/// Why settings cannot stand together; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A quorum of nobody would let a single mistake through.
    #[error("quorum 0 is not possible: use 1 or more, or leave it out for the majority of the monitors")]
    NoQuorum,
    /// Below this, ordinary pauses of a busy machine look like death.
    #[error("down-after {0:?} is too short: use 50ms or more")]
    DownAfter(Duration),
    /// A node must be asked at least twice before it is taken for silent.
    #[error("probe-interval {interval:?} does not fit down-after {down_after:?}: use 10ms up to half of it")]
    ProbeInterval {
        /// What was asked for.
        interval: Duration,
        /// What it has to fit.
        down_after: Duration,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            quorum: None,
            down_after: Duration::from_secs(1),
            probe_interval: Duration::from_millis(200),
            misconf_is_unusable: false,
            refusal_waits: false,
            link_grace: Duration::from_secs(5),
            third_failover_waits: Duration::from_mins(1),
            discover: Discover::default(),
            fencing: Fencing::default(),
            on_divergence: OnDivergence::default(),
            parallel_syncs: 1,
        }
    }
}

impl Policy {
    /// A policy of these settings; `quorum` `None` is the majority of the registered monitors.
    ///
    /// # Errors
    /// When the settings contradict each other or leave no room for a slow answer.
    pub fn new(
        quorum: Option<u32>,
        down_after: Duration,
        probe_interval: Duration,
    ) -> Result<Self, PolicyError> {
        if quorum == Some(0) {
            return Err(PolicyError::NoQuorum);
        }
        if down_after < Duration::from_millis(50) {
            return Err(PolicyError::DownAfter(down_after));
        }
        if probe_interval < Duration::from_millis(10) || probe_interval * 2 > down_after {
            return Err(PolicyError::ProbeInterval { interval: probe_interval, down_after });
        }
        Ok(Self { quorum, down_after, probe_interval, ..Self::default() })
    }

    /// This policy, where a majority of the registered monitors must agree.
    #[must_use]
    pub fn with_quorum_of_majority(self) -> Self {
        Self { quorum: None, ..self }
    }

    /// This policy, where a master that refuses writes because it cannot save (MISCONF) is unusable, or is not.
    #[must_use]
    pub fn misconf_unusable(self, misconf_is_unusable: bool) -> Self {
        Self { misconf_is_unusable, ..self }
    }

    /// This policy, where a refused connection counts like a silent one: a firewall may refuse for a living server.
    #[must_use]
    pub fn patient_with_refusal(self, refusal_waits: bool) -> Self {
        Self { refusal_waits, ..self }
    }

    /// This policy, where a replica whose link is down for less than `link_grace` is still published as `OK`.
    #[must_use]
    pub fn with_link_grace(self, link_grace: Duration) -> Self {
        Self { link_grace, ..self }
    }

    /// This policy, where the third failover within [`FLAPPING_WINDOW`] waits for `wait`; zero for not at all.
    #[must_use]
    pub fn with_third_failover_waiting(self, wait: Duration) -> Self {
        Self { third_failover_waits: wait, ..self }
    }

    /// This policy, with another answer to replicas that nobody listed.
    #[must_use]
    pub fn with_discover(self, discover: Discover) -> Self {
        Self { discover, ..self }
    }

    /// This policy, with another fence.
    #[must_use]
    pub fn with_fencing(self, fencing: Fencing) -> Self {
        Self { fencing, ..self }
    }

    /// What keeps a master that is cut off from taking writes for long.
    pub fn fencing(&self) -> Fencing {
        self.fencing
    }

    /// This policy, with another answer to what a node that comes back holds beyond the group's history.
    #[must_use]
    pub fn with_on_divergence(self, on_divergence: OnDivergence) -> Self {
        Self { on_divergence, ..self }
    }

    /// This policy, where at most so many nodes of one host begin a full copy at a time; at least one does.
    #[must_use]
    pub fn with_parallel_syncs(self, parallel_syncs: u32) -> Self {
        Self { parallel_syncs: parallel_syncs.max(1), ..self }
    }

    /// What becomes of what a node that comes back holds beyond the point where its history was left.
    pub fn on_divergence(&self) -> OnDivergence {
        self.on_divergence
    }

    /// How many nodes of one host are told to begin a full copy at a time.
    pub fn parallel_syncs(&self) -> u32 {
        self.parallel_syncs
    }

    /// How long a replica's link may be down before it is published as `KO`; and how long, beyond `down_after`, a
    /// leader that does not reach the master keeps the lead where other monitors reach it.
    pub fn link_grace(&self) -> Duration {
        self.link_grace
    }

    /// How long the third failover within [`FLAPPING_WINDOW`] waits; zero for not at all.
    pub fn third_failover_waits(&self) -> Duration {
        self.third_failover_waits
    }

    /// What becomes of a replica that nobody listed.
    pub fn discover(&self) -> Discover {
        self.discover
    }

    /// Whether a master that refuses writes because it cannot save is unusable.
    pub fn misconf_is_unusable(&self) -> bool {
        self.misconf_is_unusable
    }

    /// Whether a refused connection counts like a silent one.
    pub fn refusal_waits(&self) -> bool {
        self.refusal_waits
    }

    /// All settings by their names in a configuration file, each as a person would write it.
    pub fn settings(&self) -> [(&'static str, String); 11] {
        // Without `..`: a new setting must be named here, too.
        let Self {
            quorum,
            down_after,
            probe_interval,
            misconf_is_unusable,
            refusal_waits,
            link_grace,
            third_failover_waits,
            discover,
            fencing,
            on_divergence,
            parallel_syncs,
        } = self;
        let quorum = quorum.map_or_else(|| "the majority".to_owned(), |quorum| quorum.to_string());
        [
            ("quorum", quorum),
            ("down_after", format!("{down_after:?}")),
            ("probe_interval", format!("{probe_interval:?}")),
            ("misconf_is_unusable", misconf_is_unusable.to_string()),
            ("refusal_waits", refusal_waits.to_string()),
            ("link_grace", format!("{link_grace:?}")),
            ("third_failover_waits", format!("{third_failover_waits:?}")),
            ("discover", discover.word().to_owned()),
            ("fencing", fencing.word().to_owned()),
            ("on_divergence", on_divergence.word().to_owned()),
            ("parallel_syncs", parallel_syncs.to_string()),
        ]
    }

    /// The chosen quorum, `None` for the majority.
    pub fn quorum(&self) -> Option<u32> {
        self.quorum
    }

    /// How long a question may stay unanswered before the node counts as silent.
    pub fn down_after(&self) -> Duration {
        self.down_after
    }

    /// How often a node is asked while nothing is in doubt.
    pub fn probe_interval(&self) -> Duration {
        self.probe_interval
    }

    /// How many of `registered` monitors must agree. Dead monitors count: a quorum never shrinks by itself.
    pub fn quorum_of(&self, registered: usize) -> usize {
        self.quorum.map_or(registered / 2 + 1, |quorum| usize::try_from(quorum).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_quorum_is_a_majority_of_the_registered() {
        let quorums: Vec<_> = (0..=5).map(|n| Policy::default().quorum_of(n)).collect();
        assert_eq!(quorums, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let ms = Duration::from_millis;
        assert_eq!(Policy::new(Some(0), ms(1000), ms(200)), Err(PolicyError::NoQuorum));
        assert!(matches!(Policy::new(None, ms(49), ms(10)), Err(PolicyError::DownAfter(_))));
        assert!(matches!(Policy::new(None, ms(300), ms(151)), Err(PolicyError::ProbeInterval { .. })));
        assert!(matches!(Policy::new(None, ms(300), ms(9)), Err(PolicyError::ProbeInterval { .. })));
        assert!(Policy::new(Some(2), ms(300), ms(150)).is_ok());
    }
}
