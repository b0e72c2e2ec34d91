//! The shipped binary on hosts of a network of its own: packets that are lost, interfaces and routes that go.
//!
//! It takes root, so no runner takes it up by itself: `cargo xtask test --netns` does. What the hosts and their servers
//! are is in `field`; the rest is that of the other end-to-end tests.

mod field;
#[path = "../e2e/journals.rs"]
mod journals;
mod lost_packets;
mod no_route;
#[path = "../e2e/trap.rs"]
#[expect(dead_code, reason = "not all that the other end-to-end tests ask for is asked for here")]
mod trap;
#[path = "../e2e/world.rs"]
#[expect(dead_code, reason = "as above")]
mod world;
#[path = "../e2e/writer.rs"]
#[expect(dead_code, reason = "as above")]
mod writer;
