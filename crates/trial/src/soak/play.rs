//! One soak: faults and calm in turn until the time is over, and what came of each.
//!
//! It judges nothing: it measures, and hands what it measured to the report.

use std::mem;
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::harm::Harm;
use super::plan::{Fault, Plan};
use super::report::{Episode, Outcome};
use super::traffic::Traffic;
use super::uses::{Standings, Toll};
use super::witness::Witness;
use super::world::{PATH, Roles, World};
use crate::attempt::attempt;
use crate::failure::Failure;
use crate::probe::Prober;

/// How soon after a fault is mended the group must be well.
pub(super) const WELL_WITHIN: Duration = Duration::from_secs(30);

/// How long the news of a master may take to the clients, on a machine that has other things to do.
const NEWS: Duration = Duration::from_millis(100);

/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(50);

/// What stands around one soak.
struct Stage<'a> {
    world: &'a mut World,
    witness: Witness,
    traffic: Traffic,
    prober: Prober,
    began: Instant,
    /// What all had come to, and how many markers the subscriber had, when the last fault was over.
    standings: Standings,
    markers: usize,
}

/// Plays the faults of `plan` for this long on `world`.
///
/// # Errors
/// When the group is not well at the start, or a server does not start.
pub(super) async fn play(world: &mut World, plan: Plan, time: Duration) -> Result<Outcome, Failure> {
    let witness = Witness::start(&world.servers(), PATH)?;
    let client = world.client()?;
    await_well(world, &witness).await.map_err(|reason| {
        Failure::new(format!("the group is not well in {} s: {reason}", WELL_WITHIN.as_secs()))
    })?;
    let prober = Prober::start(world.redis().iter().map(redis_failover_lab::Redis::local_addr).collect());
    let traffic = Traffic::start(&client, world.client()?, world.blocking_client()?).await?;
    let began = Instant::now();
    traffic.flows_since(began, WELL_WITHIN).await?;
    let (standings, markers) = (traffic.standings(), traffic.markers());
    let mut stage = Stage { world, witness, traffic, prober, began, standings, markers };
    let mut episodes = Vec::new();
    for fault in plan {
        let episode = stage.episode(fault).await?;
        eprintln!("{}", episode.line());
        let is_well = episode.trouble.is_none();
        episodes.push(episode);
        if !is_well || began.elapsed() >= time {
            break;
        }
    }
    let whole = began..Instant::now();
    stage.traffic.finish().await;
    let (masters, mut wrongs) = stage.witness.finish();
    wrongs.extend(stage.world.wrongs_of_monitors());
    wrongs.extend(stage.traffic.wrongs());
    Ok(Outcome {
        episodes,
        masters,
        wrongs,
        tolls_of_calm: stage.tolls(&(whole.end..whole.end)),
        balance: stage.traffic.balance(),
        two_took_writes: stage.prober.two_took_writes(&whole),
        took: whole.end - whole.start,
    })
}

impl Stage<'_> {
    async fn episode(&mut self, fault: Fault) -> Result<Episode, Failure> {
        // Nothing was done since it was well; it should be so still.
        let roles = await_well(self.world, &self.witness).await.map_err(Failure::new)?;
        let harm = Harm::new(fault, roles);
        let victim = harm.victim(self.world);
        let at = Instant::now();
        harm.carry_out(self.world, &self.witness).await?;
        let mended = Instant::now();
        self.world.note_pids();
        let (trouble, lost, roles) = match self.settle().await {
            Ok((lost, roles)) => (None, lost, roles),
            Err(reason) => (Some(reason), 0, roles),
        };
        let well = Instant::now();
        let window = at..well;
        let changes = self.witness.changes(&window);
        let heard = changes.last().map_or(at, |change| change.at + NEWS);
        let (_, unknown) = self.traffic.during(&window);
        let tolls = self.tolls(&(at..heard));
        let all_markers = self.traffic.markers();
        let markers = all_markers - mem::replace(&mut self.markers, all_markers);
        if trouble.is_none() {
            self.rest(roles, fault.calm).await;
        }
        Ok(Episode {
            kind: fault.kind,
            victim,
            at: at - self.began,
            lasted: mended - at,
            well_after: well - mended,
            changes: changes.len(),
            no_writes: self.traffic.longest_gap(&window),
            lost,
            until_heard: self.traffic.during(&(at..heard)).0,
            unknown,
            tolls,
            markers,
            two_took_writes: self.prober.two_took_writes(&window),
            trouble,
        })
    }

    /// Waits until the group is well and everybody gets on; returns how many earlier writes are lost, and who is who.
    async fn settle(&mut self) -> Result<(usize, Roles), String> {
        let roles = await_well(self.world, &self.witness).await?;
        let flow = self.traffic.flows_since(Instant::now(), WELL_WITHIN).await;
        flow.map_err(|failure| failure.to_string())?;
        let address = self.world.redis()[roles.master].local_addr();
        let lost = self.traffic.look(&address).await.map_err(|failure| failure.to_string())?;
        Ok((lost, roles))
    }

    /// What the uses of the client have lost since this was asked last; `until_heard` ends when clients must have heard
    /// of the last change.
    fn tolls(&mut self, until_heard: &Range<Instant>) -> Vec<Toll> {
        let now = self.traffic.standings();
        let tolls = Toll::between(&self.standings, &now, &self.traffic.standings_during(until_heard));
        self.standings = now;
        tolls
    }

    /// Leaves the group alone, and counts what is read from replicas meanwhile.
    async fn rest(&self, roles: Roles, calm: Duration) {
        let master = self.world.redis()[roles.master].addr();
        let before = self.traffic.own_reads_beside(&master);
        sleep(calm).await;
        let reads = self.traffic.own_reads_beside(&master).saturating_sub(before);
        self.traffic.enter_own_reads_of_replicas(reads);
    }
}

/// Waits until all is well; returns who is who then.
async fn await_well(world: &World, witness: &Witness) -> Result<Roles, String> {
    let began = Instant::now();
    loop {
        let answer = match witness.look().await {
            Ok(seen) => attempt(|| world.roles(&seen)).map_err(|failure| failure.to_string())?,
            Err(failure) => Err(failure.to_string()),
        };
        match answer {
            Ok(roles) => return Ok(roles),
            Err(reason) if began.elapsed() > WELL_WITHIN => return Err(reason),
            Err(_) => sleep(LOOK).await,
        }
    }
}
