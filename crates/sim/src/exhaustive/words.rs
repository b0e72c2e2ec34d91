//! Moves in words.

use std::fmt;

use super::group::{NODES, address, name};
use super::moves::Move;

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node =
            |node: usize| if node < NODES { address(node).host().to_owned() } else { "the store".to_owned() };
        match *self {
            Self::Look(monitor, it) => write!(f, "{} looks at {}", name(monitor), node(it)),
            Self::LookAll(monitor) => write!(f, "{} looks at all nodes", name(monitor)),
            Self::Read(monitor) => write!(f, "{} reads the record", name(monitor)),
            Self::Hear(monitor) => write!(f, "{} hears the other's votes", name(monitor)),
            Self::Lead(monitor) => write!(f, "{} takes the lead", name(monitor)),
            Self::Learn(monitor) => write!(f, "{} learns that its session has expired", name(monitor)),
            Self::Visit(monitor, it) => {
                write!(f, "{}'s action is carried out at {}", name(monitor), node(it))
            }
            Self::Miss(monitor, it) => write!(f, "what {} sent to {} is lost", name(monitor), node(it)),
            Self::Finish(monitor) => write!(f, "{} hears what came of its action", name(monitor)),
            Self::Late(monitor, n) => write!(f, "{}'s late command {n} arrives", name(monitor)),
            Self::Connect(it) => write!(f, "{} connects to its master", node(it)),
            Self::Receive(it) => write!(f, "{} takes in what its master sent", node(it)),
            Self::Follow => f.write_str("the client reads the document"),
            Self::Write => f.write_str("the client writes"),
            Self::Time => f.write_str("time passes"),
            Self::Restart(it, memory) => write!(f, "{} is back ({memory:?})", node(it)),
            Self::Heal(it) => write!(f, "{}'s link goes on", node(it)),
            Self::Die(it) => write!(f, "FAULT: {} dies", node(it)),
            Self::Kill(monitor) => write!(f, "FAULT: {} dies", name(monitor)),
            Self::Expire(monitor) => write!(f, "FAULT: {}'s session expires", name(monitor)),
            Self::Lose(monitor) => write!(f, "FAULT: the outcome of {}'s action is lost", name(monitor)),
            Self::Doubt(monitor) => write!(f, "FAULT: {} finds the leader gone, which lives", name(monitor)),
            Self::Gone(monitor) => write!(f, "{} finds the leader gone", name(monitor)),
            Self::Stall(it) => write!(f, "FAULT: {}'s link stalls", node(it)),
        }
    }
}
