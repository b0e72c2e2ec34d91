//! Ports for servers that are about to start.
//!
//! A port found by binding port 0 may be anyone's a moment later: another test's, or an outgoing connection's. So a
//! process first claims a whole block of ports, by listening on the block's first port for as long as it lives, and
//! then hands out the others. The kernel gives the block back however the process ends; there are no lock files to
//! clean up, and users need not share a directory. The blocks lie below the range that Linux draws outgoing
//! connections from (32768 and up by default), hence a server that is down keeps its port.
//!
//! This never hands out a port twice in one process, nor one of another living process that asks here.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

const BLOCK: u16 = 50;
const FIRST: u16 = 10_000;
const BLOCKS: u16 = 440;

/// The blocks this process has claimed, and the ports not yet handed out of the latest.
static CLAIMED: Mutex<Claimed> = Mutex::new(Claimed { flags: Vec::new(), left: 0..0 });

struct Claimed {
    flags: Vec<TcpListener>,
    left: Range<u16>,
}

/// Returns a port of 127.0.0.1 on which nothing listens.
///
/// # Panics
///
/// When other processes hold all the blocks.
pub fn free_port() -> u16 {
    // The state is whole between any two statements, so a panic elsewhere cannot have spoilt it.
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = claimed.left.find(|port| listen(*port).is_some()) {
            return port;
        }
        let (flag, left) = claim_block().expect("all blocks of ports are taken by other processes");
        claimed.flags.push(flag);
        claimed.left = left;
    }
}

/// Claims the first unclaimed block, from a place that differs between processes that start together.
fn claim_block() -> Option<(TcpListener, Range<u16>)> {
    let blocks = u32::from(BLOCKS);
    (0..blocks).find_map(|step| {
        let block = u16::try_from((std::process::id() + step) % blocks).expect("less than BLOCKS");
        let first = FIRST + block * BLOCK;
        Some((listen(first)?, first + 1..first + BLOCK))
    })
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}
