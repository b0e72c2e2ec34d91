//! From which nodes a client reads, of those that it may read from: judged by what they said last and by how far away
//! they are. It asks nobody, and reads no clock: times come as how long ago something was.

use std::fmt;
use std::time::Duration;

use crate::follower::Manner;

/// Where reads go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFrom {
    /// To the healthy replicas in turn, to the master when there is none. A read may miss what was just written.
    #[default]
    Replica,
    /// To the master, like the writes.
    Master,
    /// To the healthy replicas and the master in turn. A read may miss what was just written.
    Any,
    /// To the nodes that answer fastest, replicas and master alike, in turn. A read may miss what was just written.
    Nearest,
}

impl ReadFrom {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Replica, Self::Master, Self::Any, Self::Nearest];

    /// The one that displays so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.to_string() == name)
    }
}

impl fmt::Display for ReadFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replica => "replica",
            Self::Master => "master",
            Self::Any => "any",
            Self::Nearest => "nearest",
        })
    }
}

/// How often a client asks each node how it is.
pub const QUESTION_PERIOD: Duration = Duration::from_secs(1);

/// What a silence may seem longer than it is: an answer is a second old before the next one comes, and Redis counts in
/// whole seconds, by a clock of whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// What a client reads by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Where reads go.
    pub read_from: ReadFrom,
    /// For how long a replica may have heard nothing of its master, give or take two seconds; `None`: for ever.
    pub max_lag: Option<Duration>,
    /// By how much a node may be farther away than the nearest, for [`ReadFrom::Nearest`].
    pub tolerance: Duration,
}

/// What a client knows of a node that is published as one that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Whether it is the master, and not a replica.
    pub leads: bool,
    /// Whether commands may be sent to it now.
    pub usable: bool,
    /// Whether it is in the program's own zone.
    pub own_zone: bool,
    /// How long it took to answer, smoothed; `None` before its first answer.
    pub round_trip: Option<Duration>,
    /// For how long the question that it has not answered yet is under way; zero where there is none.
    pub waited: Duration,
    /// How it follows.
    pub pulse: Pulse,
}

/// What a node said last of how it follows its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Nothing yet.
    Unasked,
    /// The user may not ask.
    Secret,
    /// It answered.
    Heard {
        /// As what it serves.
        manner: Manner,
        /// How long ago it heard of its master, as far as it said; `None`: never since it was connected.
        silent: Option<Duration>,
    },
}

impl Rules {
    /// The nodes that reads take in turn, as their places in `readers`. None: reads go to the master.
    ///
    /// Where one in the own zone may be read, no other is. Distance is judged among those that are left.
    pub fn choose(&self, readers: &[Reader]) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..readers.len()).filter(|it| self.admits(&readers[*it])).collect();
        if chosen.iter().any(|it| readers[*it].own_zone) {
            chosen.retain(|it| readers[*it].own_zone);
        }
        if self.read_from == ReadFrom::Nearest
            && let Some(nearest) = chosen.iter().filter_map(|it| readers[*it].distance()).min()
        {
            let limit = nearest.saturating_add(self.tolerance);
            chosen.retain(|it| readers[*it].distance().is_some_and(|distance| distance <= limit));
        }
        chosen
    }

    fn admits(&self, reader: &Reader) -> bool {
        let wanted = match self.read_from {
            ReadFrom::Replica => !reader.leads,
            ReadFrom::Master => false,
            ReadFrom::Any | ReadFrom::Nearest => true,
        };
        wanted && reader.usable && (reader.leads || self.is_fresh(reader.pulse))
    }

    /// Whether a replica has heard of its master lately. Whether its link to the master is up does not count: what it
    /// missed is no older than when that went down, and while the master is being changed no link is up.
    fn is_fresh(&self, pulse: Pulse) -> bool {
        let Some(max_lag) = self.max_lag else { return true };
        match pulse {
            // Then the monitors' word alone counts.
            Pulse::Secret => true,
            Pulse::Heard { manner: Manner::Replica, silent } => {
                silent.is_some_and(|silent| silent <= max_lag.saturating_add(ROUNDING))
            }
            Pulse::Unasked | Pulse::Heard { .. } => false,
        }
    }
}

impl Reader {
    /// How long an answer takes, or longer: one that is not there yet counts by what it has taken already.
    fn distance(&self) -> Option<Duration> {
        self.round_trip.map(|round_trip| round_trip.max(self.waited))
    }
}

/// The round trip that is believed after a new one was measured.
///
/// A shorter one is believed quickly and a longer one slowly: what came late may have waited here.
pub fn smoothed(believed: Option<Duration>, measured: Duration) -> Duration {
    match believed {
        None => measured,
        Some(believed) if measured < believed => (believed + measured) / 2,
        Some(believed) => believed + measured.saturating_sub(believed) / 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rules(read_from: ReadFrom) -> Rules {
        Rules { read_from, max_lag: Some(seconds(10)), tolerance: MILLISECOND }
    }

    /// A node in words: `master` or `replica`, then what is not as it should be.
    fn reader(words: &str) -> Reader {
        let leads = words.starts_with("master");
        let mut manner = if leads { Manner::Master } else { Manner::Replica };
        let (mut silent, mut pulse) = (Some(Duration::ZERO), None);
        let mut reader = Reader {
            leads,
            usable: true,
            own_zone: false,
            round_trip: None,
            waited: Duration::ZERO,
            pulse: Pulse::Unasked,
        };
        for word in words.split(' ').skip(1) {
            let number = |text: &str| text.parse::<u64>().expect("a number");
            match word.split_once('=').unwrap_or((word, "")) {
                ("doubted", _) => reader.usable = false,
                ("zone", _) => reader.own_zone = true,
                ("syncing", _) => manner = Manner::Filling,
                ("promoted", _) => manner = Manner::Master,
                ("silent", it) => silent = Some(Duration::from_millis(number(it))),
                ("deaf", _) => silent = None,
                ("us", it) => reader.round_trip = Some(Duration::from_micros(number(it))),
                ("waited", it) => reader.waited = Duration::from_micros(number(it)),
                ("unasked", _) => pulse = Some(Pulse::Unasked),
                ("secret", _) => pulse = Some(Pulse::Secret),
                (other, _) => panic!("{other}"),
            }
        }
        reader.pulse = pulse.unwrap_or(Pulse::Heard { manner, silent });
        reader
    }

    /// Nodes in words, and which of them are read from.
    type Case = (&'static [&'static str], &'static [usize]);

    fn holds(rules: Rules, cases: &[Case]) {
        for (nodes, chosen) in cases {
            let readers: Vec<_> = nodes.iter().map(|words| reader(words)).collect();
            assert_eq!(rules.choose(&readers), *chosen, "{rules:?} of {nodes:?}");
        }
    }

    #[test]
    fn reads_go_where_they_are_wanted() {
        let nodes: &[_] = &["master", "replica", "replica", "replica doubted"];
        holds(rules(ReadFrom::Replica), &[(nodes, &[1, 2]), (&["master"], &[])]);
        holds(rules(ReadFrom::Master), &[(nodes, &[])]);
        holds(rules(ReadFrom::Any), &[(nodes, &[0, 1, 2]), (&["master doubted", "replica"], &[1])]);
        holds(rules(ReadFrom::Nearest), &[(nodes, &[0, 1, 2])]);
    }

    #[test]
    fn a_replica_that_heard_nothing_of_its_master_is_not_read() {
        let cases: &[Case] = &[
            (&["replica deaf", "replica syncing", "replica promoted", "replica unasked"], &[]),
            (&["replica secret", "replica silent=12000", "replica silent=12001"], &[0, 1]),
        ];
        holds(rules(ReadFrom::Replica), cases);
        holds(rules(ReadFrom::Nearest), cases);
        let unlimited = Rules { max_lag: None, ..rules(ReadFrom::Replica) };
        holds(unlimited, &[(&["replica deaf", "replica unasked", "replica silent=99000"], &[0, 1, 2])]);
        let strict = Rules { max_lag: Some(Duration::ZERO), ..rules(ReadFrom::Replica) };
        holds(strict, &[(&["replica", "replica silent=2000", "replica silent=2001"], &[0, 1])]);
    }

    #[test]
    fn a_master_has_no_lag() {
        holds(rules(ReadFrom::Any), &[(&["master silent=99000", "master unasked"], &[0, 1])]);
    }

    #[test]
    fn the_own_zone_is_left_only_when_nobody_there_may_be_read() {
        holds(
            rules(ReadFrom::Replica),
            &[
                (&["replica", "replica zone", "replica zone", "master zone"], &[1, 2]),
                (&["replica", "replica zone doubted", "replica zone deaf"], &[0]),
                (&["replica", "master zone"], &[0]),
            ],
        );
        holds(rules(ReadFrom::Any), &[(&["replica", "master zone"], &[1])]);
        // The nearest of the zone, though another one is nearer.
        holds(
            rules(ReadFrom::Nearest),
            &[(&["replica us=10", "replica zone us=5000", "replica zone us=9000"], &[1])],
        );
    }

    #[test]
    fn the_nearest_are_those_within_the_tolerance_of_the_first() {
        holds(
            rules(ReadFrom::Nearest),
            &[
                (&["replica us=200", "master us=1200", "replica us=1201"], &[0, 1]),
                (&["replica", "replica us=90000"], &[1]),
                (&["replica", "master"], &[0, 1]),
                // The nearest lags, and the next one counts.
                (&["replica us=1 syncing", "replica us=5000", "replica us=5500"], &[1, 2]),
                // It was near as long as it answered.
                (&["replica us=100 waited=5000", "replica us=800"], &[1]),
                (&["replica us=100 waited=900", "replica us=800"], &[0, 1]),
            ],
        );
    }

    #[test]
    fn a_shorter_round_trip_is_believed_sooner_than_a_longer_one() {
        let believe = |believed: u64, measured: u64| smoothed(Some(seconds(believed)), seconds(measured));
        assert_eq!(smoothed(None, seconds(7)), seconds(7));
        assert_eq!(believe(8, 4), seconds(6));
        assert_eq!(believe(4, 8), seconds(5));
        assert_eq!(believe(4, 4), seconds(4));
    }

    #[test]
    fn every_place_is_found_by_its_name() {
        for it in ReadFrom::ALL {
            assert_eq!(ReadFrom::named(&it.to_string()), Some(it));
        }
        assert_eq!(ReadFrom::named("nearby"), None);
    }
}
