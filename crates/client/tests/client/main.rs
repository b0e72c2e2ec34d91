//! The client on real Redis servers: what goes where, and what happens when who is who changes.

mod blocking_commands;
mod changes;
mod closing;
mod commands;
mod credentials;
mod deadlines;
mod examples;
mod figures;
mod own_writes;
mod pubsub;
mod reads;
mod same;
#[cfg(feature = "tls")]
mod secure;
mod sessions;
mod troubles;
mod world;
mod zookeeper;
