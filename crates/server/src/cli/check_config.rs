//! `redis-failover check-config`: what the options of `run`, or a configuration file, mean. It connects to nobody.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::NodeAddr;
use serde_json::{Value, json};

use crate::config::{Backing, Config, Ensemble, GroupConfig, RunArgs, SentinelConfig, Source, settings};
use crate::failure::Failure;
use crate::output::{print, print_line};

/// What `check-config` is told.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: CheckArgs) -> Result<ExitCode, Failure> {
    let config = match args.run.source()? {
        Source::Flags(config) => *config,
        Source::File(file) => file.read()?,
    };
    if args.json {
        print_line(as_json(&config))?;
    } else {
        print(describe(&config))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration in lines; of passwords only whether there is one.
fn describe(config: &Config) -> String {
    let listen = config.listen.map_or("nowhere".into(), |it| it.to_string());
    let announce = announced(config.announce.as_ref());
    let mut text = format!(
        "the configuration is valid\n\
         monitor id       {}\n\
         listens          {listen}{announce}\n\
         sentinel         {}\n",
        config.id,
        config.sentinel.as_ref().map_or("nowhere".into(), describe_sentinel),
    );
    for group in &config.groups {
        text += "\n";
        text += &describe_group(group);
    }
    for warning in config.warnings() {
        write!(text, "\nwarning: {warning}\n").expect("a string takes everything");
    }
    text
}

fn describe_sentinel(sentinel: &SentinelConfig) -> String {
    let SentinelConfig { listen, announce, access, .. } = sentinel;
    let announce = announced(announce.as_ref());
    let user = access.username.as_ref().map(|user| format!("user {user}, ")).unwrap_or_default();
    let password = if access.password.is_some() { "with a password" } else { "without a password" };
    let tls = if access.tls.is_some() { ", over TLS" } else { "" };
    format!("{listen}{announce}, {user}{password}{tls}")
}

fn announced(address: Option<&NodeAddr>) -> String {
    address.map(|address| format!(", announced as {address}")).unwrap_or_default()
}

fn describe_group(group: &GroupConfig) -> String {
    let nodes: Vec<_> = group.nodes.iter().map(ToString::to_string).collect();
    let policy = &group.policy;
    let quorum =
        policy.quorum().map_or("the majority of the registered monitors".into(), |it| it.to_string());
    let user = group.credentials.username.as_deref().unwrap_or("default");
    let password =
        if group.credentials.password.is_some() { "with a password" } else { "without a password" };
    let source = group.credentials.source_address.map_or("any address".into(), |it| it.to_string());
    let beside = if group.take_over { "all the same" } else { "not" };
    let journal = group.journal.as_ref().map_or("none".into(), |it| {
        format!("{}, at most {} KiB with what is older", it.path.display(), it.limit >> 10)
    });
    let misconf = if policy.misconf_is_unusable() { "is replaced" } else { "stays master" };
    let refused = if policy.refusal_waits() { "waits like silence" } else { "counts at once" };
    format!(
        "group            {} at {}\n\
         {}\n\
         nodes            {}\n\
         quorum           {quorum}\n\
         down after       {:?}, asked every {:?}\n\
         cannot save      {misconf}\n\
         refused          {refused}\n\
         link grace       {:?}\n\
         third failover   within ten minutes waits {:?}\n\
         discover         {}\n\
         fencing          {}\n\
         on divergence    {}\n\
         parallel syncs   {} on each host\n\
         predecessors     beside a living one it leads {beside}\n\
         slow sections    every {:?}\n\
         journal          {journal}\n\
         redis user       {user}, {password}, from {source}, {}\n",
        group.name,
        group.path,
        describe_backing(&group.backing),
        nodes.join(", "),
        policy.down_after(),
        policy.probe_interval(),
        policy.link_grace(),
        policy.third_failover_waits(),
        policy.discover().word(),
        policy.fencing().word(),
        policy.on_divergence().word(),
        policy.parallel_syncs(),
        group.slow_every,
        if group.credentials.tls.is_some() { "over TLS" } else { "without TLS" },
    )
}

fn describe_backing(backing: &Backing) -> String {
    match backing {
        Backing::ZooKeeper(Ensemble { zkhosts, session_timeout, access }) => format!(
            "zookeeper        {zkhosts}, session time-out {session_timeout:?}, {}, {}",
            if access.has_credentials() { "with credentials" } else { "without credentials" },
            if access.is_over_tls() { "over TLS" } else { "without TLS" },
        ),
        Backing::StateFile(file) => format!("state file       {}, without ZooKeeper", file.display()),
    }
}

/// The configuration for programs. The keys are those of a configuration file where it has them, the values are what
/// counts.
fn as_json(config: &Config) -> Value {
    json!({
        "id": config.id.to_string(),
        "listen": config.listen.map(|it| it.to_string()),
        "announce": config.announce.as_ref().map(ToString::to_string),
        "sentinel": config.sentinel.as_ref().map(sentinel_as_json),
        "groups": config.groups.iter().map(group_as_json).collect::<Vec<_>>(),
        "warnings": config.warnings(),
    })
}

fn sentinel_as_json(sentinel: &SentinelConfig) -> Value {
    json!({
        "listen": sentinel.listen.to_string(),
        "announce": sentinel.announce.as_ref().map(ToString::to_string),
        "username": sentinel.access.username,
        "has_password": sentinel.access.password.is_some(),
        "tls": sentinel.access.tls.is_some(),
    })
}

fn group_as_json(group: &GroupConfig) -> Value {
    let ensemble = match &group.backing {
        Backing::ZooKeeper(ensemble) => Some(ensemble),
        Backing::StateFile(_) => None,
    };
    let journal = group.journal.as_ref();
    json!({
        "name": group.name,
        "path": group.path.to_string(),
        "state_file": group.backing.state_file().map(|it| it.display().to_string()),
        "zkhosts": ensemble.map(|it| it.zkhosts.to_string()),
        "session_timeout_ms": ensemble.map(|it| millis(it.session_timeout)),
        "zookeeper_tls": ensemble.map(|it| it.access.is_over_tls()),
        "zookeeper_credentials": ensemble.map(|it| it.access.has_credentials()),
        "redishosts": group.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policy": settings(&group.policy),
        "take_over": group.take_over,
        "sleeptime": group.slow_every.as_secs(),
        "journal": journal.map(|it| it.path.display().to_string()),
        "journal_limit_bytes": journal.map(|it| it.limit),
        "redis_username": group.credentials.username,
        "redis_password": group.credentials.password.is_some(),
        "redis_tls": group.credentials.tls.is_some(),
        "source_address": group.credentials.source_address.map(|it| it.to_string()),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
