//! The commands of the endpoint, and what `COMMAND` says of them.

use crate::resp::Reply;

/// One command.
pub(super) struct Command {
    name: &'static str,
    /// How many words it takes, its name among them; negative: at least so many.
    arity: i64,
    summary: &'static str,
}

const COMMANDS: [Command; 17] = [
    Command { name: "acl", arity: -2, summary: "Tells who the client is." },
    Command { name: "auth", arity: -2, summary: "Authenticates the connection." },
    Command { name: "client", arity: -2, summary: "Tells of, names and ends connections." },
    Command { name: "command", arity: -1, summary: "Tells of commands." },
    Command { name: "hello", arity: -1, summary: "Begins the connection and chooses the protocol." },
    Command { name: "info", arity: -1, summary: "Tells of this process and its groups." },
    Command { name: "ping", arity: -1, summary: "Tells that the process lives." },
    Command { name: "psubscribe", arity: -2, summary: "Listens to channels that match patterns." },
    Command { name: "publish", arity: 3, summary: "Refused: nobody publishes here." },
    Command { name: "punsubscribe", arity: -1, summary: "Listens no more to patterns." },
    Command { name: "quit", arity: -1, summary: "Closes the connection." },
    Command { name: "role", arity: 1, summary: "Tells that this is a Sentinel, and its groups." },
    Command { name: "sentinel", arity: -2, summary: "Tells of groups, and asks for a failover." },
    Command { name: "shutdown", arity: -1, summary: "Refused: a monitor is ended by a signal." },
    Command { name: "subscribe", arity: -2, summary: "Listens to channels." },
    Command { name: "unsubscribe", arity: -1, summary: "Listens no more to channels." },
    Command { name: "reset", arity: 1, summary: "Makes the connection what it was at first." },
];

impl Command {
    /// Whether it takes so many words, its name among them.
    pub(super) fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if self.arity < 0 { words >= -self.arity } else { words == self.arity }
    }

    /// Its entry, as `COMMAND` lists it: no keys.
    fn entry(&self) -> Reply {
        let none = || Reply::Array(Vec::new());
        let flags = ["sentinel", "fast"].map(|flag| Reply::Simple(flag.to_owned()));
        let (name, arity) = (Reply::bulk(self.name), Reply::Integer(self.arity));
        let zero = || Reply::Integer(0);
        let flags = Reply::Array(flags.into());
        Reply::Array(vec![name, arity, flags, zero(), zero(), zero(), none(), none(), none(), none()])
    }
}

/// The command of this name, in lower case.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// Answers `COMMAND` with these words after it.
pub(super) fn answer(arguments: &[String]) -> Reply {
    let Some((word, names)) = arguments.split_first() else {
        return Reply::Array(COMMANDS.iter().map(Command::entry).collect());
    };
    let chosen = || -> Vec<Option<&Command>> {
        match names {
            [] => COMMANDS.iter().map(Some).collect(),
            names => names.iter().map(|name| find(&name.to_ascii_lowercase())).collect(),
        }
    };
    match word.to_ascii_lowercase().as_str() {
        "count" if names.is_empty() => Reply::count(COMMANDS.len()),
        "list" => Reply::Array(COMMANDS.iter().map(|command| Reply::bulk(command.name)).collect()),
        "info" => {
            let entry = |command: Option<&Command>| command.map_or(Reply::NullArray, Command::entry);
            Reply::Array(chosen().into_iter().map(entry).collect())
        }
        "docs" => {
            let docs = |command: &Command| {
                let summary = (Reply::bulk("summary"), Reply::bulk(command.summary));
                let group = (Reply::bulk("group"), Reply::bulk("sentinel"));
                (Reply::bulk(command.name), Reply::Map(vec![summary, group]))
            };
            Reply::Map(chosen().into_iter().flatten().map(docs).collect())
        }
        _ => Reply::Error(format!("ERR unknown subcommand '{word:.128}'. Try COMMAND HELP.")),
    }
}
