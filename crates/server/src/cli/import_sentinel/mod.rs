//! `redis-failover import-sentinel`: from the configuration of Redis Sentinel to ours, and what has no counterpart. It
//! connects to nobody, and shows no password.

mod configuration;
mod files;
mod remarks;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use redis_failover_store::{ConnectString, GroupPath};
use serde_json::Value;

use super::confirm::Confirmation;
use super::outcome::Outcome;
use crate::failure::{Failure, Kind};
use crate::output::print;
use crate::sentinel_conf::{Deployment, SentinelFile};
use configuration::Configuration;
use remarks::Remarks;

/// What `import-sentinel` is told.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// The configuration files of a deployment's sentinels; as many of them as there are, for what one forgot another
    /// knows.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// ZooKeeper servers, HOST:PORT separated by commas, with an optional /chroot at the end; without it they are to be
    /// filled in.
    #[arg(short = 'z', long = "zkhosts", value_name = "HOSTS", env = "REDIS_FAILOVER_ZKHOSTS")]
    zkhosts: Option<ConnectString>,

    /// Below which path in ZooKeeper the groups are: each has the name of its master there.
    #[arg(long, value_name = "PATH", default_value = "/redis")]
    root: GroupPath,

    /// Write the configuration into this file, and each password into a file of its own beside it; without it the
    /// configuration goes to standard output, and passwords nowhere.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: ImportArgs) -> Result<ExitCode, Failure> {
    let files = args.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let deployment = Deployment::of(&files);
    if deployment.groups.is_empty() {
        let files = deployment.files.join(", ");
        return Err(Failure::new(Kind::Usage, format!("{files}: no master is monitored there")).hint(
            "name the files of running sentinels: each has lines `sentinel monitor NAME HOST PORT QUORUM`",
        ));
    }
    let configuration =
        Configuration::of(&deployment, args.zkhosts.as_ref(), &args.root, args.output.is_some())?;
    let remarks = Remarks::of(&deployment, &configuration);
    if !args.json {
        eprint!("{remarks}");
    }
    let Some(file) = args.output else {
        if args.json {
            let told = Outcome::looked_at("nothing was written: --output FILE does");
            return tell(told, &configuration, &remarks).show(true);
        }
        print(&configuration.text)?;
        return Ok(ExitCode::SUCCESS);
    };
    let written = files::write(&file, &configuration, &args.confirmation)?;
    let told = Outcome::done(format!("wrote {}", written.join(", ")));
    tell(told, &configuration, &remarks).with("written", written).show(args.json)
}

/// The file of one sentinel.
fn read(path: &PathBuf) -> Result<SentinelFile, Failure> {
    let name = path.display().to_string();
    let text = fs::read(path).map_err(|error| {
        Failure::new(Kind::Failed, format!("{name}: {error}")).hint(
            "a sentinel's configuration is the file that it was started with; it holds passwords: be root",
        )
    })?;
    SentinelFile::read(&name, &text)
}

/// The same with all that a program wants to know.
fn tell(told: Outcome, configuration: &Configuration, remarks: &Remarks) -> Outcome {
    let groups: Vec<Value> = configuration.groups.clone();
    told.with("configuration", configuration.text.clone())
        .with("groups", groups)
        .with("remarks", remarks.json())
}
