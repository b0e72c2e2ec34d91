//! Who the client is to those whom it calls, and whom it takes them for.

#[cfg(feature = "tls")]
use redis_failover_store::Tls;
use secrecy::SecretString;

use super::Builder;
use crate::credentials::{Callback, Credentials, NoCredentials};

impl Builder {
    /// The ACL user on the Redis servers; default Redis's own default user.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.settings.username = Some(username.into());
        self
    }

    /// The password on the Redis servers. It appears in no log, no error and no `Debug`.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = Some(SecretString::from(password.into()));
        self
    }

    /// Asks `callback` for the user and the password at each connect, instead of [`Builder::password`]: for passwords
    /// that change.
    ///
    /// It is called for every TCP connection to a node, in the runtime of the client, and may take half of
    /// [`Builder::connect_timeout`]. A new password counts from the next connect on: open connections stay as they are,
    /// for Redis asks nobody twice. Where it fails, or the server refuses what it yields, it is called again up to some
    /// times a second for each node; until then its error is the reason why the node can't be reached, so it should not
    /// hold a secret. Let both passwords count on the servers while they change (`ACL SETUSER name >new`, and `<old`
    /// once every client has the new one).
    ///
    /// ```
    /// # fn example() -> redis_failover::Builder {
    /// use redis_failover::{Builder, Credentials};
    ///
    /// Builder::default().credentials(|| async {
    ///     let password = std::fs::read_to_string("/run/secrets/redis")?;
    ///     Ok::<_, std::io::Error>(Credentials::new(password.trim_end()).username("app"))
    /// })
    /// # }
    /// ```
    pub fn credentials<F, E>(mut self, callback: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<NoCredentials>,
    {
        self.settings.credentials = Some(Callback::new(callback));
        self
    }

    /// Calls the nodes over TLS; default no. Each is verified by the host that the monitors publish for it, a name or
    /// an IP address.
    ///
    /// ```
    /// # fn example() -> redis_failover::Builder {
    /// use redis_failover::{Builder, Tls};
    ///
    /// Builder::default().tls(Tls::new().roots_file("/etc/redis/ca.pem"))
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Who this client is to `ZooKeeper`, in its scheme `digest`; default nobody in particular. It is needed only where
    /// the published document may not be read by everybody: our monitors let everybody read. The password appears in
    /// no log, no error and no `Debug`.
    pub fn zookeeper_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.access = self.access.credentials(user, SecretString::from(password.into()));
        self
    }

    /// Calls `ZooKeeper` over TLS, at the ports that are given in [`Builder::servers`]; default no. Each server is
    /// verified by the host that stands there, a name or an IP address.
    ///
    /// The library below takes rustls's provider of cryptography from the process. Where the program has installed none
    /// when the client is first used, aws-lc-rs is installed.
    #[cfg(feature = "tls")]
    pub fn zookeeper_tls(mut self, tls: Tls) -> Self {
        self.access = self.access.tls(tls);
        self
    }
}
