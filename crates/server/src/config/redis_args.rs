//! How a command that is no monitor calls the group's Redis servers: the options of `run`, by the same names.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::group::Origin;
use super::said::Said;
use super::secure::{REDIS_PASSWORD, RedisTlsArgs, said_by_variable};
use crate::failure::Failure;
use crate::redis_link::Credentials;

/// How the Redis servers are called, and as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct RedisArgs {
    /// The ACL user on the Redis servers: give that of the monitors.
    #[arg(long, value_name = "USER", env = "REDIS_FAILOVER_REDIS_USERNAME")]
    redis_username: Option<String>,

    /// A file whose first line is the password on the Redis servers; or set `REDIS_FAILOVER_REDIS_PASSWORD`.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_REDIS_PASSWORD_FILE")]
    redis_password_file: Option<PathBuf>,

    /// Call the Redis servers from this address of the host.
    #[arg(long, value_name = "IP", env = "REDIS_FAILOVER_SOURCE_ADDRESS")]
    source_address: Option<IpAddr>,

    #[command(flatten)]
    tls: RedisTlsArgs,
}

impl RedisArgs {
    /// Who we are to the servers, and how they are called.
    ///
    /// # Errors
    /// With the option, the file, and what is wrong with it.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        let mut said = Said {
            redis_username: self.redis_username.clone(),
            redis_password_file: self.redis_password_file.clone(),
            redis_password: said_by_variable(REDIS_PASSWORD),
            source_address: self.source_address,
            ..Said::default()
        };
        self.tls.clone().say(&mut said);
        said.credentials(&Origin::Flags, &mut Vec::new())
    }
}
