//! The journals of a test's monitors, each in a file of its own: kept where the test fails. It reads none.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

/// The journals of one group.
pub(crate) struct Journals {
    directory: TempDir,
    /// The group's path.
    group: String,
}

impl Journals {
    pub(crate) fn new(group: &str) -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), group: group.to_owned() }
    }

    /// The journal of monitor `id`.
    pub(crate) fn file(&self, id: &str) -> PathBuf {
        let group = self.group.trim_start_matches('/').replace('/', "-");
        self.directory.path().join(format!("{group}-{id}.journal"))
    }

    /// Copies them out of the way of what cleans up, and says where they are.
    fn keep(&self) -> std::io::Result<()> {
        let kept = kept();
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(self.directory.path())? {
            let entry = entry?;
            let file = kept.join(entry.file_name());
            fs::copy(entry.path(), &file)?;
            eprintln!("a journal is kept: cargo run -p redis-failover-server -- replay {}", file.display());
        }
        Ok(())
    }
}

/// Where the journals of the present test are kept: beside what was built, where git does not look.
pub(crate) fn kept() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target directory");
    let thread = thread::current();
    // A test's thread has its name; on a host of a network of its own it is another thread.
    let test = thread.name().unwrap_or("another thread").replace("::", "-");
    target.join("journals").join(test)
}

impl Drop for Journals {
    fn drop(&mut self) {
        if let Some(Err(error)) = thread::panicking().then(|| self.keep()) {
            eprintln!("the journals of {} could not be kept: {error}", self.group);
        }
    }
}
