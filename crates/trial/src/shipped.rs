//! Where the program is that users run, for those who run it here.

use std::env;
use std::path::PathBuf;

use crate::failure::Failure;

/// The shipped program, which is built into the same directory as this one.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|error| Failure::new(format!("where is this program? {error}")))?;
    let program = this.with_file_name("redis-failover");
    if program.is_file() {
        return Ok(program);
    }
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    Err(Failure::new(format!("{} is not there", program.display()))
        .hint(format!("build it: cargo build{profile} --package redis-failover-server")))
}
