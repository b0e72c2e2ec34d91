//! `redis-failover check-config`: what the options of `run` mean. It connects to nobody.

use std::process::ExitCode;

use crate::config::{Config, RunArgs};
use crate::failure::Failure;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    print!("{}", describe(&args.check()?));
    Ok(ExitCode::SUCCESS)
}

/// The configuration in lines; of the password only whether there is one.
fn describe(config: &Config) -> String {
    let nodes: Vec<_> = config.nodes.iter().map(ToString::to_string).collect();
    let policy = &config.policy;
    let quorum =
        policy.quorum().map_or("the majority of the registered monitors".into(), |it| it.to_string());
    let listen = config.listen.map_or("nowhere".into(), |it| it.to_string());
    let user = config.credentials.username.as_deref().unwrap_or("default");
    let password =
        if config.credentials.password.is_some() { "with a password" } else { "without a password" };
    let source = config.credentials.source_address.map_or("any address".into(), |it| it.to_string());
    let misconf = if policy.misconf_is_unusable() { "is replaced" } else { "stays master" };
    let refused = if policy.refusal_waits() { "waits like silence" } else { "counts at once" };
    format!(
        "the configuration is valid\n\
         group            {} at {}\n\
         zookeeper        {}, session time-out {:?}\n\
         nodes            {}\n\
         monitor id       {}\n\
         listens          {listen}\n\
         quorum           {quorum}\n\
         down after       {:?}, asked every {:?}\n\
         cannot save      {misconf}\n\
         refused          {refused}\n\
         link grace       {:?}\n\
         third failover   within ten minutes waits {:?}\n\
         discover         {}\n\
         slow sections    every {:?}\n\
         redis user       {user}, {password}, from {source}\n",
        config.path.name(),
        config.path,
        config.zkhosts,
        config.session_timeout,
        nodes.join(", "),
        config.id,
        policy.down_after(),
        policy.probe_interval(),
        policy.link_grace(),
        policy.third_failover_waits(),
        policy.discover().word(),
        config.slow_every,
    )
}
