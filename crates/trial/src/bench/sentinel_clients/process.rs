//! A client of another language, or redis-rs: a process of its own that is told of sentinels, and says what it meets.
//!
//! It is started with the sentinels' addresses, separated by commas, the group's name, and a prefix for its keys. It
//! finds the master through them, by its own means, and sets `PREFIX:0`, `PREFIX:1`, … each to its number, one every
//! 5 ms; after an error it pauses for 50 ms and does the same again with the same object. Beside that it reads
//! `PREFIX:0` every 50 ms from replicas, again by its own means. It goes on until it is killed. Each event is a line of
//! JSON with `t`, the milliseconds since 1970:
//!
//! | line | what |
//! |---|---|
//! | `client`, `version` | who it is, first of all |
//! | `ok` | the write of this number is confirmed |
//! | `wrote_at` | where the client's connection for writes leads now; every tenth write asks |
//! | `error` | a write failed |
//! | `read`, `server`, `role` | a value, and who answers on the connection for reads |
//! | `read_error` | a read failed |
//! | `noted` | what the client says on the side |
//!
//! It never says how it fared: that is counted here, for all alike.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use redis_failover_lab::{Process, cache};

use super::log::Log;
use crate::attempt::attempt;
use crate::failure::Failure;

/// Where the programs in other languages are.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// A client that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// What it is called on the command line.
    pub name: String,
    words: Vec<OsString>,
    /// A variable that says where its language finds the library.
    library: Option<(&'static str, OsString)>,
}

impl Program {
    /// Those that come from registries, and redis-rs.
    pub(super) fn known() -> Result<Vec<Self>, Failure> {
        let this =
            env::current_exe().map_err(|error| Failure::new(format!("where is this program? {error}")))?;
        let cache = attempt(cache)?.join("clients");
        let python = ("PYTHONPATH", cache.join("python").into());
        let node = || ("NODE_PATH", cache.join("node/node_modules").into());
        let of = |name: &str, words: &[&str], library| Self {
            name: name.to_owned(),
            words: words.iter().map(Into::into).collect(),
            library,
        };
        let file = |name: &str| format!("{PROGRAMS}/{name}");
        let mut redis_rs = of("redis-rs", &["", "bench", "redis-rs"], None);
        redis_rs.words[0] = this.into();
        Ok(vec![
            redis_rs,
            of("redis-py", &["python3", &file("redis_py.py")], Some(python)),
            of("ioredis", &["node", &file("node/ioredis.js")], Some(node())),
            of("node-redis", &["node", &file("node/node_redis.js")], Some(node())),
            // Debian's library is for Debian's Ruby.
            of("redis-rb", &["/usr/bin/ruby", &file("redis_rb.rb")], None),
        ])
    }

    /// One that somebody brings along: `NAME=COMMAND`, with words that are divided by blanks.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("it has the form NAME=COMMAND")?;
        let words: Vec<_> = command.split_whitespace().map(Into::into).collect();
        if name.is_empty() || words.is_empty() {
            return Err("neither the name nor the command may be empty".to_owned());
        }
        Ok(Self { name: name.to_owned(), words, library: None })
    }

    fn command(&self, sentinels: &[String], group: &str) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg(sentinels.join(",")).args([group, &self.name]);
        command.envs(self.library.clone());
        command
    }
}

/// A client that runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Client {
    /// What it is called on the command line; its keys begin with that.
    pub name: String,
    process: Process,
    output: File,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
    /// What it has said so far.
    pub log: Log,
}

impl Client {
    /// Starts it; what it prints is kept in `folder` as long as that is.
    pub(super) fn start(
        program: &Program,
        sentinels: &[String],
        group: &str,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let (command, file) =
            (program.command(sentinels, group), folder.join(format!("{}.log", program.name)));
        let process = attempt(|| Process::spawn(&program.name, command, &file))?;
        let output = File::open(&file).map_err(Failure::new)?;
        let (name, begun, log) = (program.name.clone(), Vec::new(), Log::default());
        Ok(Self { name, process, output, begun, log })
    }

    /// Enters what it has said since the last look.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        let of_this = |error: String| Failure::new(error).within(&self.name);
        let running = self.process.is_running();
        self.output.read_to_end(&mut self.begun).map_err(|error| of_this(error.to_string()))?;
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.log.enter(String::from_utf8_lossy(&line).trim_end()).map_err(of_this)?;
        }
        if running {
            Ok(())
        } else {
            Err(of_this(format!("it has ended; see {}", self.process.log().display())))
        }
    }

    /// What it calls itself, with its version.
    pub(super) fn title(&self) -> &str {
        self.log.title.as_deref().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_brought_along() {
        let program = Program::parse("jedis=java -cp a:b Driver").unwrap();
        let command = program.command(&["a:1".to_owned(), "b:2".to_owned()], "group");
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(
            (command.get_program(), words),
            (
                "java".as_ref(),
                vec![
                    "-cp".as_ref(),
                    "a:b".as_ref(),
                    "Driver".as_ref(),
                    "a:1,b:2".as_ref(),
                    "group".as_ref(),
                    "jedis".as_ref()
                ]
            )
        );
        for bad in ["jedis", "=java", "jedis= "] {
            assert!(Program::parse(bad).is_err(), "{bad}");
        }
    }
}
