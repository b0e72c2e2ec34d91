//! One client's session: who it is, what it listens to, and the commands that are not about groups.

mod client_command;

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::clients::{Client, Place};
use super::events::Message;
use super::info::{self, SPEAKS};
use super::subscriptions::{Kind, Subscriptions};
use super::{DEFAULT_USER, Endpoint, commands, directory};
use crate::resp::{Limits, Reply, Version};

/// How much who may ask sends at a time.
const LIMITS: Limits = Limits { request: 64 << 10, words: 1_024 };

/// How much who has not said who it is sends at a time.
const STRANGERS: Limits = Limits { request: 16 << 10, words: 10 };

/// One client's session.
pub(super) struct Session {
    endpoint: Arc<Endpoint>,
    place: Place,
    pub(super) version: Version,
    pub(super) admitted: bool,
    /// How many wrong passwords it gave.
    wrong: u8,
    subscriptions: Subscriptions,
    /// From the first subscription on.
    messages: Option<broadcast::Receiver<Arc<Message>>>,
    /// Whether the connection is to be closed once what was answered is written.
    pub(super) ends: bool,
}

/// How many wrong passwords end a connection.
const GUESSES: u8 = 3;

/// A client listened so slowly that messages were lost.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Session {
    pub(super) fn new(endpoint: Arc<Endpoint>, place: Place) -> Self {
        Self {
            admitted: endpoint.access.password.is_none(),
            endpoint,
            place,
            wrong: 0,
            version: Version::Two,
            subscriptions: Subscriptions::default(),
            messages: None,
            ends: false,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        if self.admitted { LIMITS } else { STRANGERS }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn client(&self) -> &Client {
        &self.place.client
    }

    /// The next messages that the client listens to, in its words; never, where it listens to nothing.
    pub(super) async fn messages(&mut self) -> Result<Vec<Reply>, TooSlow> {
        let Some(messages) = &mut self.messages else { return std::future::pending().await };
        let first = match messages.recv().await {
            Ok(message) => message,
            Err(RecvError::Lagged(_)) => return Err(TooSlow),
            // Only with the process.
            Err(RecvError::Closed) => return std::future::pending().await,
        };
        let mut replies = self.subscriptions.deliver(first.channel, &first.payload);
        loop {
            match messages.try_recv() {
                Ok(next) => replies.extend(self.subscriptions.deliver(next.channel, &next.payload)),
                Err(TryRecvError::Lagged(_)) => return Err(TooSlow),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(replies),
            }
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&mut self, words: &[String]) -> Vec<Reply> {
        let Some((word, arguments)) = words.split_first() else { return Vec::new() };
        let name = word.to_ascii_lowercase();
        self.endpoint.clients.served();
        self.client().change(|state| {
            state.active = std::time::Instant::now();
        });
        if let Some(refusal) = self.refusal(word, &name, words) {
            return vec![refusal];
        }
        self.client().change(|state| state.command = shown(&name, arguments.first()));
        let replies = match &*name {
            "sentinel" => vec![commands::answer(&self.endpoint, arguments).await],
            "subscribe" => self.listen(|it| it.add(Kind::Channels, arguments)),
            "psubscribe" => self.listen(|it| it.add(Kind::Patterns, arguments)),
            "unsubscribe" => self.listen(|it| it.remove(Kind::Channels, arguments)),
            "punsubscribe" => self.listen(|it| it.remove(Kind::Patterns, arguments)),
            _ => vec![self.other(&name, arguments)],
        };
        let (channels, patterns) = self.subscriptions.counts();
        self.client().change(|state| (state.channels, state.patterns) = (channels, patterns));
        replies
    }

    /// Why this is not answered, if it is not.
    fn refusal(&self, word: &str, name: &str, words: &[String]) -> Option<Reply> {
        let error = |text: String| Some(Reply::Error(text));
        let Some(command) = directory::find(name) else {
            let rest: Vec<_> = words[1..].iter().take(20).map(|word| format!("'{word:.128}' ")).collect();
            let rest = rest.concat();
            return error(format!("ERR unknown command '{word:.128}', with args beginning with: {rest}"));
        };
        if !command.takes(words.len()) {
            return error(format!("ERR wrong number of arguments for '{name}' command"));
        }
        if !self.admitted && !matches!(name, "auth" | "hello" | "quit" | "reset") {
            return error("NOAUTH Authentication required.".to_owned());
        }
        let may = ["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit", "reset"];
        if self.is_subscriber() && !may.contains(&name) {
            return error(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                 allowed in this context"
            ));
        }
        None
    }

    /// Whether only what subscribers may ask is answered: version 2 can't tell a message from a reply.
    fn is_subscriber(&self) -> bool {
        self.version == Version::Two && self.subscriptions.count() > 0
    }

    fn listen(&mut self, change: impl FnOnce(&mut Subscriptions) -> Vec<Reply>) -> Vec<Reply> {
        // Before it is told that it listens, so that nothing is missed.
        let messages = self.messages.take().unwrap_or_else(|| self.endpoint.messages.subscribe());
        let replies = change(&mut self.subscriptions);
        self.messages = (self.subscriptions.count() > 0).then_some(messages);
        replies
    }

    fn other(&mut self, name: &str, arguments: &[String]) -> Reply {
        match name {
            "ping" => self.ping(arguments),
            "auth" => self.authenticate(arguments),
            "hello" => self.hello(arguments),
            "info" => Reply::Verbatim(info::text(&self.endpoint, arguments)),
            "role" => {
                let names = self.endpoint.groups().into_iter().map(|group| Reply::bulk(&group.name));
                Reply::Array(vec![Reply::bulk("sentinel"), Reply::Array(names.collect())])
            }
            "client" => self.client_command(arguments),
            "command" => directory::answer(arguments),
            "acl" => self.acl(arguments),
            "publish" => {
                Reply::Error("ERR Only HELLO messages are accepted by Sentinel instances.".to_owned())
            }
            "shutdown" => Reply::Error(
                "ERR a monitor is not ended from here: send SIGTERM to the process `redis-failover run`"
                    .to_owned(),
            ),
            "quit" => {
                self.ends = true;
                Reply::ok()
            }
            _ => {
                // RESET, the last of the directory.
                self.messages = None;
                self.subscriptions = Subscriptions::default();
                self.set_version(Version::Two);
                self.admitted = self.endpoint.access.password.is_none();
                self.client().change(|state| state.name.clear());
                Reply::Simple("RESET".to_owned())
            }
        }
    }

    fn ping(&self, arguments: &[String]) -> Reply {
        let said = arguments.first().cloned();
        match said {
            _ if self.is_subscriber() => {
                Reply::Array(vec![Reply::bulk("pong"), Reply::Bulk(said.unwrap_or_default())])
            }
            Some(said) => Reply::Bulk(said),
            None => Reply::Simple("PONG".to_owned()),
        }
    }

    /// AUTH: a password, or a user and a password.
    fn authenticate(&mut self, arguments: &[String]) -> Reply {
        match arguments {
            [password] => self.admit(None, password),
            [user, password] => self.admit(Some(user), password),
            _ => Reply::Error("ERR syntax error".to_owned()),
        }
    }

    /// Lets the client in. A password alone is that of the one user that there is, and so is one of the user `default`:
    /// some clients can't send it alone.
    fn admit(&mut self, user: Option<&str>, password: &str) -> Reply {
        let access = &self.endpoint.access;
        let Some(expected) = &access.password else {
            if user == Some(DEFAULT_USER) {
                // As Redis does with a user that has no password.
                return Reply::ok();
            }
            return Reply::Error(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?"
                    .to_owned(),
            );
        };
        let user_fits = user.is_none_or(|user| user == access.user() || user == DEFAULT_USER);
        if user_fits & same(password.as_bytes(), expected.expose_secret().as_bytes()) {
            self.admitted = true;
            return Reply::ok();
        }
        self.endpoint.deny(self.client().peer, "a Sentinel client gave a wrong user or password");
        self.wrong += 1;
        self.ends = self.wrong >= GUESSES;
        Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".to_owned())
    }

    /// HELLO [version [AUTH user password] [SETNAME name]].
    fn hello(&mut self, arguments: &[String]) -> Reply {
        let mut version = self.version;
        let mut rest = arguments;
        if let Some((word, after)) = arguments.split_first() {
            version = match &**word {
                "2" => Version::Two,
                "3" => Version::Three,
                other if other.parse::<i64>().is_ok() => {
                    return Reply::Error("NOPROTO unsupported protocol version".to_owned());
                }
                _ => {
                    return Reply::Error("ERR Protocol version is not an integer or out of range".to_owned());
                }
            };
            rest = after;
        }
        let mut name = None;
        while let Some((word, after)) = rest.split_first() {
            rest = match (word.to_ascii_lowercase().as_str(), after) {
                ("auth", [user, password, after @ ..]) => {
                    if let refused @ Reply::Error(_) = self.admit(Some(user), password) {
                        return refused;
                    }
                    after
                }
                ("setname", [given, after @ ..]) => {
                    name = Some(given.clone());
                    after
                }
                _ => return Reply::Error(format!("ERR Syntax error in HELLO option '{word:.128}'")),
            };
        }
        if !self.admitted {
            return Reply::Error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                 AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                 version at the same time"
                    .to_owned(),
            );
        }
        if let Some(name) = name
            && let refused @ Reply::Error(_) = self.set_name(&name)
        {
            return refused;
        }
        self.set_version(version);
        let proto = if version == Version::Three { 3 } else { 2 };
        let id = i64::try_from(self.client().id).unwrap_or(i64::MAX);
        let fields = [
            ("server", Reply::bulk("redis")),
            ("version", Reply::bulk(SPEAKS)),
            ("proto", Reply::Integer(proto)),
            ("id", Reply::Integer(id)),
            ("mode", Reply::bulk("sentinel")),
            ("modules", Reply::Array(Vec::new())),
        ];
        Reply::Map(fields.map(|(name, value)| (Reply::bulk(name), value)).into())
    }

    fn set_version(&mut self, version: Version) {
        self.version = version;
        self.client().change(|state| state.protocol = if version == Version::Three { 3 } else { 2 });
    }

    fn acl(&self, arguments: &[String]) -> Reply {
        match arguments[0].to_ascii_lowercase().as_str() {
            "whoami" => Reply::bulk(self.endpoint.access.user()),
            _ => Reply::Error(
                "ERR the one user of this endpoint is set by the options of `redis-failover run`".to_owned(),
            ),
        }
    }
}

/// A command as `CLIENT LIST` shows it.
fn shown(name: &str, first: Option<&String>) -> String {
    let sub = first.filter(|_| matches!(name, "sentinel" | "client" | "command"));
    let plain = |sub: &&String| {
        sub.len() <= 32 && sub.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match sub.filter(plain) {
        Some(sub) => format!("{name}|{}", sub.to_ascii_lowercase()),
        None => name.to_owned(),
    }
}

/// Whether both are the same, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0_u8, |difference, (one, other)| difference | (one ^ other));
    one.len() == other.len() && difference == 0
}
