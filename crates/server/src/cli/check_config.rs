//! `redis-failover check-config`: what the options of `run`, or a configuration file, mean. It connects to nobody.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::config::{Config, GroupConfig, RunArgs, Source};
use crate::failure::Failure;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let config = match args.source()? {
        Source::Flags(config) => *config,
        Source::File(file) => file.read()?,
    };
    print!("{}", describe(&config));
    Ok(ExitCode::SUCCESS)
}

/// The configuration in lines; of passwords only whether there is one.
fn describe(config: &Config) -> String {
    let listen = config.listen.map_or("nowhere".into(), |it| it.to_string());
    let mut text = format!(
        "the configuration is valid\n\
         monitor id       {}\n\
         listens          {listen}\n",
        config.id
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

fn describe_group(group: &GroupConfig) -> String {
    let nodes: Vec<_> = group.nodes.iter().map(ToString::to_string).collect();
    let policy = &group.policy;
    let quorum =
        policy.quorum().map_or("the majority of the registered monitors".into(), |it| it.to_string());
    let access = &group.ensemble.access;
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
         zookeeper        {}, session time-out {:?}, {}, {}\n\
         nodes            {}\n\
         quorum           {quorum}\n\
         down after       {:?}, asked every {:?}\n\
         cannot save      {misconf}\n\
         refused          {refused}\n\
         link grace       {:?}\n\
         third failover   within ten minutes waits {:?}\n\
         discover         {}\n\
         fencing          {}\n\
         predecessors     beside a living one it leads {beside}\n\
         slow sections    every {:?}\n\
         journal          {journal}\n\
         redis user       {user}, {password}, from {source}, {}\n",
        group.name,
        group.path,
        group.ensemble.zkhosts,
        group.ensemble.session_timeout,
        if access.has_credentials() { "with credentials" } else { "without credentials" },
        if access.is_over_tls() { "over TLS" } else { "without TLS" },
        nodes.join(", "),
        policy.down_after(),
        policy.probe_interval(),
        policy.link_grace(),
        policy.third_failover_waits(),
        policy.discover().word(),
        policy.fencing().word(),
        group.slow_every,
        if group.credentials.tls.is_some() { "over TLS" } else { "without TLS" },
    )
}
