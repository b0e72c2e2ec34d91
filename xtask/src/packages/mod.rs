//! The programs that a task needs beside cargo: what is missing, and how to get it.
//!
//! It installs only as root and only with apt; otherwise it prints the line to type. It never calls `sudo`,
//! and it never installs what is already there.

mod no_services;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;
use no_services::NoServices;

/// Something that a task starts or imports.
pub(crate) struct Need {
    /// What people call it.
    pub(crate) name: &'static str,
    is_present: fn() -> bool,
    apt: &'static str,
    /// Empty where the manager has no such package; then `by_hand` is said.
    dnf: &'static str,
    /// Empty as above.
    brew: &'static str,
    by_hand: &'static str,
}

/// A Redis server.
pub(crate) static REDIS: Need = Need {
    name: "redis-server",
    is_present: || in_path("redis-server"),
    apt: "redis-server",
    dnf: "redis",
    brew: "redis",
    by_hand: "build it from https://redis.io/downloads",
};
/// ZooKeeper's jars.
pub(crate) static ZOOKEEPER: Need = Need {
    name: "ZooKeeper",
    is_present: has_zookeeper,
    apt: "zookeeper",
    dnf: "",
    brew: "",
    by_hand: "unpack a release of https://zookeeper.apache.org and export ZOOKEEPER_HOME",
};
/// What runs ZooKeeper.
pub(crate) static JAVA: Need = Need {
    name: "a Java runtime",
    is_present: || in_path("java"),
    apt: "default-jre-headless",
    dnf: "java-headless",
    brew: "openjdk",
    by_hand: "get one from https://adoptium.net",
};
/// The ZooKeeper client that plays the Python predecessor.
pub(crate) static KAZOO: Need = Need {
    name: "kazoo for /usr/bin/python3",
    is_present: || command::succeeds(Command::new("/usr/bin/python3").args(["-c", "import kazoo"])),
    apt: "python3-kazoo",
    dnf: "python3-kazoo",
    brew: "",
    by_hand: "/usr/bin/python3 -m pip install --user kazoo",
};
/// What makes a process's waits for the disk take longer.
pub(crate) static STRACE: Need = Need {
    name: "strace",
    is_present: || in_path("strace"),
    apt: "strace",
    dnf: "strace",
    brew: "",
    by_hand: "it exists on Linux only, see https://strace.io",
};
/// What wires network namespaces.
pub(crate) static IPROUTE: Need = Need {
    name: "iproute2",
    is_present: || in_path("ip"),
    apt: "iproute2",
    dnf: "iproute",
    brew: "",
    by_hand: "it exists on Linux only, see https://wiki.linuxfoundation.org/networking/iproute2",
};

/// What fetches Python packages; the servers of other versions are in some.
pub(crate) static PIP: Need = Need {
    name: "pip for python3",
    is_present: || command::succeeds(Command::new("python3").args(["-m", "pip", "--version"])),
    apt: "python3-pip",
    dnf: "python3-pip",
    brew: "python",
    by_hand: "python3 -m ensurepip --user",
};

/// What runs two of the clients of Redis Sentinel that our endpoint is tried with.
pub(crate) static NODE: Need = Need {
    name: "Node.js",
    is_present: || in_path("node"),
    apt: "nodejs",
    dnf: "nodejs",
    brew: "node",
    by_hand: "get it from https://nodejs.org",
};
/// What fetches these two.
pub(crate) static NPM: Need = Need {
    name: "npm",
    is_present: || in_path("npm"),
    apt: "npm",
    dnf: "nodejs-npm",
    brew: "node",
    by_hand: "get it from https://nodejs.org",
};
/// One more of these clients, with its language.
pub(crate) static REDIS_RB: Need = Need {
    name: "redis for /usr/bin/ruby",
    is_present: || command::succeeds(Command::new("/usr/bin/ruby").args(["-r", "redis", "-e", ""])),
    apt: "ruby-redis",
    dnf: "rubygem-redis",
    brew: "",
    by_hand: "/usr/bin/ruby -S gem install --user-install redis",
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manager {
    Apt,
    Dnf,
    Brew,
}

impl Manager {
    fn find() -> Option<Self> {
        let managers = [("apt-get", Self::Apt), ("dnf", Self::Dnf), ("brew", Self::Brew)];
        managers.into_iter().find_map(|(program, manager)| in_path(program).then_some(manager))
    }

    fn package(self, need: &Need) -> &'static str {
        match self {
            Self::Apt => need.apt,
            Self::Dnf => need.dnf,
            Self::Brew => need.brew,
        }
    }
}

/// Makes sure that all of it is there, by installing it where that is allowed.
///
/// # Errors
///
/// When something is missing and may not or could not be installed; what to do is part of the error.
pub(crate) fn ensure(needs: &[&Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let manager = Manager::find();
    let is_root = command::output(Command::new("id").arg("-u"))?.trim() == "0";
    if !is_root || manager != Some(Manager::Apt) {
        bail!("{}", advice(manager, is_root, &missing));
    }
    install(&missing.iter().map(|need| need.apt).collect::<Vec<_>>())?;
    match self::missing(needs).first() {
        Some(need) => bail!("{} is still missing although {} is installed", need.name, need.apt),
        None => Ok(()),
    }
}

fn missing<'a>(needs: &[&'a Need]) -> Vec<&'a Need> {
    needs.iter().copied().filter(|need| !(need.is_present)()).collect()
}

/// Installs without starting anything: our tasks start their own servers, on ports of their own.
fn install(packages: &[&str]) -> Result<()> {
    let _no_services = NoServices::begin(Path::new("/usr/sbin/policy-rc.d"))?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.args(["-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]);
        apt
    };
    println!("installing {}", packages.join(" "));
    command::run(apt().arg("update"))?;
    command::run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

/// What to type, on one line, and what no package manager here can do.
fn advice(manager: Option<Manager>, is_root: bool, missing: &[&Need]) -> String {
    let package = |need: &Need| manager.map_or("", |manager| manager.package(need));
    let (with_package, by_hand): (Vec<&Need>, Vec<&Need>) =
        missing.iter().partition(|need| !package(need).is_empty());
    let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
    let mut lines = vec![format!("this needs {}", names.join(", "))];
    if !with_package.is_empty() {
        let sudo = if is_root { "" } else { "sudo " };
        let install = match manager {
            Some(Manager::Apt) => format!("{sudo}apt-get install --no-install-recommends"),
            Some(Manager::Dnf) => format!("{sudo}dnf install"),
            // Homebrew refuses to run as root.
            Some(Manager::Brew) | None => "brew install".to_owned(),
        };
        let packages: Vec<&str> = with_package.into_iter().map(package).collect();
        lines.push(format!("    {install} {}", packages.join(" ")));
    }
    lines.extend(by_hand.iter().map(|need| format!("    {}: {}", need.name, need.by_hand)));
    lines.join("\n")
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// As the tests look for it: in an unpacked archive of Apache's if there is one, else where Debian puts its
/// jars.
fn has_zookeeper() -> bool {
    match std::env::var_os("ZOOKEEPER_HOME") {
        Some(home) => holds_zookeeper(&PathBuf::from(home).join("lib")),
        None => Path::new("/usr/share/java/zookeeper.jar").is_file(),
    }
}

/// Whether there is a `zookeeper-3.9.3.jar` or the like.
fn holds_zookeeper(folder: &Path) -> bool {
    let is_jar = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with("zookeeper")) && path.extension() == Some(OsStr::new("jar"))
    };
    folder.read_dir().is_ok_and(|entries| entries.flatten().any(|entry| is_jar(&entry.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_named() {
        let text = advice(Some(Manager::Apt), false, &[&ZOOKEEPER, &KAZOO]);
        let lines: Vec<&str> = text.lines().collect();
        let line = "    sudo apt-get install --no-install-recommends zookeeper python3-kazoo";
        assert_eq!(lines, ["this needs ZooKeeper, kazoo for /usr/bin/python3", line]);
    }

    #[test]
    fn what_has_no_package_is_done_by_hand() {
        let text = advice(Some(Manager::Dnf), true, &[&REDIS, &ZOOKEEPER]);
        assert!(text.contains("\n    dnf install redis\n"), "{text}");
        assert!(text.contains("ZOOKEEPER_HOME"), "{text}");
        let text = advice(Some(Manager::Brew), false, &[&REDIS, &JAVA]);
        assert!(text.ends_with("\n    brew install redis openjdk"), "{text}");
        let text = advice(None, false, &[&REDIS]);
        assert!(text.contains("https://") && !text.contains("install"), "{text}");
    }

    #[test]
    fn zookeeper_is_found_by_its_jar() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!holds_zookeeper(&folder.path().join("missing")));
        std::fs::write(folder.path().join("zookeeper.txt"), "").unwrap();
        assert!(!holds_zookeeper(folder.path()));
        std::fs::write(folder.path().join("zookeeper-3.9.3.jar"), "").unwrap();
        assert!(holds_zookeeper(folder.path()));
    }

    #[test]
    fn what_is_present_is_not_installed() {
        let shell = Need { name: "a shell", is_present: || in_path("sh"), ..REDIS };
        assert!(missing(&[&shell]).is_empty());
        ensure(&[&shell]).unwrap();
        let nothing = Need { name: "nothing", is_present: || false, ..REDIS };
        assert_eq!(missing(&[&shell, &nothing]).len(), 1);
    }

    #[test]
    fn a_program_is_looked_for_in_the_path() {
        assert!(in_path("sh"));
        assert!(!in_path("no-such-program"));
    }
}
