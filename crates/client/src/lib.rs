//! A Redis client that follows the published master.
//!
//! [`Client`] watches the document that the monitors of redis-failover publish in `ZooKeeper` (or that the Python
//! `redis_failover` of 2012 published), keeps a connection open to every healthy node, sends writes to the master and
//! spreads reads over the replicas. Its [`Connection`] is a redis-rs connection: every command, pipeline, script and
//! typed reply of the crate [`redis`], which is re-exported, works on it.
//!
//! ```no_run
//! use redis_failover::redis::AsyncCommands;
//!
//! # #[cfg(feature = "tokio")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = redis_failover::Client::open("redis+zk://zk1:2181,zk2:2181/redis/cluster")?;
//! let mut connection = client.connection();
//! let _: () = connection.set("greeting", "hello").await?;
//! let greeting: Option<String> = connection.get("greeting").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what |
//! |---|---|
//! | `tokio` (default) | [`Client`] and [`Connection`], for programs within a tokio runtime |
//! | `blocking` | the module `blocking`: the same for programs without one |
//! | `r2d2` | with `blocking`, connection pools of `r2d2`, which is re-exported |
//! | `metrics` | the figures of [`Client::metrics`] for the recorder of the crate `metrics`, too |
//! | `tls` | TLS to the nodes and to `ZooKeeper`: `Tls`, `Builder::tls`, URLs with `rediss+zk://` |
//!
//! None of them changes what another does, and only `tls` needs a C compiler. tokio itself is needed in any case: the
//! blocking client is the asynchronous one on a thread of its own.
//!
//! # A read may miss what was just written
//!
//! Reads go to a replica by default, and replication is asynchronous: a GET right after a SET may not find it. Where
//! that matters read from the master, with [`ReadFrom::Master`] or `?read=master`, or have reads find at least what
//! was written on the same connection, with [`Builder::read_your_writes`] or [`Connection::read_your_writes`]. A
//! replica that has heard nothing of its master for 10 s is not read from: [`Builder::max_lag`].
//!
//! # What happens when the master changes
//!
//! - While there is no master, writes wait, and reads where they go to the master: by default up to 10 s, up to 10,000
//!   of them and 64 MiB; then they fail with [`Outcome::NotExecuted`].
//! - A write is sent again only when it surely was not executed. One that was in flight when its master went is never
//!   sent again by this crate, unless [`Builder::retry_unknown`] says so: it fails with [`Outcome::Unknown`] as soon as
//!   that is known, at the latest when the new master is published. Reads are repeated elsewhere.
//! - [`outcome`] tells the three cases apart; the texts of this crate's own errors say the same word.
//! - A connection's own `deadline` ends each call in time, whatever it waits for, and tells these cases apart, too.
//! - A master that was restarted since it was published is not written to until a monitor has confirmed it: it may have
//!   lost its memory.
//! - Without `ZooKeeper` the client goes on with what it knows. It never picks a master by itself.
//!
//! # Pub/sub
//!
//! `pubsub()` of the client yields a [`PubSub`] that subscribes on the master, whichever node that is, and says with
//! [`Event::Missed`] where something may be missing.
//!
//! # Not yet
//!
//! Client-side caching. The module [`redis`] is redis-rs with the features `acl`, `geospatial`, `script` and
//! `streams`; use it rather than a `redis` of your own, whose types may be another version's.
//!
//! # Metrics and tracing
//!
//! [`Client::metrics`] is a snapshot of what a client has done. Commands have spans of `tracing`, of the level DEBUG
//! and the target `redis_failover::command`, with neither keys nor values in them. All names are in `docs/client.md`.
//!
//! # Runtime, threads, `fork`
//!
//! No pool of connections is needed: all connections of a client share one TCP connection to each node, over which
//! commands leave without waiting for the replies to earlier ones, and a connection or a clone of one costs next to
//! nothing. Only what would hold up or confuse others (WATCH, MULTI, blocking commands) gets a TCP connection of its
//! own, by itself and for as long as it lasts.
//!
//! A client works in the tokio runtime in which it is used first, and ends with it. The session with `ZooKeeper` has
//! two threads of its own. After a `fork` only the thread that called it exists in the child: create clients after
//! the fork, never before.
//!
//! This crate never changes a role, never writes to `ZooKeeper`, and reads nothing there but the published document.

// Within blocking programs alone some of these words have no page to lead to.
#![cfg_attr(not(feature = "tokio"), allow(rustdoc::broken_intra_doc_links))]
#![cfg_attr(
    not(feature = "tokio"),
    allow(
        dead_code,
        unreachable_pub,
        reason = "the asynchronous client drives the blocking one, and is not public then"
    )
)]

#[cfg(not(any(feature = "tokio", feature = "blocking")))]
compile_error!("redis-failover without an API: enable the feature `tokio`, `blocking` or both");

/// The Rust on that page must compile.
#[cfg(all(doctest, feature = "tokio", feature = "r2d2", feature = "tls"))]
#[doc = include_str!("../../../docs/client.md")]
struct ComingToTheClient;

#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod callbacks;
mod client;
mod closing;
mod connection;
mod credentials;
mod cursor;
#[cfg(feature = "metrics")]
mod facade;
mod follow;
mod keeper;
mod link;
mod metrics;
mod outcome;
mod own;
mod own_writes;
mod packed;
mod patience;
mod pubsub;
mod queue;
mod routes;
mod session;
mod settings;
mod sounding;
mod source;
mod spans;
mod topology;
mod url;
mod work;

#[cfg(feature = "r2d2")]
pub use r2d2;
pub use redis;
pub use redis_failover_core::{Epoch, NodeAddr};
pub use redis_failover_store::{ConnectStringError, GroupPathError, Store};
#[cfg(feature = "tls")]
pub use redis_failover_store::{Tls, TlsError};

pub use builder::Builder;
#[cfg(feature = "tokio")]
pub use client::Client;
#[cfg(feature = "tokio")]
pub use connection::Connection;
pub use credentials::Credentials;
pub use metrics::{Metrics, NodeMetrics};
pub use outcome::{Outcome, outcome};
pub use pubsub::Event;
#[cfg(feature = "tokio")]
pub use pubsub::{PubSub, PubSubSink, PubSubStream};
pub use settings::{BuildError, ReadFrom};
#[cfg(feature = "tokio")]
pub use topology::Topologies;
pub use topology::{Replica, Topology};
pub use url::UrlError;
