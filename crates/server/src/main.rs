//! The `redis-failover` program. All of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    redis_failover_server::main()
}
