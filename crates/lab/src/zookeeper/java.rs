//! How a server's Java is called, and an archive of the classes that it loads, with which it starts in less time.
//!
//! The archive is made once, by whoever finds none, and kept in the cache. Nothing depends on it: who finds it being
//! made goes without, and Java passes over one that does not fit.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use crate::flavour::find_cache;
use crate::process::find_program;

/// A small heap and little compilation: these servers start often and do little.
const FLAGS: [&str; 5] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    // Java before 13 can't write the archive.
    "-XX:+IgnoreUnrecognizedVMOptions",
];

/// Where the Debian package puts its jars.
const DEBIAN_JARS: &str = "/usr/share/java";

/// The first of Debian's jars names all others in its manifest, but none that prints the log, and not all that TLS
/// takes.
const JARS: [&str; 3] = ["zookeeper.jar", "slf4j-simple.jar", "netty-codec.jar"];

/// Java with flags and class path.
pub(super) fn command() -> Command {
    let mut command = Command::new(program());
    command.args(FLAGS).arg("-Dzookeeper.jmx.log4j.disable=true").arg("-cp").arg(class_path());
    command
}

/// Has Java write an archive of all that it has loaded to `file`, when it ends by itself or by `SIGTERM`.
pub(super) fn archiving(file: &Path) -> String {
    format!("-XX:ArchiveClassesAtExit={}", file.display())
}

/// Has Java load from the archive `file` what is there.
pub(super) fn archived(file: &Path) -> String {
    format!("-XX:SharedArchiveFile={}", file.display())
}

/// The archive for this Java and these jars, if there is one. Where nobody has made it, `make` is to write it.
pub(super) fn archive(make: impl FnOnce(&Path)) -> Option<PathBuf> {
    if env::var_os("ZOOKEEPER_HOME").is_some() {
        // A directory is in its class path, of which Java archives nothing.
        return None;
    }
    let directory = find_cache()?.join("java");
    archive_at(&directory.join(format!("zookeeper-{:016x}.jsa", fingerprint().ok()?)), make)
}

fn archive_at(file: &Path, make: impl FnOnce(&Path)) -> Option<PathBuf> {
    if !file.exists() {
        fs::create_dir_all(file.parent()?).ok()?;
        let lock = File::create(file.with_extension("lock")).ok()?;
        lock.try_lock().ok()?;
        // Somebody may have made it before this one had the lock.
        if !file.exists() {
            let unfinished = file.with_extension("unfinished");
            make(&unfinished);
            if !unfinished.exists() {
                // That Java made none is remembered.
                File::create(&unfinished).ok()?;
            }
            fs::rename(&unfinished, file).ok()?;
        }
    }
    (fs::metadata(file).ok()?.len() > 0).then(|| file.to_owned())
}

/// A number that is another one for another Java, other jars or other flags. The directory stands for the jars that the
/// first one names: to replace one of them changes it.
fn fingerprint() -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    (FLAGS, JARS).hash(&mut hasher);
    let jars = JARS.map(|jar| Path::new(DEBIAN_JARS).join(jar));
    for file in [program(), DEBIAN_JARS.into()].into_iter().chain(jars) {
        let file = file.canonicalize()?;
        let metadata = file.metadata()?;
        (metadata.len(), metadata.modified()?, file).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn program() -> PathBuf {
    find_program("java", "default-jre-headless")
}

/// The jars of Apache's archive if `ZOOKEEPER_HOME` is set, else Debian's.
fn class_path() -> String {
    if let Some(home) = env::var_os("ZOOKEEPER_HOME") {
        let home = Path::new(&home).display().to_string();
        assert!(
            Path::new(&home).join("lib").is_dir(),
            "ZOOKEEPER_HOME is {home:?}, which has no directory `lib`"
        );
        return format!("{home}/conf:{home}/lib/*");
    }
    let jars = JARS.map(|jar| format!("{DEBIAN_JARS}/{jar}"));
    for jar in &jars {
        assert!(
            Path::new(jar).is_file(),
            "{jar} is missing: install the Debian packages `zookeeper` and \
             `default-jre-headless`, or set ZOOKEEPER_HOME to an unpacked Apache archive"
        );
    }
    jars.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_made_once_and_nobody_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cache/a.jsa");
        let made = archive_at(&file, |unfinished| {
            // Meanwhile others come.
            assert_eq!(archive_at(&file, |_| panic!("a second one makes it")), None);
            fs::write(unfinished, "classes").unwrap();
        });
        assert_eq!(made.as_deref(), Some(file.as_path()));
        assert_eq!(archive_at(&file, |_| panic!("it is there")), made);
        assert_eq!(fs::read_to_string(&file).unwrap(), "classes");
    }

    #[test]
    fn a_java_that_makes_none_is_not_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.jsa");
        assert_eq!(archive_at(&file, |_| ()), None);
        assert_eq!(archive_at(&file, |_| panic!("once is enough")), None);
    }
}
