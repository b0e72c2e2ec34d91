//! A laboratory: real Redis and `ZooKeeper` servers, for tests and trials.
//!
//! A test starts what it needs ([`Redis`], [`ZooKeeper`], any [`Process`]), harms it (kill, freeze, restart) or the
//! network before it ([`Link`]) and waits for what must follow with [`eventually`]. Everything is synchronous, so that
//! it serves plain tests and asynchronous ones alike; in the latter, mind that these calls block their thread. What a
//! writer was told meanwhile, and what was lost of it, is kept in an [`Account`]. As root a test can have a whole
//! [`Network`] of hosts.
//!
//! What the lab promises:
//! - nothing it starts outlives the test, even when the test is killed with `SIGKILL` (see [`Process`]);
//! - a failing test shows the last lines of every server's log;
//! - tests may run in parallel, in threads and in processes, without sharing a port or a directory;
//! - a program that is not installed fails the test, with the name of the package to install.
//!
//! What it never does: skip a test, use a server that was already running, listen on anything but 127.0.0.1 and the
//! hosts of a [`Network`], or know anything of the crates it helps to test. It needs Linux (it reads `/proc`), and no
//! privileges but for a [`Network`].

mod account;
mod authority;
mod eventually;
mod flavour;
mod link;
mod netns;
mod ports;
mod process;
mod redis;
mod resp;
mod sentinel;
mod zookeeper;

pub use account::{Account, Write};
pub use authority::{Authority, Issued};
pub use eventually::{ensure_eq, eventually};
pub use flavour::{Flavour, cache};
pub use link::{Link, Traffic};
pub use netns::{Host, Network};
pub use ports::free_port;
pub use process::{Process, busy_threads, is_alive};
pub use redis::{Redis, RedisBuilder};
pub use resp::{Connection, Reply};
pub use sentinel::Sentinel;
pub use zookeeper::{ZooKeeper, ZooKeeperBuilder};
