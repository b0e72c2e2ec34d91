//! The configuration of Redis Sentinel, as its files have it. It writes none, and never shows a password.

mod deployment;
mod directives;
mod file;
mod words;

pub(crate) use deployment::{Deployment, Group};
pub(crate) use file::{Password, SentinelFile, Unknown};

#[cfg(test)]
mod tests;
