//! The words and the decisions of redis-failover.
//!
//! This crate never reads a clock, draws no random number, does no I/O and starts no thread: whoever calls it hands
//! in the time and the facts, and carries out what it answers. Its contract is five calls on [`Decider`]:
//! [`handle`](Decider::handle) takes in a fact, [`poll_action`](Decider::poll_action) gives the next thing to do,
//! [`poll_timeout`](Decider::poll_timeout) says when to ask again, [`status`](Decider::status) explains, and
//! [`nodes`](Decider::nodes) names whom to watch. [`Observer`] turns the outcomes of probes into the votes that
//! the decider counts. The same facts always lead to the same actions.

mod aside;
pub mod candidate;
pub mod commands;
pub mod decider;
pub mod diagnosis;
pub mod divergence;
pub mod event;
pub mod failover;
pub mod follower;
mod founding;
pub mod history;
pub mod lag;
pub mod lead;
pub mod names;
pub mod observer;
pub mod orders;
pub mod own_writes;
pub mod pause;
pub mod plan;
pub mod policy;
pub mod position;
pub mod reading;
pub mod request;
pub mod routing;
pub mod start;
pub mod step;
pub mod subscriptions;
pub mod switchover;
pub mod time;
pub mod topology;
pub mod verdict;
pub mod view;

pub use aside::Aside;
pub use candidate::{Dropped, Ranking};
pub use decider::{Decider, Grounds, Loss, Status};
pub use diagnosis::Diagnosis;
pub use divergence::{Divergence, Keeping};
pub use event::{Event, Leadership, Observation};
pub use history::{Account, Entry, Return};
pub use lag::{Lags, lags};
pub use lead::LeadWatch;
pub use names::{Epoch, MonitorId, NodeAddr, ReplId, RunId, Term};
pub use observer::{Observer, Probe};
pub use orders::Orders;
pub use pause::{Pause, Withheld};
pub use policy::{Discover, Fencing, OnDivergence, Policy};
pub use position::{History, Lineage, Lineages, Position};
pub use request::{Answer, Failover, Order, Request, RequestId, Requests, Switchover};
pub use step::{Action, ActionId, Outcome, Purpose, Saving, Step};
pub use time::Instant;
pub use topology::{Change, Found, Intent, Member, Phase, Publication, Reason, Topology, Version, Versioned};
pub use verdict::Verdict;
pub use view::{
    Attends, Ballot, Ballots, Evidence, LeadBallot, Link, Peer, Peers, Report, Role, Sighting, Vote, Wait,
    Waits,
};
