//! How many descriptors this process may have open, and which part of them those get who call here. It opens none.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The most that this process asks for.
const WANTED: u64 = 65_536;

/// Raises the limit as far as this process may and has use for it. Many systems grant 1,024 unless they are asked.
///
/// Before anybody asks for a part: those are of what is granted then.
pub(crate) fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    // Where it is refused it stays as it is.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(WANTED)), hard);
}

/// One of so many `parts` of those that are granted, and not more than `most`: the monitors must reach ZooKeeper and
/// Redis whoever calls here.
pub(crate) fn one_of(parts: u64, most: usize) -> usize {
    let Ok((granted, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return most };
    usize::try_from(granted / parts).unwrap_or(most).clamp(1, most)
}
