//! One fault on servers of its own, and what it cost.

use std::time::{Duration, Instant};

use redis_failover_lab::Account;
use tokio::time::{sleep, sleep_until};

use super::super::finder::Finder;
use super::super::group::{Group, Wiring};
use super::super::writer::{Route, Writer};
use super::{Fault, KEYS, Other, Side};
use crate::attempt::attempt;
use crate::failure::Failure;
use crate::probe::Prober;

/// How long a supervisor waits before it starts a server again; systemd's default.
const SUPERVISOR: Duration = Duration::from_millis(100);

/// How long the clients that follow the master wait for a reply.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the new master takes writes before the old one wakes.
const HANG_ON: Duration = Duration::from_secs(1);

/// How long the master's host is cut off.
const CUT_OFF: Duration = Duration::from_secs(10);

/// How long a change of master may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked at who leads.
const LOOK: Duration = Duration::from_millis(10);

/// A copy goes through a file, as was the default before Redis 7.0; the lab keeps nothing over a restart.
const OPTIONS: [(&str, &str); 1] = [("repl-diskless-sync", "no")];

/// What Redis itself offers against a master that is cut off.
const MAX_LAG: [(&str, &str); 2] = [("min-replicas-to-write", "1"), ("min-replicas-max-lag", "10")];

/// What one fault cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Whether the keys that all replicas had confirmed are gone from all nodes.
    pub wiped: bool,
    /// Acknowledged writes that the final master does not hold.
    pub lost: usize,
    /// How long two nodes took writes at the same time.
    pub two_masters: Duration,
    /// The longest time in which the client that follows got no write acknowledged.
    pub gap: Duration,
}

/// Plays `fault` once while those of `side` watch.
pub(super) async fn play(fault: Fault, side: Side) -> Result<Run, Failure> {
    let mut group = start(fault, side).await?;
    let old = group.steady("before the fault").await?;
    let mut loaded = Account::new("loaded");
    group.write(old, &mut loaded, 0..KEYS)?;
    let began = Instant::now();
    let prober = Prober::start(group.local_addresses());
    let follower = Writer::start(Route::plain(group.finder(), Some(PATIENCE)), "follower");
    follower.acknowledged_since(Instant::now()).await?;
    let on_its_side = match fault {
        Fault::Wipe => {
            attempt(|| group.redis(old).kill())?;
            sleep(SUPERVISOR).await;
            attempt(|| group.redis(old).restart())?;
            None
        }
        Fault::Hang => Some(hang(&mut group, old, &follower).await?),
        Fault::Cut => Some(cut(&group, old, &follower).await?),
    };
    let master = group.steady("after the fault").await?;
    follower.acknowledged_since(Instant::now()).await?;
    let stayed = match on_its_side {
        Some(stayer) => Some(stayer.finish().await),
        None => None,
    };
    let written = follower.finish().await;
    let lost =
        |account: &Account| account.lost(group.server(master)).map(|lost| lost.len()).map_err(Failure::new);
    let of_loaded = lost(&loaded)?;
    let of_stayed = stayed.as_ref().map_or(Ok(0), lost)?;
    // Once the monitors keep a history, what it says was lost stands beside what was: here, and nowhere else.
    Ok(Run {
        wiped: of_loaded == loaded.acknowledged(),
        lost: of_loaded + lost(&written)? + of_stayed,
        two_masters: prober.two_took_writes(&(began..Instant::now())),
        gap: written.longest_gap(),
    })
}

async fn start(fault: Fault, side: Side) -> Result<Group, Failure> {
    // A link costs some time on each way: only who is to be cut off has one.
    let wiring = if fault == Fault::Cut { Wiring::Linked } else { Wiring::Direct };
    match side {
        Side::Ours => Group::with_monitors(&OPTIONS, wiring).await,
        Side::Theirs(Other::Sentinel) => Group::with_sentinels(&OPTIONS, wiring).await,
        Side::Theirs(Other::SentinelMaxLag) => {
            Group::with_sentinels(&[&OPTIONS[..], &MAX_LAG].concat(), wiring).await
        }
    }
}

/// Stops server `old`, lets another take over, wakes it, and waits until it follows; returns a client that stayed with
/// it all along.
async fn hang(group: &mut Group, old: usize, follower: &Writer) -> Result<Writer, Failure> {
    let stayer = stay(group.server(old).addr()).await?;
    attempt(|| group.server(old).stop())?;
    await_successor(group, old).await?;
    follower.acknowledged_since(Instant::now()).await?;
    sleep(HANG_ON).await;
    attempt(|| group.server(old).cont())?;
    Ok(stayer)
}

/// Cuts the host of server `old` off from all others, both ways, and mends that; returns a client on that host.
async fn cut(group: &Group, old: usize, follower: &Writer) -> Result<Writer, Failure> {
    let stayer = stay(group.server(old).local_addr()).await?;
    let began = Instant::now();
    let traffic = group.server(old).link().all();
    attempt(|| traffic.hold())?;
    await_successor(group, old).await?;
    follower.acknowledged_since(Instant::now()).await?;
    sleep_until((began + CUT_OFF).into()).await;
    attempt(|| traffic.heal())?;
    Ok(stayer)
}

/// A client that asks nobody who leads, and waits for each reply for ever.
async fn stay(address: String) -> Result<Writer, Failure> {
    let stayer = Writer::start(Route::plain(Finder::Fixed(address), None), "stayer");
    stayer.acknowledged_since(Instant::now()).await?;
    Ok(stayer)
}

/// Waits until another than server `old` is named as the master.
async fn await_successor(group: &Group, old: usize) -> Result<(), Failure> {
    let (finder, address) = (group.finder(), group.server(old).addr());
    let began = Instant::now();
    while finder.master().await.is_none_or(|master| master == address) {
        if began.elapsed() > LIMIT {
            return Err(Failure::new(format!("nobody takes over in {} s", LIMIT.as_secs())));
        }
        sleep(LOOK).await;
    }
    Ok(())
}
