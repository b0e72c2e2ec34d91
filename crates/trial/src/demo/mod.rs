//! `demo`: a failover in one command, for somebody who sees it for the first time.
//!
//! It starts a small group, lets an application use it, kills its master, freezes the next one, and counts what became
//! of the application's writes. Everything is its own and is ended with it, also by Ctrl-C. It never touches a server
//! that was already running, and needs no root.

mod figures;
mod journal;
mod output;
mod screen;
mod script;
mod stage;
mod traffic;
mod view;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use redis_failover::ReadFrom;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use figures::{FaultFigures, Figures};
use screen::{REDRAW, Screen};
use script::{Fault, Group, Played, STEPS, Script};
use stage::{Stage, StoreKind};
use traffic::{Counts, Traffic};
use view::View;

/// What the demo is asked.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Run the monitors as they are shipped, three processes that agree through ZooKeeper servers (1 or 3 of them),
    /// instead of in this process.
    #[arg(long, value_name = "SERVERS", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = ["1", "3"])]
    zookeeper: Option<String>,

    /// Leave everything running after the table until Ctrl-C, and say how to look at it; needs --zookeeper.
    #[arg(long)]
    keep: bool,

    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl DemoArgs {
    fn store(&self) -> Result<StoreKind, Failure> {
        match self.zookeeper.as_deref() {
            Some("3") => Ok(StoreKind::ZooKeeper(3)),
            Some(_) => Ok(StoreKind::ZooKeeper(1)),
            None if self.keep => Err(Failure::usage("--keep is of use only with --zookeeper")
                .hint("without it the monitors are in this process, and nothing outside can look at them")),
            None => Ok(StoreKind::Embedded),
        }
    }
}

/// Runs the demo.
///
/// # Errors
/// When it could not be played to its end, was interrupted, or cost more than is promised.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let kind = args.store()?;
    // Made before anything is played: a place that can't be written to is told at once.
    let unwritable = |file: &Path, error| Failure::new(format!("cannot write {}: {error}", file.display()));
    let mut json = match &args.json {
        Some(file) => Some(fs::File::create(file).map_err(|error| unwritable(file, error))?),
        None => None,
    };
    let mut interrupt = Interrupt::new()?;
    let screen = Screen::new(View::new(Instant::now(), STEPS));
    let played = interrupt.or(perform(kind, &screen)).await;
    screen.end();
    let (mut stage, master, figures) = played.inspect_err(|_| screen.silence())?;
    screen.say(&figures.text());
    if let (Some(json), Some(file)) = (&mut json, &args.json) {
        let text = format!("{:#}\n", figures.json());
        json.write_all(text.as_bytes()).map_err(|error| unwritable(file, error))?;
    }
    if let Some(text) = stage.what_to_type(master).filter(|_| args.keep) {
        screen.say(&text);
        interrupt.came().await;
    }
    // Monitors that end, one after the other, take over from each other once more: that is no part of the story.
    screen.silence();
    drop(stage);
    if figures.is_as_promised() {
        return Ok(());
    }
    Err(Failure::new("this is not what docs/guarantees.md promises")
        .hint("run it again with --zookeeper --json FILE, and report both runs"))
}

/// All steps, from the first server to the figures.
async fn perform(kind: StoreKind, screen: &Screen) -> Result<(Stage, usize, Figures), Failure> {
    let began = Instant::now();
    let _ticker = redraw(screen.clone());
    let store = match kind {
        StoreKind::Embedded => "in this process".to_owned(),
        StoreKind::ZooKeeper(1) => "in a ZooKeeper server".to_owned(),
        StoreKind::ZooKeeper(size) => format!("in {size} ZooKeeper servers"),
    };
    screen.step(&format!("Start three Redis servers, and three monitors that agree {store} on the master"));
    let mut stage = Stage::start(kind, screen)?;
    screen.update(|view| view.watch(stage.addresses()));
    let (writes, reads) = (stage.client(ReadFrom::Master)?, stage.client(ReadFrom::Replica)?);
    let group = Group::follow(&writes, screen.clone());
    let traffic = Traffic::start(&writes, &reads);
    let meter = traffic.meter();
    let _meter = measure(screen.clone(), meter.clone());

    let script = Script { stage: &mut stage, screen, group, meter, began };
    let played = script.play().await?;

    screen.step("Stop the application and read every confirmed write back");
    let figures = figures(&stage, store, began, &played, traffic).await?;
    Ok((stage, played.master, figures))
}

async fn figures(
    stage: &Stage,
    store: String,
    began: Instant,
    played: &Played,
    traffic: Traffic,
) -> Result<Figures, Failure> {
    let (account, Counts { reads, read_errors, .. }) = traffic.finish().await;
    let master = stage.redis(played.master);
    let lost = account.lost(master).map_err(Failure::new)?;
    let until = played.faults.iter().skip(1).map(|next| next.since).chain([Instant::now()]);
    let fault = |(fault, until): (&Fault, Instant)| {
        let window = fault.since..until;
        let during = account.during(&window);
        let before = account.during(&(fault.since..fault.at)).acknowledged();
        FaultFigures {
            name: fault.name,
            gap: during.longest_gap(),
            before,
            after: during.acknowledged() - before,
            lost: lost.iter().filter(|write| window.contains(&write.at)).count(),
            unknown: during.unknown(),
        }
    };
    Ok(Figures {
        store,
        faults: played.faults.iter().zip(until).map(fault).collect(),
        acknowledged: account.acknowledged(),
        lost: lost.len(),
        unknown: account.unknown(),
        reads,
        read_errors,
        took: began.elapsed(),
        pids: stage.pids().to_vec(),
    })
}

/// Keeps the screen fresh until it is dropped.
fn redraw(screen: Screen) -> JoinSet<()> {
    every_tenth(move || screen.redraw())
}

/// Keeps the counts on the screen fresh until it is dropped.
fn measure(screen: Screen, meter: traffic::Meter) -> JoinSet<()> {
    every_tenth(move || {
        let counts = meter.counts();
        screen.update(|view| view.count(Instant::now(), counts));
    })
}

fn every_tenth(mut work: impl FnMut() + Send + 'static) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut interval = tokio::time::interval(REDRAW);
        loop {
            interval.tick().await;
            work();
        }
    });
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(zookeeper: Option<&str>, keep: bool) -> Result<StoreKind, Failure> {
        DemoArgs { zookeeper: zookeeper.map(str::to_owned), keep, json: None }.store()
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_kept() {
        assert_eq!(store(None, false), Ok(StoreKind::Embedded));
        assert_eq!(store(Some("1"), true), Ok(StoreKind::ZooKeeper(1)));
        assert_eq!(store(Some("3"), false), Ok(StoreKind::ZooKeeper(3)));
        let refused = store(None, true).unwrap_err();
        assert!(refused.to_string().contains("only with --zookeeper"), "{refused}");
    }
}
