//! Where in the table a name is.
//!
//! It is laid out when core is compiled, so that nothing is built, allocated or drawn at random when it runs: each name
//! stands at its hash, or in the next free place after it. A binary search takes four times as long.

use super::CommandFlags;
use super::table::COMMANDS;

/// At least twice as many places as names, so that a search soon comes to a free one.
const PLACES: usize = (2 * COMMANDS.len()).next_power_of_two();

static INDEX: [Option<&(&str, CommandFlags)>; PLACES] = {
    let mut index: [Option<&(&str, CommandFlags)>; PLACES] = [None; PLACES];
    let mut at = 0;
    // Not an iterator: those do not run at compile time.
    while at < COMMANDS.len() {
        let mut place = hash(COMMANDS[at].0.as_bytes()) % PLACES;
        while index[place].is_some() {
            place = (place + 1) % PLACES;
        }
        index[place] = Some(&COMMANDS[at]);
        at += 1;
    }
    index
};

/// The flags of a name written as in the table.
pub(super) fn find(key: &[u8]) -> Option<CommandFlags> {
    let mut place = hash(key) % PLACES;
    loop {
        let (name, flags) = INDEX[place]?;
        if name.as_bytes() == key {
            return Some(*flags);
        }
        place = (place + 1) % PLACES;
    }
}

/// FNV-1a. Whoever sends names that collide makes only their own commands slower, and by little.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_search_is_long() {
        let mut longest = 0;
        for start in 0..PLACES {
            let taken = (0..PLACES).take_while(|step| INDEX[(start + step) % PLACES].is_some()).count();
            longest = longest.max(taken);
        }
        assert!(longest < 32, "{longest} taken places in a row");
    }
}
