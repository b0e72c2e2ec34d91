//! The file of an embedded store: one that is there is the whole of one moment, whatever happens to the process or the
//! machine. It knows no znode, and never overwrites what it cannot read.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::model::Kept;
use crate::wire::{STATE_FILE_FORMAT, Unusable, kept_bytes, parse_kept};

/// Why a store cannot be kept in a file. The file was left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    /// Another process, or another store of this one, uses it.
    #[error("the state file {file} is in use by another process (end that one, or name another file)")]
    InUse {
        /// Which file.
        file: String,
    },
    /// It is no state file, or is damaged.
    #[error(
        "{file} is no state file that can be read: {why}. It is left as it is (put a copy of the right one in its \
         place, or name another file: what was recorded is forgotten then, and the epochs begin anew)"
    )]
    Garbage {
        /// Which file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the state file {file} has format {format}, this version understands up to {STATE_FILE_FORMAT}: it is left \
         alone (start the version that wrote it, or name another file)"
    )]
    NewerFormat {
        /// Which file.
        file: String,
        /// Its format.
        format: u64,
    },
    /// The operating system refused something.
    #[error(
        "the state file {file} cannot be {what}: {error} (its directory must be there, on a disk with room, and belong \
         to the user that runs this)"
    )]
    Refused {
        /// Which file.
        file: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// Why the file could not be written.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// What stood there stands there.
    Not(io::Error),
    /// The new content may stand there, or may after the machine's next start.
    Perhaps(io::Error),
}

/// A state file that is this store's own.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    /// What is written there is not valid before it has the right name.
    unfinished: PathBuf,
    directory: PathBuf,
}

impl StateFile {
    /// The file at `path`, what it holds, and the lock that makes it ours for as long as that is open.
    ///
    /// # Errors
    /// Where it is another's, or cannot be read, locked or written.
    pub(super) fn open(path: &Path) -> Result<(Self, File, Kept), StateFileError> {
        let name = || path.display().to_string();
        let refused = |what| move |error| StateFileError::Refused { file: name(), what, error };
        let (directory, path) = resolve(path).map_err(refused("found"))?;
        let file = Self { unfinished: beside(&path, ".new"), directory, path };
        // A file of its own: the state file itself is replaced by each writing.
        let lock = File::options().create(true).truncate(false).write(true).open(beside(&file.path, ".lock"));
        let lock = lock.map_err(refused("locked"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateFileError::InUse { file: name() }),
            Err(TryLockError::Error(error)) => return Err(refused("locked")(error)),
        }
        let kept = match fs::read(&file.path) {
            Ok(bytes) => parse_kept(&bytes).map_err(|unusable| match unusable {
                Unusable::Garbage(why) => StateFileError::Garbage { file: name(), why },
                Unusable::NewerFormat(format) => StateFileError::NewerFormat { file: name(), format },
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(refused("read")(error)),
        };
        // Of a process that was killed as it wrote.
        match fs::remove_file(&file.unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(refused("written")(error)),
            _ => Ok((file, lock, kept)),
        }
    }

    /// Has the file hold `kept`, and returns when it is on the disk.
    pub(super) fn write(&self, kept: &Kept) -> Result<(), Unwritten> {
        let whole = || {
            let mut unfinished = File::create(&self.unfinished)?;
            unfinished.write_all(&kept_bytes(kept))?;
            unfinished.sync_all()?;
            fs::rename(&self.unfinished, &self.path)
        };
        whole().map_err(|error| {
            // What is left of it takes room; where it can't be removed the next writing begins it anew.
            let _ = fs::remove_file(&self.unfinished);
            Unwritten::Not(error)
        })?;
        // Otherwise the old file may be back after a loss of power.
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(Unwritten::Perhaps)
    }

    /// The same, before anything depends on it.
    pub(super) fn begin(&self, kept: &Kept) -> Result<(), StateFileError> {
        self.write(kept).map_err(|unwritten| {
            let (Unwritten::Not(error) | Unwritten::Perhaps(error)) = unwritten;
            StateFileError::Refused { file: self.name(), what: "written", error }
        })
    }

    /// What it is called, for messages.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The directory and the file itself that `path` leads to: by whatever name it is called, there is one lock for it, and
/// a link is not replaced by a file.
fn resolve(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let file = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A link to nowhere: what it leads to may not be mounted yet.
            if path.is_symlink() {
                return Err(error);
            }
            let name = path.file_name().ok_or(error)?;
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            fs::canonicalize(directory.unwrap_or(Path::new(".")))?.join(name)
        }
        file => file?,
    };
    let directory = file.parent().ok_or(ErrorKind::IsADirectory)?.to_owned();
    Ok((directory, file))
}

/// The file's name with `end` after it.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name: OsString = file.to_owned().into();
    name.push(end);
    name.into()
}
