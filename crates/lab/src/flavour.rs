//! Which server a Redis is: the one that is installed, or one of another version.
//!
//! The others are fetched by `cargo xtask servers` into a cache outside the tree; nothing is fetched here.

use std::env;
use std::path::PathBuf;

use crate::process::find_program;

/// A server program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// The `redis-server` on the `PATH`: 7.0 on Debian 12.
    #[default]
    Installed,
    /// Redis 6.2.
    Redis62,
    /// Valkey 9.1.
    Valkey91,
}

impl Flavour {
    /// Where the program is.
    ///
    /// # Panics
    ///
    /// When it is not there; the message names the command that gets it.
    pub fn program(self) -> PathBuf {
        let directory = match self {
            Self::Installed => return find_program("redis-server", "redis-server"),
            Self::Redis62 => "redis-6.2",
            Self::Valkey91 => "valkey-9.1",
        };
        let program = cache().join("servers").join(directory).join("redis-server");
        assert!(program.is_file(), "{} is not there: `cargo xtask servers` fetches it", program.display());
        program
    }

    /// Whether DEBUG has to be allowed in the configuration; 6.2 does not know that line, and allows it.
    pub(crate) fn asks_for_debug(self) -> bool {
        self != Self::Redis62
    }
}

/// Where `cargo xtask` keeps what it fetches for tests, which it works out by the same rule.
///
/// # Panics
///
/// When neither `XDG_CACHE_HOME` nor `HOME` says where a cache may be.
pub fn cache() -> PathBuf {
    find_cache().expect("XDG_CACHE_HOME or HOME is set")
}

/// The same; `None` where it would panic.
pub(crate) fn find_cache() -> Option<PathBuf> {
    let directory = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")));
    Some(base?.join("redis-failover"))
}
