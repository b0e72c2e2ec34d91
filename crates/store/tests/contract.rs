//! What the store promises, on a real `ZooKeeper`. Each test has a server, or shares one, and paths of its
//! own.

// Clippy allows it only inside test functions; these are their helpers.
#![allow(clippy::unwrap_used)]

mod contract {
    pub(crate) mod world;

    mod commits;
    mod elections;
    mod publications;
    mod quiet;
    mod records;
    mod reports;
}
