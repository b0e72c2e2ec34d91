//! The script's words and the drivers of the monitors, on a virtual clock of one millisecond. It reads no real one.

mod redis;
mod world;

// Whoever plays scenarios says which: the core's tests the decider itself, the journal's one that is written down.
use super::Decider;
use world::World;

/// Plays a script and returns its trace.
///
/// # Errors
/// At the first line that is not understood or whose expectation does not hold, with that line.
pub(super) fn play(script: &str) -> Result<String, String> {
    let mut world = World::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        world.line(&words).map_err(|error| format!("`{line}`: {error}\n{}", world.trace))?;
    }
    Ok(world.trace)
}
