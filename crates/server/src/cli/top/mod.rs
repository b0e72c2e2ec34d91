//! `redis-failover top`: groups on a full screen, as they are now. It asks ZooKeeper and the nodes; it changes nothing.

mod collect;
mod draw;
mod model;
mod node;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_store::{ConnectString, GroupPath};

use crate::config::{Backing, ConfigFile, Ensemble, GroupConfig, RedisArgs, ZooKeeperArgs};
use crate::failure::{Failure, Kind};
use crate::redis_link::Credentials;

/// What `top` is asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Keys: up and down (or k and j) choose the group, ? shows what stands where, q, Esc or Ctrl-C end it."
)]
pub(super) struct TopArgs {
    /// Show all groups of this configuration file, called as it says.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["zkhosts", "path"])]
    config: Option<PathBuf>,

    /// ZooKeeper servers, HOST:PORT separated by commas, with an optional /chroot at the end.
    #[arg(
        short = 'z',
        long = "zkhosts",
        value_name = "HOSTS",
        required_unless_present = "config",
        env = "REDIS_FAILOVER_ZKHOSTS"
    )]
    zkhosts: Option<ConnectString>,

    /// The groups' paths in ZooKeeper, for example /redis/orders /redis/sessions.
    #[arg(
        short = 'p',
        long = "path",
        value_name = "PATH",
        required_unless_present = "config",
        num_args = 1..,
        value_delimiter = ',',
        env = "REDIS_FAILOVER_PATH"
    )]
    path: Vec<GroupPath>,

    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    #[command(flatten)]
    redis: RedisArgs,
}

/// How long an answer of ZooKeeper may take, and its session.
const LIMIT: Duration = Duration::from_secs(5);

/// A group that is shown.
#[derive(Clone, Debug)]
struct Target {
    /// What people call it.
    name: String,
    path: GroupPath,
    ensemble: Ensemble,
    credentials: Credentials,
}

pub(super) fn run(args: &TopArgs) -> Result<ExitCode, Failure> {
    let targets = targets(args)?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new(Kind::Failed, "top needs a terminal to read keys from and to draw on")
            .hint("redis-failover status --watch prints the same for anything else"));
    }
    super::runtime()?.block_on(screen::run(targets))
}

fn targets(args: &TopArgs) -> Result<Vec<Target>, Failure> {
    if let Some(file) = &args.config {
        let groups = ConfigFile::at(file.clone()).read()?.groups;
        let target = |group: GroupConfig| {
            let GroupConfig { name, path, backing, credentials, .. } = group;
            match backing {
                Backing::ZooKeeper(ensemble) => Ok(Target { name, path, ensemble, credentials }),
                Backing::StateFile(_) => Err(Failure::new(
                    Kind::Failed,
                    format!("{path} is kept in {backing}, and top looks into ZooKeeper"),
                )
                .hint("what becomes of it is in the log of its monitor")),
            }
        };
        return groups.into_iter().map(target).collect();
    }
    let zkhosts = args.zkhosts.clone().ok_or_else(|| Failure::new(Kind::Usage, "--zkhosts is missing"))?;
    let ensemble = Ensemble { access: args.zookeeper.access(&zkhosts)?, zkhosts, session_timeout: LIMIT };
    let credentials = args.redis.credentials()?;
    let target = |path: &GroupPath| Target {
        name: path.to_string(),
        path: path.clone(),
        ensemble: ensemble.clone(),
        credentials: credentials.clone(),
    };
    Ok(args.path.iter().map(target).collect())
}
