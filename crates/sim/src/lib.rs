//! The deterministic simulator.
pub mod exhaustive;
pub mod redis;
