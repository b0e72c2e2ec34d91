//! Commits to an embedded store that is kept in a file: on the disk first, then in the model, and only then answered. A
//! disk that is slow holds up commits and nothing else: it is written on a thread of its own, without the store's lock.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Shared;
use super::state_file::{StateFile, Unwritten};
use crate::model::Model;
use crate::{CommitError, StoreError};

/// How long a commit waits for the disk. It goes on without who waits.
const DISK_LIMIT: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce(&StateFile) + Send>;

/// The thread that writes the file, one commit after the other. It ends when this is dropped.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    file: String,
    /// Each job has a handle of the store, so the file is nobody else's before the last job is done.
    _lock: File,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread, which owns `file` from now on, while `lock` makes it ours.
    ///
    /// # Errors
    /// When the operating system grants no thread.
    pub(super) fn start(file: StateFile, lock: File) -> io::Result<Self> {
        let (jobs, next) = mpsc::channel::<Job>();
        let name = file.name();
        thread::Builder::new().name("state-file".to_owned()).spawn(move || {
            for job in next {
                job(&file);
            }
        })?;
        Ok(Self { jobs, file: name, _lock: lock })
    }

    /// Changes the model `with` something that says the same each time it is asked, unless the file cannot be written.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        with: impl Fn(&mut Model) -> Result<T, CommitError> + Send + 'static,
    ) -> Result<T, CommitError> {
        let (tell, told) = oneshot::channel();
        let shared = Arc::clone(shared);
        let job = move |file: &StateFile| {
            let outcome = carry_out(&shared, file, &with);
            drop(shared);
            // Whoever asked may have ceased to wait.
            let _ = tell.send(outcome);
        };
        let unknown = |why: String| CommitError::Unknown(failed(self.file.clone(), &why));
        if self.jobs.send(Box::new(job)).is_err() {
            return Err(unknown("the thread that writes it has ended".to_owned()));
        }
        match timeout(DISK_LIMIT, told).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unknown("the thread that writes it has ended".to_owned())),
            Err(_) => Err(unknown(format!("it is not written after {DISK_LIMIT:?}"))),
        }
    }
}

fn failed(file: String, why: &impl ToString) -> StoreError {
    StoreError::StateFile { file, why: why.to_string() }
}

/// One commit. Nobody else writes the file meanwhile, and nobody who only asks the model waits.
fn carry_out<T>(
    shared: &Shared,
    file: &StateFile,
    with: impl Fn(&mut Model) -> Result<T, CommitError>,
) -> Result<T, CommitError> {
    let mut next = shared.lock().model.clone();
    let before = next.transaction();
    let outcome = with(&mut next)?;
    if next.transaction() == before {
        // Equal data.
        return Ok(outcome);
    }
    file.write(&next.kept()).map_err(|unwritten| match unwritten {
        Unwritten::Not(error) => CommitError::Refused(failed(file.name(), &error)),
        Unwritten::Perhaps(error) => CommitError::Unknown(failed(file.name(), &error)),
    })?;
    let outcome = shared.change(|model, _| with(model));
    if outcome.is_err() {
        // It gave up the lead while the disk was busy: what nobody reads here must not be found after a restart.
        let kept = shared.lock().model.kept();
        file.write(&kept).map_err(|unwritten| {
            let (Unwritten::Not(error) | Unwritten::Perhaps(error)) = unwritten;
            CommitError::Unknown(failed(file.name(), &error))
        })?;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::super::Embedded;
    use super::*;
    use crate::wire::parse_kept;

    #[test]
    fn what_was_given_up_while_the_disk_was_busy_is_not_found_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let (file, _lock, _) = StateFile::open(&path).unwrap();
        let store = Embedded::new();
        store.meddle(|model| model.put("/g", b"old"));
        let asked = Cell::new(0);
        let leads_no_longer = |model: &mut Model| {
            asked.set(asked.get() + 1);
            if asked.get() == 2 {
                // It was written by then.
                let written = parse_kept(&fs::read(&path).unwrap()).unwrap();
                assert_eq!(written.znodes["/g"].data, b"new");
                return Err(CommitError::Fenced);
            }
            model.put("/g", b"new");
            Ok(())
        };
        assert_eq!(carry_out(&store.shared, &file, leads_no_longer), Err(CommitError::Fenced));
        let kept = parse_kept(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept, store.meddle(|model| model.kept()));
        assert_eq!(kept.znodes["/g"].data, b"old");
    }
}
