//! A writer of unique keys that goes on through a fault, and enters what it was told into an account.
//!
//! It knows of no fault. It sends a key again only if the server surely did not take it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis_failover::{Connection, Outcome, outcome};
use redis_failover_lab::Account;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::finder::Finder;
use crate::failure::Failure;
use crate::plain::{self, CONNECT_LIMIT};

/// From one write to the next: busy enough to count with, idle enough to leave the machine to the servers.
const PACE: Duration = Duration::from_millis(1);

/// How long anything may take in which writes must flow.
const LIMIT: Duration = Duration::from_secs(30);

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Acknowledged,
    Refused,
    Unknown,
}

/// How a writer reaches its master.
#[derive(Debug)]
pub(super) enum Route {
    /// Through the client library.
    Library(Connection),
    /// Over a plain connection of redis-rs to whom the finder names; it asks again after an error.
    Plain {
        /// Whom to ask for the master.
        finder: Finder,
        /// How long a reply may take before the connection is given up; `None` for ever.
        patience: Option<Duration>,
        /// The open connection.
        connection: Option<MultiplexedConnection>,
    },
}

/// A running writer. Dropping it ends it where it stands.
#[derive(Debug)]
pub(super) struct Writer {
    account: Arc<Mutex<Account>>,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Writer {
    /// Starts a writer of keys that begin with `prefix`.
    pub(super) fn start(route: Route, prefix: &str) -> Self {
        let account = Arc::new(Mutex::new(Account::new(prefix)));
        let stop = watch::Sender::new(false);
        let mut task = JoinSet::new();
        task.spawn(write(route, account.clone(), stop.subscribe()));
        Self { account, stop, task }
    }

    /// Waits until a write was acknowledged later than at `since`.
    pub(super) async fn acknowledged_since(&self, since: Instant) -> Result<(), Failure> {
        let began = Instant::now();
        while lock(&self.account).last().is_none_or(|write| write.at < since) {
            if began.elapsed() > LIMIT {
                return Err(Failure::new(format!("no write is acknowledged in {} s", LIMIT.as_secs())));
            }
            sleep(PACE).await;
        }
        Ok(())
    }

    /// Ends the writer, after its present write if that ends soon, and returns what it was told.
    pub(super) async fn finish(mut self) -> Account {
        self.stop.send_replace(true);
        let ended = async { while self.task.join_next().await.is_some() {} };
        // One that waits for a reply for ever has nothing more to tell.
        let _ = tokio::time::timeout(CONNECT_LIMIT * 2, ended).await;
        lock(&self.account).clone()
    }
}

async fn write(mut route: Route, account: Arc<Mutex<Account>>, stop: watch::Receiver<bool>) {
    let mut number = 0;
    while !*stop.borrow() {
        let key = lock(&account).key(number);
        let written = route.set(&key, number).await;
        let at = Instant::now();
        match written {
            Written::Acknowledged => lock(&account).acknowledge(number, at),
            Written::Unknown => lock(&account).give_up(number, at),
            Written::Refused => {}
        }
        number += u64::from(written != Written::Refused);
        sleep(PACE).await;
    }
}

impl Route {
    /// A plain connection that follows `finder`, and gives a reply so long.
    pub(super) fn plain(finder: Finder, patience: Option<Duration>) -> Self {
        Self::Plain { finder, patience, connection: None }
    }

    async fn set(&mut self, key: &str, number: u64) -> Written {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(number);
        match self {
            Self::Library(connection) => match command.query_async(connection).await {
                Ok(()) => Written::Acknowledged,
                Err(error) if outcome(&error) == Outcome::NotExecuted => Written::Refused,
                Err(_) => Written::Unknown,
            },
            Self::Plain { finder, patience, connection } => {
                if connection.is_none()
                    && let Some(master) = finder.master().await
                {
                    *connection = plain::connect(&master, *patience).await;
                }
                let Some(open) = connection else { return Written::Refused };
                let answer = command.query_async::<()>(open).await;
                if answer.is_err() {
                    *connection = None;
                }
                match answer {
                    Ok(()) => Written::Acknowledged,
                    // A server that names an error has not executed a SET.
                    Err(error) if error.code().is_some() => Written::Refused,
                    Err(_) => Written::Unknown,
                }
            }
        }
    }
}

/// An account is whole between any two statements.
fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}
