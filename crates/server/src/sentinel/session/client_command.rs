//! `CLIENT …`: what a client says of itself, who else is connected, and ending connections.

use super::super::clients::Client;
use super::{DEFAULT_USER, Session};
use crate::resp::Reply;

/// The longest name that a client gives itself or its library, in bytes.
const LONGEST_NAME: usize = 128;

impl Session {
    pub(super) fn client_command(&self, arguments: &[String]) -> Reply {
        let name = arguments[0].to_ascii_lowercase();
        let arguments = &arguments[1..];
        match (&*name, arguments) {
            ("id", []) => Reply::Integer(i64::try_from(self.client().id).unwrap_or(i64::MAX)),
            ("getname", []) => match self.client().state().name {
                name if name.is_empty() => Reply::Null,
                name => Reply::Bulk(name),
            },
            ("setname", [name]) => self.set_name(name),
            ("setinfo", [what, value]) => self.set_info(what, value),
            ("info", []) => Reply::Verbatim(self.client().line() + "\n"),
            ("list", _) => {
                let lines = self.endpoint.clients.present();
                Reply::Verbatim(lines.iter().map(|client| client.line() + "\n").collect())
            }
            ("kill", _) => self.kill(arguments),
            // Nobody is evicted here, and nothing is touched.
            ("no-evict" | "no-touch", [word]) if is_on_or_off(word) => Reply::ok(),
            ("id" | "getname" | "setname" | "setinfo" | "info" | "no-evict" | "no-touch", _) => {
                Reply::Error(format!("ERR wrong number of arguments for 'client|{name}' command"))
            }
            _ => Reply::Error(format!("ERR unknown subcommand '{name:.128}'. Try CLIENT HELP.")),
        }
    }

    fn set_info(&self, what: &str, value: &str) -> Reply {
        if value.len() > LONGEST_NAME {
            return Reply::Error(format!(
                "ERR what a client says of itself has at most {LONGEST_NAME} bytes here"
            ));
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Reply::Error(format!(
                "ERR {what:.128} cannot contain spaces, newlines or special characters."
            ));
        }
        match what.to_ascii_lowercase().as_str() {
            "lib-name" => self.client().change(|state| value.clone_into(&mut state.library)),
            "lib-ver" => self.client().change(|state| value.clone_into(&mut state.library_version)),
            _ => return Reply::Error(format!("ERR Unrecognized option '{what:.128}'")),
        }
        Reply::ok()
    }

    /// CLIENT KILL addr, or pairs of what is killed. Who asks is spared, unless it says SKIPME no or names itself in
    /// the old form.
    fn kill(&self, arguments: &[String]) -> Reply {
        let present = self.endpoint.clients.present();
        if let [address] = arguments {
            return match present.iter().find(|client| client.peer.to_string() == *address) {
                Some(client) => {
                    client.kill();
                    Reply::ok()
                }
                None => Reply::Error("ERR No such client".to_owned()),
            };
        }
        let mut doomed = present;
        let mut spare = true;
        for pair in arguments.chunks(2) {
            let [what, value] = pair else { return Reply::Error("ERR syntax error".to_owned()) };
            match what.to_ascii_lowercase().as_str() {
                "id" => doomed.retain(|client| client.id.to_string() == *value),
                "addr" => doomed.retain(|client| client.peer.to_string() == *value),
                "laddr" => doomed.retain(|client| client.local.to_string() == *value),
                "type" => match value.to_ascii_lowercase().as_str() {
                    "normal" => doomed.retain(|client| !listens(client)),
                    "pubsub" => doomed.retain(|client| listens(client)),
                    "master" | "slave" | "replica" => doomed.clear(),
                    _ => return Reply::Error(format!("ERR Unknown client type '{value:.128}'")),
                },
                "user" => doomed.retain(|_| value == DEFAULT_USER),
                "skipme" if value.eq_ignore_ascii_case("no") => spare = false,
                "skipme" if value.eq_ignore_ascii_case("yes") => {}
                _ => return Reply::Error("ERR syntax error".to_owned()),
            }
        }
        doomed.retain(|client| !spare || client.id != self.client().id);
        for client in &doomed {
            client.kill();
        }
        Reply::count(doomed.len())
    }

    pub(super) fn set_name(&self, name: &str) -> Reply {
        if name.len() > LONGEST_NAME {
            return Reply::Error(format!("ERR a client's name has at most {LONGEST_NAME} bytes here"));
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Reply::Error(
                "ERR Client names cannot contain spaces, newlines or special characters.".to_owned(),
            );
        }
        self.client().change(|state| name.clone_into(&mut state.name));
        Reply::ok()
    }
}

fn is_on_or_off(word: &str) -> bool {
    word.eq_ignore_ascii_case("on") || word.eq_ignore_ascii_case("off")
}

fn listens(client: &Client) -> bool {
    let state = client.state();
    state.channels + state.patterns > 0
}
