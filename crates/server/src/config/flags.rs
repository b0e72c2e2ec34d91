//! The options of `run` and `check-config`. Each may also be said by an environment variable; a configuration file says
//! all of it for many groups, and then none of them may contradict it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use redis_failover_core::{MonitorId, NodeAddr};
use redis_failover_store::{Access, ConnectString, GroupPath};

use super::backing::{self, AloneArgs};
use super::choices::{DiscoverArg, FencingArg, OnDivergenceArg};
use super::group::Origin;
use super::said::Said;
use super::secure::{REDIS_PASSWORD, RedisTlsArgs, ZOOKEEPER_PASSWORD, ZooKeeperArgs, said_by_variable};
use super::sentinel::SentinelArgs;
use super::values::{parse_announced, parse_node, parse_size, parse_time};
use super::{Config, ConfigFile, Identity, usage};
use crate::failure::Failure;

/// Where the group is published.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// ZooKeeper servers, HOST:PORT separated by commas, with an optional /chroot at the end.
    #[arg(short = 'z', long = "zkhosts", value_name = "HOSTS", env = "REDIS_FAILOVER_ZKHOSTS")]
    pub zkhosts: ConnectString,

    /// The group's path in ZooKeeper, for example /redis/cluster.
    #[arg(short = 'p', long = "path", value_name = "PATH", env = "REDIS_FAILOVER_PATH")]
    pub path: GroupPath,

    /// How it is called.
    #[command(flatten)]
    pub zookeeper: ZooKeeperArgs,
}

impl StoreArgs {
    /// How the servers are called.
    ///
    /// # Errors
    /// With the option, the file, and what is wrong with it.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        self.zookeeper.access(&self.zkhosts)
    }
}

/// What a monitor is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// A file that says all this for one or many groups; only --id, --listen, --announce and what begins with
    /// --sentinel may be given beside it.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_CONFIG")]
    config: Option<PathBuf>,

    /// ZooKeeper servers, HOST:PORT separated by commas, with an optional /chroot at the end.
    #[arg(short = 'z', long = "zkhosts", value_name = "HOSTS", env = "REDIS_FAILOVER_ZKHOSTS",
          required_unless_present_any = ["config", "embedded"])]
    zkhosts: Option<ConnectString>,

    /// The group's path in ZooKeeper, for example /redis/cluster [default with --embedded: /mymaster].
    #[arg(short = 'p', long = "path", value_name = "PATH", env = "REDIS_FAILOVER_PATH",
          required_unless_present_any = ["config", "embedded"])]
    path: Option<GroupPath>,

    #[command(flatten)]
    alone: AloneArgs,

    /// The Redis servers of the group, HOST:PORT separated by commas, the preferred master first.
    #[arg(
        short = 'r',
        long = "redishosts",
        value_name = "NODES",
        required_unless_present_any = ["config", "sentinel"],
        value_delimiter = ',',
        value_parser = parse_node,
        env = "REDIS_FAILOVER_REDISHOSTS"
    )]
    redishosts: Option<Vec<NodeAddr>>,

    /// Seconds between two readings of INFO's slow sections; failures are noticed at once whatever it is [default: 30].
    #[arg(short = 's', long = "sleeptime", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    sleeptime: Option<u64>,

    /// This monitor's lasting name, different from every other monitor's [default: the host's name].
    #[arg(long, value_name = "ID")]
    id: Option<MonitorId>,

    /// Where other monitors and people can ask this monitor whether it lives (answers PING).
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where the others are told to ask this monitor; port 0 is the one that it listens on [default: what it listens
    /// on, or the host's name where that is every address].
    #[arg(long, value_name = "ADDR", value_parser = parse_announced)]
    announce: Option<NodeAddr>,

    #[command(flatten)]
    sentinel: SentinelArgs,

    /// How many monitors must agree that a node is down [default: the majority of those registered].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    quorum: Option<u32>,

    /// How long a node may leave a question unanswered before it counts as down, 500ms for example [default: 1s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    down_after: Option<Duration>,

    /// How often a node is asked while all is well [default: 200ms].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    probe_interval: Option<Duration>,

    /// Replace a master that refuses writes because it cannot save to disk (MISCONF).
    #[arg(long)]
    misconf_is_unusable: bool,

    /// Let a refused connection wait for down-after like a silent one: where a firewall may refuse for a living server.
    #[arg(long)]
    refusal_waits: bool,

    /// How long a replica's link may be down before the replica is published as KO, and how long beyond --down-after a
    /// leader that does not reach the master keeps the lead where others reach it [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    link_grace: Option<Duration>,

    /// How long the third failover within ten minutes waits, lest it be no master that fails; 0s for not at all
    /// [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    third_failover_waits: Option<Duration>,

    /// What becomes of a replica that follows the master and stands in no list [default: promote].
    #[arg(long, value_enum)]
    discover: Option<DiscoverArg>,

    /// What becomes of what a node that comes back holds beyond the point where its history was left
    /// [default: discard].
    #[arg(long, value_enum)]
    on_divergence: Option<OnDivergenceArg>,

    /// How many nodes of one host are told to begin a full copy at a time [default: 1].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    parallel_syncs: Option<u32>,

    /// What keeps a master that is cut off from taking writes for long [default: replicas].
    #[arg(long, value_enum)]
    fencing: Option<FencingArg>,

    /// Stand for the lead though a monitor of the Python predecessor is alive in this ensemble (for another group).
    #[arg(long)]
    take_over: bool,

    /// Write a journal to this file, from which `replay` shows each decision and what it was based on.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_JOURNAL")]
    journal: Option<PathBuf>,

    /// How much of the journal is kept, in KiB, MiB or GiB: FILE and FILE.1 together [default: 16MiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "journal")]
    journal_limit: Option<u64>,

    /// The ZooKeeper session's time-out: how long a dead monitor keeps the lead [default: 6s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    session_timeout: Option<Duration>,

    /// Call the Redis servers from this address of the host; ZooKeeper is called from the one that the system chooses.
    #[arg(long, value_name = "IP", env = "REDIS_FAILOVER_SOURCE_ADDRESS")]
    source_address: Option<IpAddr>,

    /// The ACL user on the Redis servers.
    #[arg(long, value_name = "USER", env = "REDIS_FAILOVER_REDIS_USERNAME")]
    redis_username: Option<String>,

    /// A file whose first line is the password on the Redis servers; or set `REDIS_FAILOVER_REDIS_PASSWORD`.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_REDIS_PASSWORD_FILE")]
    redis_password_file: Option<PathBuf>,

    #[command(flatten)]
    redis: RedisTlsArgs,

    #[command(flatten)]
    zookeeper: ZooKeeperArgs,
}

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Options, which stay what they are: one group.
    Flags(Box<Config>),
    /// A file, which can be read again.
    File(Box<ConfigFile>),
}

impl RunArgs {
    /// Tells options from a file, and refuses both at once. A file is not read yet.
    ///
    /// # Errors
    /// With the option, the value, and what would be right. Nothing was opened but the password's file.
    pub(crate) fn source(self) -> Result<Source, Failure> {
        let (id, listen, announce) = (self.id.clone(), self.listen, self.announce.clone());
        let identity = Identity { id, listen, announce, sentinel: self.sentinel.said() };
        let config = self.config.clone();
        let alone = self.alone.clone();
        let mut said = self.said();
        if let Some(file) = config {
            if let Some(option) = alone.first_given().or_else(|| first_given(&said)) {
                return Err(usage(format!("{option} contradicts --config {}", file.display())).hint(
                    "say it in the file; beside it only --id, --listen, --announce and --sentinel are read",
                ));
            }
            return Ok(Source::File(Box::new(ConfigFile::new(file, identity))));
        }
        let state_file = backing::state_file(&Origin::Flags, alone.embedded, alone.state_file)?;
        if state_file.is_some() && said.path.is_none() {
            said.path = Some(backing::PATH.parse().map_err(usage)?);
        }
        let group = said.check(Origin::Flags, state_file.as_deref())?;
        Ok(Source::Flags(Box::new(Config::new(identity, &Origin::Flags, vec![group])?)))
    }

    fn said(self) -> Said {
        let mut said = Said {
            name: None,
            path: self.path,
            zkhosts: self.zkhosts,
            redishosts: self.redishosts,
            sleeptime: self.sleeptime,
            quorum: self.quorum,
            down_after: self.down_after,
            probe_interval: self.probe_interval,
            misconf_is_unusable: self.misconf_is_unusable.then_some(true),
            refusal_waits: self.refusal_waits.then_some(true),
            link_grace: self.link_grace,
            third_failover_waits: self.third_failover_waits,
            discover: self.discover.map(Into::into),
            on_divergence: self.on_divergence.map(Into::into),
            parallel_syncs: self.parallel_syncs,
            fencing: self.fencing.map(Into::into),
            take_over: self.take_over.then_some(true),
            journal: self.journal,
            journal_limit: self.journal_limit,
            session_timeout: self.session_timeout,
            source_address: self.source_address,
            redis_username: self.redis_username,
            redis_password_file: self.redis_password_file,
            redis_password: said_by_variable(REDIS_PASSWORD),
            ..Said::default()
        };
        self.redis.say(&mut said);
        self.zookeeper.say(&mut said);
        said
    }
}

/// An option that says something of a group, with the variable that may have said it.
#[expect(clippy::too_many_lines, reason = "a list with two lines for each option")]
fn first_given(said: &Said) -> Option<&'static str> {
    // Without `..`: a new option must be named here, too.
    let Said {
        name: _,
        path,
        zkhosts,
        redishosts,
        sleeptime,
        quorum,
        down_after,
        probe_interval,
        misconf_is_unusable,
        refusal_waits,
        link_grace,
        third_failover_waits,
        discover,
        on_divergence,
        parallel_syncs,
        fencing,
        take_over,
        journal,
        journal_limit,
        session_timeout,
        source_address,
        redis_username,
        redis_password_file,
        redis_password,
        redis_tls,
        redis_tls_ca_file,
        redis_tls_cert_file,
        redis_tls_key_file,
        redis_tls_server_name,
        zookeeper_user,
        zookeeper_password_file,
        zookeeper_password,
        zookeeper_tls,
        zookeeper_tls_ca_file,
        zookeeper_tls_cert_file,
        zookeeper_tls_key_file,
    } = said;
    let given = [
        ("--zkhosts (or REDIS_FAILOVER_ZKHOSTS)", zkhosts.is_some()),
        ("--path (or REDIS_FAILOVER_PATH)", path.is_some()),
        ("--redishosts (or REDIS_FAILOVER_REDISHOSTS)", redishosts.is_some()),
        ("--sleeptime", sleeptime.is_some()),
        ("--quorum", quorum.is_some()),
        ("--down-after", down_after.is_some()),
        ("--probe-interval", probe_interval.is_some()),
        ("--misconf-is-unusable", misconf_is_unusable.is_some()),
        ("--refusal-waits", refusal_waits.is_some()),
        ("--link-grace", link_grace.is_some()),
        ("--third-failover-waits", third_failover_waits.is_some()),
        ("--discover", discover.is_some()),
        ("--on-divergence", on_divergence.is_some()),
        ("--parallel-syncs", parallel_syncs.is_some()),
        ("--fencing", fencing.is_some()),
        ("--take-over", take_over.is_some()),
        ("--journal (or REDIS_FAILOVER_JOURNAL)", journal.is_some()),
        ("--journal-limit", journal_limit.is_some()),
        ("--session-timeout", session_timeout.is_some()),
        ("--source-address (or REDIS_FAILOVER_SOURCE_ADDRESS)", source_address.is_some()),
        ("--redis-username (or REDIS_FAILOVER_REDIS_USERNAME)", redis_username.is_some()),
        ("--redis-password-file (or REDIS_FAILOVER_REDIS_PASSWORD_FILE)", redis_password_file.is_some()),
        (REDIS_PASSWORD, redis_password.is_some()),
        ("--redis-tls (or REDIS_FAILOVER_REDIS_TLS)", redis_tls.is_some()),
        ("--redis-tls-ca-file (or REDIS_FAILOVER_REDIS_TLS_CA_FILE)", redis_tls_ca_file.is_some()),
        ("--redis-tls-cert-file (or REDIS_FAILOVER_REDIS_TLS_CERT_FILE)", redis_tls_cert_file.is_some()),
        ("--redis-tls-key-file (or REDIS_FAILOVER_REDIS_TLS_KEY_FILE)", redis_tls_key_file.is_some()),
        (
            "--redis-tls-server-name (or REDIS_FAILOVER_REDIS_TLS_SERVER_NAME)",
            redis_tls_server_name.is_some(),
        ),
        ("--zookeeper-user (or REDIS_FAILOVER_ZOOKEEPER_USER)", zookeeper_user.is_some()),
        (
            "--zookeeper-password-file (or REDIS_FAILOVER_ZOOKEEPER_PASSWORD_FILE)",
            zookeeper_password_file.is_some(),
        ),
        (ZOOKEEPER_PASSWORD, zookeeper_password.is_some()),
        ("--zookeeper-tls (or REDIS_FAILOVER_ZOOKEEPER_TLS)", zookeeper_tls.is_some()),
        (
            "--zookeeper-tls-ca-file (or REDIS_FAILOVER_ZOOKEEPER_TLS_CA_FILE)",
            zookeeper_tls_ca_file.is_some(),
        ),
        (
            "--zookeeper-tls-cert-file (or REDIS_FAILOVER_ZOOKEEPER_TLS_CERT_FILE)",
            zookeeper_tls_cert_file.is_some(),
        ),
        (
            "--zookeeper-tls-key-file (or REDIS_FAILOVER_ZOOKEEPER_TLS_KEY_FILE)",
            zookeeper_tls_key_file.is_some(),
        ),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}
