//! `cargo xtask clients`: the Redis clients of other languages that our Sentinel endpoint is tried with.
//!
//! Which versions they are is said in the files of their own package managers, in crates/trial/clients. Those managers
//! fetch them once into a cache outside the tree, where the trial looks for them; once they are there no network is
//! needed. What a package wants to run as it is installed never runs. Ruby's comes from Debian, as programs do.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::packages::{self, NODE, NPM, PIP, REDIS_RB};
use crate::{cache, command};

/// Where the files are that say what is fetched.
const PINNED: &str = "crates/trial/clients";

/// The clients of one package manager.
struct Set {
    /// The directory in the cache, where the trial looks for it (`bench/sentinel_clients/process.rs` in crates/trial).
    directory: &'static str,
    /// What says which they are, below [`PINNED`], and what these files are called where it is read.
    pinned: &'static [(&'static str, &'static str)],
    /// What fetches them into the current directory, where these files are.
    install: &'static [&'static str],
}

static SETS: [Set; 2] = [
    Set {
        directory: "python",
        pinned: &[("requirements.txt", "requirements.txt")],
        install: &[
            "python3",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--target",
            ".",
            "--requirement",
            "requirements.txt",
        ],
    },
    Set {
        directory: "node",
        pinned: &[("node/package.json", "package.json"), ("node/package-lock.json", "package-lock.json")],
        install: &["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"],
    },
];

/// Fetches what is not in the cache yet, or is of other versions there.
///
/// # Errors
///
/// When a language or its package manager is missing, or a package cannot be had or is not what it should be.
pub(crate) fn fetch() -> Result<()> {
    packages::ensure(&[&PIP, &NODE, &NPM, &REDIS_RB])?;
    let cache = cache::directory()?.join("clients");
    for set in &SETS {
        let directory = cache.join(set.directory);
        if !set.is_in(&directory, Path::new(PINNED)) {
            set.fetch(&directory, Path::new(PINNED))
                .with_context(|| format!("cannot get the clients of {PINNED} for {}", set.directory))?;
        }
    }
    Ok(())
}

impl Set {
    /// Whether what is there was made of these very files.
    fn is_in(&self, directory: &Path, pinned: &Path) -> bool {
        self.pinned.iter().all(|(from, to)| {
            let (wanted, found) = (fs::read(pinned.join(from)), fs::read(directory.join(to)));
            wanted.ok().zip(found.ok()).is_some_and(|(wanted, found)| wanted == found)
        })
    }

    fn fetch(&self, directory: &Path, pinned: &Path) -> Result<()> {
        let parent = directory.parent().context("the cache has a parent")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        // Beside its place, so that it can be moved there in one step: another run may be doing the same.
        let work = tempfile::tempdir_in(parent)?;
        let fetched = work.path().join("fetched");
        fs::create_dir(&fetched)?;
        for (from, to) in self.pinned {
            let from = pinned.join(from);
            fs::copy(&from, fetched.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        println!("fetching the clients for {}", self.directory);
        command::run(Command::new(self.install[0]).args(&self.install[1..]).current_dir(&fetched))?;
        // Out of the way in one step, too: somebody else's may just have been put there.
        let _ = fs::rename(directory, work.path().join("old"));
        match fs::rename(&fetched, directory) {
            Err(error) if !self.is_in(directory, pinned) => {
                bail!("cannot write {}: {error}", directory.display())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set that is fetched by a shell, which writes down how often.
    const SET: Set = Set {
        directory: "shell",
        pinned: &[("of/pinned.txt", "pinned.txt")],
        install: &["sh", "-c", "cp pinned.txt installed.txt"],
    };

    #[test]
    fn what_is_pinned_is_fetched_and_other_versions_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (pinned, cache) = (folder.path().join("pinned"), folder.path().join("cache/shell"));
        fs::create_dir_all(pinned.join("of")).unwrap();
        for version in ["1", "2"] {
            fs::write(pinned.join("of/pinned.txt"), version).unwrap();
            assert!(!SET.is_in(&cache, &pinned), "{version}");
            SET.fetch(&cache, &pinned).unwrap();
            assert!(SET.is_in(&cache, &pinned), "{version}");
            assert_eq!(fs::read_to_string(cache.join("installed.txt")).unwrap(), version);
        }
        assert_eq!(fs::read_dir(folder.path().join("cache")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_fetched_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (pinned, cache) = (folder.path().join("pinned"), folder.path().join("cache/shell"));
        fs::create_dir_all(pinned.join("of")).unwrap();
        fs::write(pinned.join("of/pinned.txt"), "1").unwrap();
        SET.fetch(&cache, &pinned).unwrap();
        let failing = Set { install: &["false"], ..SET };
        assert!(failing.fetch(&cache, &pinned).unwrap_err().to_string().contains("`false` ended with"));
        assert!(SET.is_in(&cache, &pinned));
    }
}
