//! The blocking client on real Redis servers. What it does is the asynchronous client's doing, whose tests stand beside
//! these: here is what a caller without a runtime sees of it, in each of the main faults.

mod anywhere;
mod changes;
mod own_writes;
#[cfg(feature = "r2d2")]
mod pools;
mod pubsub;
mod same;
#[cfg(feature = "tls")]
mod secure;
mod world;
mod zookeeper;
