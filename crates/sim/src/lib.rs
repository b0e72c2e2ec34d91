//! The deterministic simulator: many hostile hours of a group in a minute. The real observers and deciders run, with
//! the driver's rules around them; servers, `ZooKeeper`, links and clients are models on a virtual clock. One seed,
//! one thread: the same seed always makes the same world.
//!
//! It never starts a process, opens a socket or reads a clock.

pub mod bugs;
pub mod check;
mod clients;
mod departures;
mod ensemble;
mod executor;
pub mod exhaustive;
mod faults;
mod monitor;
mod nodes;
mod operators;
mod orders;
mod prober;
pub mod queue;
pub mod redis;
pub mod report;
pub mod scripts;
pub mod swarm;
mod wires;
mod world;

pub use world::{Outcome, World};

/// Where a planted bug breaks the invariant that it must break, and all is well without it: in a script, or in the
/// first of these seeds.
pub fn find(bug: bugs::Bug, seeds: impl IntoIterator<Item = u64>) -> Option<report::Found> {
    let own = |outcome: Outcome| outcome.violation.filter(|it| it.invariant == bug.invariant());
    let script = scripts::all().into_iter().find_map(|script| {
        let violation = own(World::scripted(&script, Some(bug), false).play())?;
        let clean = World::scripted(&script, None, false).play().violation.is_none();
        clean.then_some(report::Found { by: report::By::Script(script.name), violation })
    });
    script.or_else(|| {
        seeds.into_iter().find_map(|seed| {
            let violation = own(World::new(seed, Some(bug), false).play())?;
            let clean = World::new(seed, None, false).play().violation.is_none();
            clean.then_some(report::Found { by: report::By::Seed(seed), violation })
        })
    })
}
