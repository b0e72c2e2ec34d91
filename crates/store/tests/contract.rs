//! What the store promises. Each case is written once and runs on the model, on the embedded store, on that in a file,
//! and on a real `ZooKeeper`: what the first ones say is what the last does. Nothing is skipped anywhere.

// Clippy allows it only inside test functions; these are their helpers.
#![allow(clippy::unwrap_used)]

mod contract {
    pub(crate) mod on_embedded;
    pub(crate) mod on_model;
    pub(crate) mod on_zookeeper;
    pub(crate) mod subject;
    pub(crate) mod world;

    mod access;
    mod commits;
    mod elections;
    mod history;
    mod lost_requests;
    mod network;
    mod publications;
    mod quiet;
    mod records;
    mod reports;
    mod requests;
    mod state_file;
}
