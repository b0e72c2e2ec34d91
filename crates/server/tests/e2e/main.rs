//! The shipped binary on real Redis and a real ensemble of three, under real faults, with a writer that counts.
//!
//! Every test owns its servers and its ports. A gap is printed and only bounded generously here: how fast a failover
//! is, is measured, not tested.

mod all_gone;
mod config;
mod doctor;
mod document;
mod embedded;
mod faults;
mod fences;
mod flavours;
mod from_sentinel;
mod history;
mod journal;
mod journals;
mod leads;
mod names;
mod network;
mod network_faults;
mod nodes;
mod operator;
mod pauses;
mod recipes;
mod recovery;
mod replies;
mod returns;
mod secure;
mod sentinel;
mod sentinel_guarded;
mod sentinel_replayed;
mod sentinel_told;
mod starts;
mod status;
mod steps;
mod switchover;
mod top;
mod trap;
mod versions;
mod world;
mod writer;
mod zookeeper;
