//! Who this client is to Redis: one user and password for good, or whoever a callback says at each connect. No password
//! is ever shown.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use redis::RedisConnectionInfo;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::settings::Settings;

/// A user and a password on the Redis servers. The password appears in no `Debug`.
#[derive(Clone, Debug)]
pub struct Credentials {
    username: Option<String>,
    password: SecretString,
}

impl Credentials {
    /// Redis's default user with this password.
    pub fn new(password: impl Into<String>) -> Self {
        Self { username: None, password: SecretString::from(password.into()) }
    }

    /// The ACL user with the same password.
    #[must_use]
    pub fn username(self, username: impl Into<String>) -> Self {
        Self { username: Some(username.into()), ..self }
    }
}

/// Why a callback has no credentials.
pub(crate) type NoCredentials = Box<dyn Error + Send + Sync>;

type Asked = Pin<Box<dyn Future<Output = Result<Credentials, NoCredentials>> + Send>>;

/// Somebody who is asked at each connect.
#[derive(Clone)]
pub(crate) struct Callback(Arc<dyn Fn() -> Asked + Send + Sync>);

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl Callback {
    pub(crate) fn new<F, E>(callback: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<NoCredentials>,
    {
        Self(Arc::new(move || Box::pin(callback().map(|result| result.map_err(Into::into)))))
    }

    /// Asks, for at most `limit`. One that panics is one that fails.
    async fn ask(&self, limit: Duration) -> io::Result<Credentials> {
        let asked = AssertUnwindSafe(async { (self.0)().await }).catch_unwind();
        let why = match timeout(limit, asked).await {
            Ok(Ok(Ok(credentials))) => return Ok(credentials),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "the callback for credentials panicked".to_owned(),
            Err(_) => format!("the callback for credentials took longer than {limit:?}"),
        };
        Err(io::Error::other(format!("there are no credentials: {why}")))
    }
}

/// What is said first on each connection to a node.
///
/// # Errors
/// When a callback has no credentials in time.
pub(crate) async fn introduction(settings: &Settings) -> io::Result<RedisConnectionInfo> {
    let asked = match &settings.credentials {
        // The rest is for connecting: whoever waits for both would not learn which of them was late.
        Some(callback) => Some(callback.ask(settings.connect_timeout / 2).await?),
        None => None,
    };
    let (username, password) = match &asked {
        Some(credentials) => (credentials.username.as_ref(), Some(&credentials.password)),
        None => (settings.username.as_ref(), settings.password.as_ref()),
    };
    let mut info = RedisConnectionInfo::default()
        .set_db(settings.db)
        .set_lib_name("redis-failover", env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        info = info.set_username(username);
    }
    if let Some(password) = password {
        info = info.set_password(password.expose_secret());
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn introduce(callback: Callback) -> io::Result<RedisConnectionInfo> {
        let settings = Settings {
            credentials: Some(callback),
            connect_timeout: Duration::from_millis(40),
            ..Settings::default()
        };
        introduction(&settings).await
    }

    #[tokio::test]
    async fn a_callback_is_asked_each_time() {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let callback = Callback::new({
            let count = Arc::clone(&count);
            move || {
                let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                async move { Ok::<_, io::Error>(Credentials::new(format!("p{number}")).username("u")) }
            }
        });
        for password in ["p0", "p1"] {
            let info = introduce(callback.clone()).await.expect("credentials");
            assert_eq!((info.username(), info.password()), (Some("u"), Some(password)));
        }
    }

    #[tokio::test]
    async fn a_callback_that_fails_panics_or_hangs_is_said() {
        let fails = Callback::new(|| async { Err::<Credentials, _>("the vault is shut") });
        let panics = Callback::new(|| async {
            assert_eq!(1, 2, "this callback panics");
            Ok::<_, io::Error>(Credentials::new("p"))
        });
        let at_once = Callback::new(|| -> std::future::Ready<io::Result<Credentials>> { panic!("at once") });
        let hangs = Callback::new(std::future::pending::<io::Result<Credentials>>);
        for (callback, said) in
            [(fails, "the vault is shut"), (panics, "panicked"), (at_once, "panicked"), (hangs, "20ms")]
        {
            let error = introduce(callback).await.expect_err(said).to_string();
            assert!(error.contains("no credentials") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", Credentials::new("hunter2").username("u")).contains("hunter2"));
    }
}
