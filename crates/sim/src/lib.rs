//! The deterministic simulator.
pub mod redis;
