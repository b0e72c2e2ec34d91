//! From what was typed to what is meant. Nothing past this module sees an unchecked string; nothing is opened here but
//! the password's file.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use redis_failover_core::{Discover, MonitorId, NodeAddr, Policy};
use redis_failover_store::{ConnectString, GroupPath};
use secrecy::SecretString;

use crate::failure::{Failure, Kind};
use crate::redis_link::Credentials;

/// Where the group is published.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// ZooKeeper servers, HOST:PORT separated by commas, with an optional /chroot at the end.
    #[arg(short = 'z', long = "zkhosts", value_name = "HOSTS", env = "REDIS_FAILOVER_ZKHOSTS")]
    pub zkhosts: ConnectString,

    /// The group's path in ZooKeeper, for example /redis/cluster.
    #[arg(short = 'p', long = "path", value_name = "PATH", env = "REDIS_FAILOVER_PATH")]
    pub path: GroupPath,
}

/// What a monitor is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// The Redis servers of the group, HOST:PORT separated by commas, the preferred master first.
    #[arg(
        short = 'r',
        long = "redishosts",
        value_name = "NODES",
        required = true,
        value_delimiter = ',',
        value_parser = parse_node,
        env = "REDIS_FAILOVER_REDISHOSTS"
    )]
    redishosts: Vec<NodeAddr>,

    /// Seconds between two readings of INFO's slow sections; failures are noticed at once whatever it is.
    #[arg(short = 's', long = "sleeptime", value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    sleeptime: u64,

    /// This monitor's lasting name, different from every other monitor's [default: the host's name].
    #[arg(long, value_name = "ID")]
    id: Option<MonitorId>,

    /// Where other monitors and people can ask this monitor whether it lives (answers PING).
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// How many monitors must agree that a node is down [default: the majority of those registered].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    quorum: Option<u32>,

    /// How long a node may leave a question unanswered before it counts as down, for example 1s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    down_after: Duration,

    /// How often a node is asked while all is well.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = parse_time)]
    probe_interval: Duration,

    /// Replace a master that refuses writes because it cannot save to disk (MISCONF).
    #[arg(long)]
    misconf_is_unusable: bool,

    /// Let a refused connection wait for down-after like a silent one: where a firewall may refuse for a living server.
    #[arg(long)]
    refusal_waits: bool,

    /// How long a replica's link may be down before the replica is published as KO.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    link_grace: Duration,

    /// How long the third failover within ten minutes waits, lest it be no master that fails; 0s for not at all.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    third_failover_waits: Duration,

    /// What becomes of a replica that follows the master and stands in no list.
    #[arg(long, value_enum, default_value = "promote")]
    discover: DiscoverArg,

    /// Stand for the lead though a monitor of the Python predecessor is alive in this ensemble (for another group).
    #[arg(long)]
    take_over: bool,

    /// The ZooKeeper session's time-out: how long a dead monitor keeps the lead.
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = parse_time)]
    session_timeout: Duration,

    /// Call the Redis servers from this address of the host; ZooKeeper is called from the one that the system chooses.
    #[arg(long, value_name = "IP", env = "REDIS_FAILOVER_SOURCE_ADDRESS")]
    source_address: Option<IpAddr>,

    /// The ACL user on the Redis servers.
    #[arg(long, value_name = "USER", env = "REDIS_FAILOVER_REDIS_USERNAME")]
    redis_username: Option<String>,

    /// A file whose first line is the password on the Redis servers; or set `REDIS_FAILOVER_REDIS_PASSWORD`.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_REDIS_PASSWORD_FILE")]
    redis_password_file: Option<PathBuf>,
}

/// What becomes of a replica that nobody listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DiscoverArg {
    /// Nothing.
    Off,
    /// It is watched, published and read from, and never takes over.
    Watch,
    /// It becomes a node of the group like any other.
    Promote,
}

impl From<DiscoverArg> for Discover {
    fn from(choice: DiscoverArg) -> Self {
        match choice {
            DiscoverArg::Off => Self::Off,
            DiscoverArg::Watch => Self::Watch,
            DiscoverArg::Promote => Self::Promote,
        }
    }
}

/// A monitor's configuration, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The ZooKeeper servers.
    pub zkhosts: ConnectString,
    /// The group's path.
    pub path: GroupPath,
    /// The group's nodes in the operator's order.
    pub nodes: Vec<NodeAddr>,
    /// How often INFO's slow sections are read.
    pub slow_every: Duration,
    /// This monitor's id.
    pub id: MonitorId,
    /// Where it answers.
    pub listen: Option<SocketAddr>,
    /// What seeds the group's policy.
    pub policy: Policy,
    /// Whether it stands for the lead beside a living monitor of the predecessor.
    pub take_over: bool,
    /// The ZooKeeper session's time-out.
    pub session_timeout: Duration,
    /// Who we are to Redis.
    pub credentials: Credentials,
}

/// The variable that holds the password on the Redis servers. It is no option: an argv is readable by everybody.
pub(crate) const PASSWORD_VARIABLE: &str = "REDIS_FAILOVER_REDIS_PASSWORD";

impl RunArgs {
    /// Checks what was typed as a whole.
    ///
    /// # Errors
    /// With the option, the value, and what would be right. Nothing was opened but the password's file.
    pub(crate) fn check(self) -> Result<Config, Failure> {
        let usage = |message: String| Failure::new(Kind::Usage, message);
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.redishosts.iter().find(|node| !seen.insert(*node)) {
            return Err(usage(format!("--redishosts names {twice} twice"))
                .hint("each server stands in the list once, spelled as its clients reach it"));
        }
        let policy = Policy::new(self.quorum, self.down_after, self.probe_interval)
            .map_err(|error| usage(format!("the policy cannot stand: {error}")))?
            .misconf_unusable(self.misconf_is_unusable)
            .patient_with_refusal(self.refusal_waits)
            .with_link_grace(self.link_grace)
            .with_third_failover_waiting(self.third_failover_waits)
            .with_discover(self.discover.into());
        if !(Duration::from_millis(400)..=Duration::from_mins(5)).contains(&self.session_timeout) {
            return Err(usage(format!("--session-timeout {:?} is out of range", self.session_timeout))
                .hint("use 400ms to 300s; ZooKeeper grants 2 to 20 of its ticks (tickTime, 2s by default)"));
        }
        let id = match self.id {
            Some(id) => id,
            None => host_name()?,
        };
        let password = password(self.redis_password_file)?;
        if self.redis_username.is_some() && password.is_none() {
            return Err(usage("--redis-username needs a password".into())
                .hint(format!("give --redis-password-file FILE, or set {PASSWORD_VARIABLE}")));
        }
        Ok(Config {
            zkhosts: self.store.zkhosts,
            path: self.store.path,
            nodes: self.redishosts,
            slow_every: Duration::from_secs(self.sleeptime),
            id,
            listen: self.listen,
            policy,
            take_over: self.take_over,
            session_timeout: self.session_timeout,
            credentials: Credentials {
                username: self.redis_username,
                password,
                source_address: self.source_address,
            },
        })
    }
}

fn host_name() -> Result<MonitorId, Failure> {
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.parse().map_err(|error| {
        Failure::new(Kind::Usage, format!("the host's name can't be this monitor's id: {error}"))
            .hint("give --id ID")
    })
}

fn password(file: Option<PathBuf>) -> Result<Option<SecretString>, Failure> {
    let Some(file) = file else {
        return Ok(std::env::var(PASSWORD_VARIABLE).ok().filter(|it| !it.is_empty()).map(Into::into));
    };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Failure::new(Kind::Failed, format!("--redis-password-file {}: {error}", file.display()))
            .hint("the file must be readable by the user that runs the monitor")
    })?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Some(line.into())),
        None => Err(Failure::new(
            Kind::Failed,
            format!("--redis-password-file {}: its first line is empty", file.display()),
        )),
    }
}

pub(crate) fn parse_node(text: &str) -> Result<NodeAddr, String> {
    text.trim().parse::<NodeAddr>().map_err(|error| error.to_string())
}

/// A number with `ms`, `s` or `m`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let wrong =
        || format!("`{text}` is no time: write a whole number with ms, s or m, for example 500ms or 1s");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("1m"), Ok(Duration::from_mins(1)));
        for text in ["", "5", "s", "-1s", "1h", "1.5s", "99999999999999999999s"] {
            assert!(parse_time(text).expect_err(text).contains("500ms"), "{text}");
        }
    }
}
