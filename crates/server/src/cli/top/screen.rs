//! The terminal while `top` has it: keys in, pictures out, and as it was when it ends, however that is. It knows
//! nothing of what is drawn.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use redis_failover_store::ZooKeeper;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::collect::Collector;
use super::model::{Asked, Model, Update};
use super::{Target, draw};
use crate::config::Ensemble;
use crate::failure::{Failure, Kind};

/// How often it is drawn, if no key asks for it sooner.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Shows the groups until a key or a signal ends it.
///
/// # Errors
/// When the terminal can't be used.
pub(super) async fn run(targets: Vec<Target>) -> Result<ExitCode, Failure> {
    let mut model = Model::new(targets.iter().map(|target| target.name.clone()));
    let (news, updates) = mpsc::unbounded_channel();
    let (choose, chosen) = watch::channel(model.chosen);
    let (sessions, collectors) = collect(targets, &news, &chosen)?;
    let outcome = show(&mut model, updates, &choose, collectors).await;
    for (_, session) in sessions {
        session.close().await;
    }
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(Kind::Failed, format!("the terminal: {error}"))),
    }
}

type Sessions = Vec<(Ensemble, ZooKeeper)>;

/// Has all groups looked at, those with the same servers over one session.
fn collect(
    targets: Vec<Target>,
    news: &mpsc::UnboundedSender<Update>,
    chosen: &watch::Receiver<usize>,
) -> Result<(Sessions, JoinSet<()>), Failure> {
    let (mut sessions, mut collectors) = (Sessions::new(), JoinSet::new());
    for (index, target) in targets.into_iter().enumerate() {
        let open = sessions.iter().find(|(ensemble, _)| *ensemble == target.ensemble);
        let session = if let Some((_, session)) = open {
            session.clone()
        } else {
            let Ensemble { zkhosts, session_timeout, access } = &target.ensemble;
            let session = ZooKeeper::connect_with(zkhosts.clone(), *session_timeout, access);
            let session = session
                .map_err(|error| Failure::new(Kind::Failed, format!("no session with ZooKeeper: {error}")))?;
            sessions.push((target.ensemble.clone(), session.clone()));
            session
        };
        let store = session.group(&target.path);
        collectors.spawn(Collector { index, target, store, news: news.clone() }.run(chosen.clone()));
    }
    Ok((sessions, collectors))
}

async fn show(
    model: &mut Model,
    mut updates: mpsc::UnboundedReceiver<Update>,
    choose: &watch::Sender<usize>,
    mut collectors: JoinSet<()>,
) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut keys = keys();
    // A panic gives the terminal back, too, before it is told: that is what ratatui has the process do from here on.
    let _restored = Restored;
    let mut terminal = ratatui::try_init()?;
    let mut pictures = interval(DRAW_EVERY);
    pictures.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(update) = updates.recv() => {
                model.learn(update);
                continue;
            }
            Some(ended) = collectors.join_next() => match ended {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Ok(()) | Err(_) => continue,
            },
            event = keys.recv() => match event {
                None => return Ok(()),
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                    if model.press(key) == Asked::End {
                        return Ok(());
                    }
                    choose.send_if_modified(|chosen| std::mem::replace(chosen, model.chosen) != model.chosen);
                }
                Some(_) => {}
            },
            _ = pictures.tick() => {}
        }
        (model.now, model.instant) = (SystemTime::now(), Instant::now());
        terminal.draw(|frame| draw::draw(model, frame))?;
    }
}

/// Gives the terminal back when it is dropped.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What is typed. A thread of its own waits for it, which ends with the process.
fn keys() -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    receiver
}
