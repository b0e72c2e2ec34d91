//! What the configuration file of one sentinel says. It shows no value of a line, for that may be a password.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::NodeAddr;
use secrecy::SecretString;

use super::directives::{Directive, Fate, SENTINEL, SERVER, find};
use super::words::{Unbalanced, Words, lines};
use crate::config::{near, nearest};
use crate::failure::{Failure, Kind};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line's number, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What one sentinel knows of one master.
#[derive(Clone, Debug)]
pub(super) struct Master {
    pub(super) name: String,
    pub(super) address: NodeAddr,
    pub(super) quorum: u32,
    pub(super) replicas: Vec<NodeAddr>,
    /// Where the other sentinels are.
    pub(super) sentinels: BTreeSet<NodeAddr>,
    pub(super) config_epoch: u64,
    pub(super) down_after: Option<Duration>,
    pub(super) parallel_syncs: Option<u32>,
    pub(super) user: Option<String>,
    /// It need not be text.
    pub(super) password: Option<Password>,
}

/// The password on the Redis servers.
#[derive(Clone, Debug)]
pub(crate) enum Password {
    /// It can stand in the first line of a file.
    Text(SecretString),
    /// It is not text, or has more than one line.
    Other,
}

/// A line without a counterpart.
#[derive(Clone, Debug)]
pub(super) struct Unmatched {
    pub(super) place: Place,
    /// As the file calls it, with `sentinel` before it where that stands there.
    pub(super) directive: String,
    pub(super) fate: Unknown,
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// What it did, and what does that here.
    Without(&'static str, &'static str),
    /// It is no directive of Sentinel's; what may have been meant.
    NoDirective(Option<String>),
}

/// The file of one sentinel.
#[derive(Clone, Debug)]
pub(crate) struct SentinelFile {
    pub(super) name: Arc<str>,
    pub(super) masters: Vec<Master>,
    /// What it says of TLS, and where it ran and answered: each directive's value.
    pub(super) server: BTreeMap<&'static str, String>,
    pub(super) unmatched: Vec<Unmatched>,
}

/// What is taken from a line that is also told as one without a counterpart: what it says elsewhere is said of this.
const ALSO_KEPT: [&str; 3] = ["dir", "port", "tls-port"];

/// A line, as far as it is understood.
struct Line {
    place: Place,
    /// As it is spelled, for people.
    spelled: String,
    known: Option<&'static Directive>,
    is_sentinel: bool,
    values: Words,
}

impl SentinelFile {
    /// Reads what stands in the file of this name.
    ///
    /// # Errors
    /// With the line, the directive, and what would be right.
    pub(crate) fn read(name: &str, text: &[u8]) -> Result<Self, Failure> {
        let name: Arc<str> = name.into();
        let said = lines(text).map(|(line, words)| Line::of(Place { file: name.clone(), line }, words));
        let said = said.collect::<Result<Vec<_>, _>>()?;
        let mut file = Self { name, masters: Vec::new(), server: BTreeMap::new(), unmatched: Vec::new() };
        // As Sentinel does: a master may be named above the line that has it monitored.
        let (monitors, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|line| line.is("monitor"));
        for line in &monitors {
            file.monitor(line)?;
        }
        for line in &others {
            file.take(line)?;
        }
        Ok(file)
    }

    /// The sentinels of this master, itself counted.
    pub(super) fn sentinels_of(&self, master: &str) -> usize {
        self.masters.iter().find(|it| it.name == master).map_or(0, |it| it.sentinels.len() + 1)
    }

    /// The file that a directive names, from where the server ran; `None` where it names none.
    pub(super) fn path(&self, directive: &str) -> Option<PathBuf> {
        let path = Path::new(self.server.get(directive).filter(|path| !path.is_empty())?);
        let directory = self.server.get("dir").map_or(Path::new(""), Path::new);
        Some(directory.join(path))
    }

    fn monitor(&mut self, line: &Line) -> Result<(), Failure> {
        let name = line.text(0)?.to_owned();
        if self.masters.iter().any(|master| master.name == name) {
            return Err(line.wrong(format_args!("`{name}` is monitored twice")));
        }
        self.masters.push(Master {
            name,
            address: line.node(1)?,
            quorum: line.number::<NonZeroU32>(3)?.get(),
            replicas: Vec::new(),
            sentinels: BTreeSet::new(),
            config_epoch: 0,
            down_after: None,
            parallel_syncs: None,
            user: None,
            password: None,
        });
        Ok(())
    }

    fn take(&mut self, line: &Line) -> Result<(), Failure> {
        match line.known {
            Some(known) if line.is_sentinel && known.is_of_a_master() => {
                self.master(line)?.take(known.name, line)?;
            }
            Some(known)
                if !line.is_sentinel && (known.fate == Fate::Kept || ALSO_KEPT.contains(&known.name)) =>
            {
                self.server.insert(known.name, line.text(0)?.to_owned());
            }
            _ => {}
        }
        let fate = match line.known.map(|known| known.fate) {
            Some(Fate::Kept) => return Ok(()),
            Some(Fate::Without(did, here)) => Unknown::Without(did, here),
            None => Unknown::NoDirective(line.meant()),
        };
        let (place, directive) = (line.place.clone(), line.spelled.clone());
        self.unmatched.push(Unmatched { place, directive, fate });
        Ok(())
    }

    /// The master that the line is about.
    fn master(&mut self, line: &Line) -> Result<&mut Master, Failure> {
        let name = line.text(0)?;
        let Some(index) = self.masters.iter().position(|master| master.name == name) else {
            let names: Vec<_> = self.masters.iter().map(|master| &*master.name).collect();
            // Not the name that was written: in a line whose values are in the wrong order it is the password.
            let wrong = line.wrong(format_args!("the first value is no master that this file monitors"));
            return Err(if names.is_empty() { wrong } else { wrong.hint(nearest(name, &names)) });
        };
        Ok(&mut self.masters[index])
    }
}

impl Master {
    fn take(&mut self, directive: &str, line: &Line) -> Result<(), Failure> {
        match directive {
            "down-after-milliseconds" => {
                self.down_after = Some(Duration::from_millis(line.number::<NonZeroU64>(1)?.get()));
            }
            "parallel-syncs" => self.parallel_syncs = Some(line.number::<NonZeroU32>(1)?.get()),
            "config-epoch" => self.config_epoch = line.number(1)?,
            "auth-user" => self.user = Some(line.text(1)?.to_owned()),
            "auth-pass" => {
                let text = line.text(1).ok().filter(|it| !it.is_empty() && !it.contains(['\n', '\r']));
                self.password = Some(text.map_or(Password::Other, |it| Password::Text(it.into())));
            }
            "known-replica" | "known-slave" => self.replicas.push(line.node(1)?),
            "known-sentinel" => drop(self.sentinels.insert(line.node(1)?)),
            _ => {}
        }
        Ok(())
    }
}

impl Line {
    fn of(place: Place, words: Result<Words, Unbalanced>) -> Result<Self, Failure> {
        let usage = |why: String| Failure::new(Kind::Usage, why);
        let Ok(mut values) = words else {
            let why = format!("{place}: a quotation mark is not closed, or something follows it at once");
            return Err(usage(why).hint("write a value with spaces as \"a b\", and \\\" for the mark itself"));
        };
        let is_sentinel = values[0].eq_ignore_ascii_case(b"sentinel");
        let named = 1 + usize::from(is_sentinel);
        if values.len() < named {
            return Err(usage(format!("{place}: nothing comes after `sentinel`")));
        }
        let spelled: Vec<_> = values.drain(..named).collect();
        let spelled = spelled.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>();
        let table = if is_sentinel { &SENTINEL[..] } else { &SERVER };
        let known = find(table, &spelled[named - 1]);
        let line = Self { place, spelled: spelled.join(" "), known, is_sentinel, values };
        match known {
            Some(known) if !known.takes(line.values.len()) => {
                let needed = known.takes.split(' ').count();
                let many = if line.values.len() < needed { "too few" } else { "too many" };
                Err(line.wrong(format_args!("it has {many} values")))
            }
            _ => Ok(line),
        }
    }

    fn is(&self, directive: &str) -> bool {
        self.is_sentinel && self.known.is_some_and(|known| known.name == directive)
    }

    /// The directive that it is most like.
    fn meant(&self) -> Option<String> {
        let (table, before) = if self.is_sentinel { (&SENTINEL[..], "sentinel ") } else { (&SERVER[..], "") };
        let names: Vec<_> = table.iter().map(|known| format!("{before}{}", known.name)).collect();
        let names: Vec<_> = names.iter().map(|name| &**name).collect();
        near(&self.spelled.to_lowercase(), &names).map(str::to_owned)
    }

    /// That something is wrong with the line, and what it takes.
    fn wrong(&self, why: fmt::Arguments<'_>) -> Failure {
        let failure = Failure::new(Kind::Usage, format!("{}: `{}`: {why}", self.place, self.spelled));
        let Some(known) = self.known else { return failure };
        let before = if self.is_sentinel { "sentinel " } else { "" };
        failure.hint(format!("write `{before}{} {}`", known.name, known.takes))
    }

    fn text(&self, value: usize) -> Result<&str, Failure> {
        let text = self.values.get(value).map(|bytes| std::str::from_utf8(bytes));
        text.and_then(Result::ok).ok_or_else(|| self.wrong(format_args!("value {} is no text", value + 1)))
    }

    fn number<T: FromStr>(&self, value: usize) -> Result<T, Failure> {
        let wrong = |_| self.wrong(format_args!("value {} is no number that it can have", value + 1));
        self.text(value)?.parse().map_err(wrong)
    }

    /// The address whose host is this value, and whose port is the next.
    fn node(&self, host: usize) -> Result<NodeAddr, Failure> {
        let address = format!("[{}]:{}", self.text(host)?, self.text(host + 1)?);
        let wrong = |_| self.wrong(format_args!("values {} and {} are no address", host + 1, host + 2));
        address.parse().map_err(wrong)
    }
}
