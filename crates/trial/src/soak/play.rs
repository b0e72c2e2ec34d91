//! One soak: faults and calm in turn until the time is over, and what came of each.
//!
//! It judges nothing: it measures, and hands what it measured to the report.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::harm::Harm;
use super::plan::{Fault, Plan};
use super::report::{Episode, Outcome};
use super::traffic::Traffic;
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
    let traffic = Traffic::start(&client);
    let began = Instant::now();
    traffic.acknowledged_since(began, WELL_WITHIN).await?;
    let mut stage = Stage { world, witness, traffic, prober, began };
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
    Ok(Outcome {
        episodes,
        masters,
        wrongs,
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
        let (trouble, lost) = match self.settle().await {
            Ok(lost) => (None, lost),
            Err(reason) => (Some(reason), 0),
        };
        let well = Instant::now();
        let window = at..well;
        let changes = self.witness.changes(&window);
        let heard = changes.last().map_or(at, |change| change.at + NEWS);
        let (_, unknown) = self.traffic.during(&window);
        if trouble.is_none() {
            sleep(fault.calm).await;
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
            two_took_writes: self.prober.two_took_writes(&window),
            trouble,
        })
    }

    /// Waits until the group is well and everybody's writes flow; returns how many earlier ones are lost.
    async fn settle(&mut self) -> Result<usize, String> {
        let roles = await_well(self.world, &self.witness).await?;
        let flow = self.traffic.acknowledged_since(Instant::now(), WELL_WITHIN).await;
        flow.map_err(|failure| failure.to_string())?;
        let address = self.world.redis()[roles.master].local_addr();
        self.traffic.look(&address).await.map_err(|failure| failure.to_string())
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
