//! `bench`: measurements that can be repeated. One file for each.
//!
//! It measures pairs that alternate, never two series one after the other: what the machine does meanwhile then
//! burdens both sides alike.

mod client;
mod finder;
mod group;
mod guard;
mod loss;
mod sentinel_clients;
mod statistics;
mod switchover;
mod writer;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// What is to be measured.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// The client library beside redis-rs, of which it is made: rates, footprint, and how soon many clients follow.
    Client(client::ClientArgs),
    /// One process of `client --part footprint`.
    #[command(hide = true)]
    Idle(client::IdleArgs),
    /// A master that is killed and comes back without its memory: how often it takes its replicas' data with it.
    Guard(guard::GuardArgs),
    /// What faults of the master cost in acknowledged writes, beside Redis Sentinel with `--vs sentinel`.
    Loss(loss::LossArgs),
    /// What callers notice of a switchover, beside Redis Sentinel and Valkey's coordinated one with `--vs sentinel`.
    Switchover(switchover::SwitchoverArgs),
    /// What clients of Redis Sentinel in several languages meet at our endpoint, beside Redis Sentinel with
    /// `--vs sentinel`.
    SentinelClients(sentinel_clients::SentinelClientsArgs),
    /// One process that uses redis-rs for `sentinel-clients`.
    #[command(hide = true)]
    RedisRs(sentinel_clients::DriverArgs),
    /// One process that writes for `switchover`.
    #[command(hide = true)]
    OnSchedule(switchover::ScheduleArgs),
}

/// Measures.
///
/// # Errors
/// When a server does not start or fails, or Ctrl-C was pressed.
pub(crate) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::new()?;
    match args.subject {
        Subject::Client(args) => interrupt.or(client::run(args)).await,
        Subject::Idle(args) => interrupt.or(client::idle(args)).await,
        Subject::Guard(args) => interrupt.or(guard::run(args)).await,
        Subject::Loss(args) => interrupt.or(loss::run(args)).await,
        Subject::Switchover(args) => interrupt.or(switchover::run(args)).await,
        Subject::SentinelClients(args) => interrupt.or(sentinel_clients::run(args)).await,
        Subject::RedisRs(args) => interrupt.or(Box::pin(sentinel_clients::drive(args))).await,
        Subject::OnSchedule(args) => interrupt.or(switchover::write_on_schedule(args)).await,
    }
}
