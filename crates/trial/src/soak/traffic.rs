//! Those who use the client library as an application would, and the look at what became of what they wrote: writers
//! and readers, a session that reads what it wrote, one with transactions, a producer and its worker, a publisher and
//! its subscriber, and threads with the blocking client. They know of no fault.

mod blocking;
mod commands;
mod jobs;
mod look;
mod messages;
mod own_writes;
mod transactions;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::RedisError;
use redis_failover::blocking::Client as BlockingClient;
use redis_failover::{Client, Outcome};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::jobs::Jobs;
use super::ledger::Ledger;
use super::messages::Messages;
use super::pool::{self, Pool};
use super::uses::{Standing, Standings};
use crate::failure::Failure;
use crate::plain;
use blocking::Threads;

/// How many writers there are, each with one write in flight.
pub(super) const WRITERS: usize = 2;

/// How many readers there are.
const READERS: usize = 2;

/// From one command to the next: the machine is the servers'.
const PACE: Duration = Duration::from_millis(2);

/// After a failure: the library itself has waited before it gave up.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the master has for one part.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running traffic. Dropping it ends it where it stands.
#[derive(Debug)]
pub(super) struct Traffic {
    shared: Arc<Shared>,
    /// The client of the session that reads what it wrote, and of nobody else: it counts where that reads.
    own: Client,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// The worker and the subscriber, who go on until there is nothing left for them.
    takers: JoinSet<()>,
    /// Those without a runtime.
    threads: Threads,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    ledgers: Vec<Mutex<Ledger>>,
    own: Mutex<Ledger>,
    transactions: Mutex<Ledger>,
    blocking: Mutex<Ledger>,
    /// One of each user of the pool.
    pooled: Vec<Mutex<Ledger>>,
    pool: Mutex<Pool>,
    /// How often those without a runtime were told that a write was not executed.
    not_executed: AtomicU64,
    jobs: Mutex<Jobs>,
    messages: Mutex<Messages>,
    reads: AtomicU64,
    own_reads: AtomicU64,
    /// How many of them went to replicas, while the group was left alone.
    own_reads_of_replicas: AtomicU64,
    read_errors: AtomicU64,
    /// How often EXEC yielded nil.
    aborted: AtomicU64,
    /// What a server said that no write should have to hear.
    refusals: Mutex<Vec<String>>,
    /// What must never be.
    wrongs: Mutex<Vec<String>>,
}

/// What came of all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub acknowledged: usize,
    pub lost: usize,
    pub unknown: usize,
    pub twice: usize,
    pub reads: u64,
    pub read_errors: u64,
    pub own_reads: u64,
    pub own_reads_of_replicas: u64,
    pub aborted: u64,
    pub markers: usize,
    pub not_executed: u64,
    pub pool: Pool,
    pub uses: Standings,
    pub refusals: Vec<String>,
}

impl Balance {
    /// Whether something was not done at all that everything is about.
    pub(super) fn proves_nothing(&self) -> bool {
        let counts = [self.reads, self.own_reads, self.own_reads_of_replicas, self.aborted];
        let nothing = self.acknowledged == 0 || counts.contains(&0) || self.pool.left == 0;
        nothing || self.uses.iter().any(|it| it.confirmed == 0)
    }
}

impl Traffic {
    /// Starts it, when the subscriber is subscribed.
    ///
    /// # Errors
    /// When no master confirms that.
    pub(super) async fn start(
        client: &Client,
        own: Client,
        blocking: BlockingClient,
    ) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::new(Instant::now()));
        let stop = watch::Sender::new(false);
        let (mut tasks, mut takers) = (JoinSet::new(), JoinSet::new());
        for writer in 0..WRITERS {
            tasks.spawn(commands::write(client.connection(), Arc::clone(&shared), writer, stop.subscribe()));
        }
        for reader in 0..READERS {
            tasks.spawn(commands::read(client.connection(), Arc::clone(&shared), reader, stop.subscribe()));
        }
        tasks.spawn(own_writes::write_and_read(own.connection(), Arc::clone(&shared), stop.subscribe()));
        let connections = [client.connection(), client.connection()];
        tasks.spawn(transactions::transact(connections, Arc::clone(&shared), stop.subscribe()));
        tasks.spawn(jobs::produce(client.connection(), Arc::clone(&shared), stop.subscribe()));
        takers.spawn(jobs::work(client.connection(), Arc::clone(&shared)));
        let mut subscriber = client.pubsub();
        subscriber.subscribe(messages::CHANNEL).await.map_err(Failure::new)?;
        takers.spawn(messages::hear(subscriber, Arc::clone(&shared)));
        tasks.spawn(messages::publish(client.connection(), Arc::clone(&shared), stop.subscribe()));
        let threads = Threads::start(blocking, &shared, &stop)?;
        Ok(Self { shared, own, stop, tasks, takers, threads })
    }

    /// Waits until each writer had a write confirmed later than at `since`, and everybody else has got on, too.
    pub(super) async fn flows_since(&self, since: Instant, limit: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        // The next one may be under way already.
        let job = lock(&self.shared.jobs).next() + 1;
        let message = lock(&self.shared.messages).next() + 1;
        while let Some(who) = self.who_waits(since, job, message) {
            if began.elapsed() > limit {
                return Err(Failure::new(format!("{who} gets nothing in {} s", limit.as_secs())));
            }
            sleep(PACE).await;
        }
        Ok(())
    }

    fn who_waits(&self, since: Instant, job: usize, message: usize) -> Option<&'static str> {
        let waits = |ledger: &Ledger| ledger.last().is_none_or(|at| at <= since);
        let shared = &self.shared;
        let all = [
            (self.ledgers().any(|ledger| waits(&ledger)), "a writer"),
            (waits(&lock(&shared.own)), "who reads what it wrote"),
            (waits(&lock(&shared.transactions)), "who writes with transactions"),
            (waits(&lock(&shared.blocking)), "who writes with the blocking client"),
            (shared.pooled.iter().any(|ledger| waits(&lock(ledger))), "who writes through the pool"),
            (!lock(&shared.jobs).reached(job), "the worker"),
            (!lock(&shared.messages).reached(message), "the subscriber"),
        ];
        all.into_iter().find(|(waits, _)| *waits).map(|(_, who)| who)
    }

    /// How many writes were confirmed in this time, and of how many nobody knows.
    pub(super) fn during(&self, window: &Range<Instant>) -> (usize, usize) {
        self.ledgers()
            .map(|ledger| ledger.during(window))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// The longest time that touches this one in which some writer got no write confirmed.
    pub(super) fn longest_gap(&self, window: &Range<Instant>) -> Duration {
        let of_threads = self.shared.of_threads().map(lock);
        self.ledgers().chain(of_threads).map(|ledger| ledger.longest_gap(window)).max().unwrap_or_default()
    }

    /// Reads all writes back from the master at this address; returns how many are lost that were not before.
    pub(super) async fn look(&self, master: &str) -> Result<usize, Failure> {
        let no_answer = || Failure::new(format!("{master} does not show what it holds"));
        let mut connection = plain::connect(master, Some(PATIENCE)).await.ok_or_else(no_answer)?;
        let shared = &self.shared;
        let mut lost = 0;
        for ledger in &shared.ledgers {
            lost += look::read_back(ledger, &mut connection).await.map_err(Failure::new)?.0;
        }
        for ledger in shared.of_threads().chain([&shared.own]) {
            look::read_back(ledger, &mut connection).await.map_err(Failure::new)?;
        }
        let before = look::counter(&mut connection).await.map_err(Failure::new)?;
        let (_, sum) = look::read_back(&shared.transactions, &mut connection).await.map_err(Failure::new)?;
        let after = look::counter(&mut connection).await.map_err(Failure::new)?;
        if let Some(wrong) = transactions::incomplete(before, sum, after) {
            shared.complain(&wrong);
        }
        Ok(lost)
    }

    /// Ends them after their present command, or soon; the worker and the subscriber when they have had all, or soon.
    pub(super) async fn finish(&mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, ended).await;
        self.tasks.abort_all();
        tokio::task::block_in_place(|| self.threads.finish(&self.shared));
        let shared = &self.shared;
        let drained = async {
            while !lock(&shared.jobs).is_whole() || !lock(&shared.messages).is_whole() {
                sleep(PACE).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, drained).await;
        self.takers.abort_all();
        lock(&shared.jobs).close();
        lock(&shared.messages).close();
    }

    /// How many commands the session that reads what it wrote has sent to others than this master.
    pub(super) fn own_reads_beside(&self, master: &str) -> u64 {
        let nodes = self.own.metrics().nodes;
        nodes.iter().filter(|(node, _)| node.to_string() != master).map(|(_, figures)| figures.commands).sum()
    }

    /// Enters that so many of its reads went to replicas.
    pub(super) fn enter_own_reads_of_replicas(&self, count: u64) {
        self.shared.own_reads_of_replicas.fetch_add(count, Ordering::Relaxed);
    }

    /// What the uses of the client other than plain commands have come to so far.
    pub(super) fn standings(&self) -> Standings {
        let shared = &self.shared;
        let of = |ledger: &Mutex<Ledger>| {
            let ledger = lock(ledger);
            Standing { confirmed: ledger.acknowledged(), unknown: ledger.unknown(), lost: ledger.lost() }
        };
        let (jobs, messages) = (lock(&shared.jobs), lock(&shared.messages));
        let pushes = Standing { confirmed: jobs.confirmed(), unknown: jobs.unknown(), lost: jobs.missing() };
        let takings = Standing { confirmed: jobs.taken(), unknown: jobs.in_doubt(), lost: jobs.again() };
        let (confirmed, unknown, lost) = (messages.confirmed(), messages.unknown(), messages.missed());
        let messages = Standing { confirmed, unknown, lost };
        let pooled = shared.pooled.iter().map(of).fold(Standing::default(), Standing::plus);
        let blocking = of(&shared.blocking);
        [of(&shared.own), of(&shared.transactions), pushes, takings, messages, blocking, pooled]
    }

    /// How much of each of them was confirmed in this time; of messages it does not matter.
    pub(super) fn standings_during(&self, window: &Range<Instant>) -> Standings {
        let shared = &self.shared;
        let (pushes, takings) = lock(&shared.jobs).during(window);
        let of = |ledger: &Mutex<Ledger>| lock(ledger).during(window).0;
        let (own, transactions, blocking) = (of(&shared.own), of(&shared.transactions), of(&shared.blocking));
        let pooled = shared.pooled.iter().map(of).sum();
        [own, transactions, pushes, takings, 0, blocking, pooled]
            .map(|confirmed| Standing { confirmed, ..Standing::default() })
    }

    /// How often the subscriber was told that it may have missed something.
    pub(super) fn markers(&self) -> usize {
        lock(&self.shared.messages).markers()
    }

    /// What must never be, whatever was done: a few of each.
    pub(super) fn wrongs(&self) -> Vec<String> {
        const FEW: usize = 5;
        let shared = &self.shared;
        let overlooked = |(number, at): (usize, Duration)| {
            let at = at.as_secs_f64();
            format!("{at:.1} s: a session did not find its own write {number}, which is not lost")
        };
        let mut wrongs: Vec<_> = lock(&shared.wrongs).iter().take(FEW).cloned().collect();
        wrongs.extend(lock(&shared.own).overlooked().take(FEW).map(overlooked));
        wrongs.extend(lock(&shared.jobs).wrongs().iter().take(FEW).cloned());
        wrongs.extend(lock(&shared.messages).wrongs().iter().take(FEW).cloned());
        wrongs.extend(lock(&shared.pool).wrong());
        wrongs
    }

    /// What came of all of it so far.
    pub(super) fn balance(&self) -> Balance {
        let sum = |count: fn(&Ledger) -> usize| self.ledgers().map(|ledger| count(&ledger)).sum();
        let twice: usize = sum(Ledger::twice);
        let elsewhere =
            [&self.shared.own, &self.shared.transactions].into_iter().chain(self.shared.of_threads());
        let twice_elsewhere: usize = elsewhere.map(|ledger| lock(ledger).twice()).sum();
        Balance {
            acknowledged: sum(Ledger::acknowledged),
            lost: sum(Ledger::lost),
            unknown: sum(Ledger::unknown),
            twice: twice + twice_elsewhere,
            reads: self.shared.reads.load(Ordering::Relaxed),
            read_errors: self.shared.read_errors.load(Ordering::Relaxed),
            own_reads: self.shared.own_reads.load(Ordering::Relaxed),
            own_reads_of_replicas: self.shared.own_reads_of_replicas.load(Ordering::Relaxed),
            aborted: self.shared.aborted.load(Ordering::Relaxed),
            markers: self.markers(),
            not_executed: self.shared.not_executed.load(Ordering::Relaxed),
            pool: *lock(&self.shared.pool),
            uses: self.standings(),
            refusals: lock(&self.shared.refusals).clone(),
        }
    }

    fn ledgers(&self) -> impl Iterator<Item = MutexGuard<'_, Ledger>> {
        self.shared.ledgers.iter().map(lock)
    }
}

impl Shared {
    fn new(began: Instant) -> Self {
        let ledger = |writer| Mutex::new(Ledger::new(writer, began));
        Self {
            began,
            ledgers: (0..WRITERS).map(ledger).collect(),
            own: ledger(WRITERS),
            transactions: ledger(WRITERS + 1),
            blocking: ledger(WRITERS + 2),
            pooled: (0..pool::SIZE).map(|user| ledger(WRITERS + 3 + user)).collect(),
            pool: Mutex::default(),
            not_executed: AtomicU64::new(0),
            jobs: Mutex::default(),
            messages: Mutex::default(),
            reads: AtomicU64::new(0),
            own_reads: AtomicU64::new(0),
            own_reads_of_replicas: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            refusals: Mutex::default(),
            wrongs: Mutex::default(),
        }
    }

    /// The ledgers of those without a runtime.
    fn of_threads(&self) -> impl Iterator<Item = &Mutex<Ledger>> {
        self.pooled.iter().chain([&self.blocking])
    }

    /// Enters that a write was not executed. A server that names an error has not executed this command.
    fn not_done(&self, outcome: Outcome, error: &RedisError) {
        if outcome == Outcome::Executed {
            lock(&self.refusals).push(error.to_string());
        }
    }

    /// Enters what must never be.
    fn complain(&self, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        lock(&self.wrongs).push(format!("{at:.1} s: {what}"));
    }
}

/// What is locked here is whole between any two statements.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
