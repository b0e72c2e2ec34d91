//! `CLIENT …`: what a client says of itself, who else is connected, and ending connections.

use std::sync::Arc;

use super::super::clients::Client;
use super::Session;
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
            ("info", []) => Reply::Verbatim(self.line(self.client())),
            ("list", _) => self.list(arguments),
            ("kill", [_, ..]) => self.kill(arguments),
            // Nobody is evicted here, and nothing is touched.
            ("no-evict" | "no-touch", [word]) if is_on_or_off(word) => Reply::ok(),
            ("id" | "getname" | "setname" | "setinfo" | "info" | "kill" | "no-evict" | "no-touch", _) => {
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

    /// CLIENT LIST, of all, of a type, or of some ids.
    fn list(&self, arguments: &[String]) -> Reply {
        let mut listed = self.endpoint.clients.present();
        match arguments {
            [] => {}
            [word, kind] if word.eq_ignore_ascii_case("type") => {
                if let Err(refusal) = keep_type(&mut listed, kind) {
                    return refusal;
                }
            }
            [word, ids @ ..] if word.eq_ignore_ascii_case("id") && !ids.is_empty() => {
                listed.retain(|client| ids.contains(&client.id.to_string()));
            }
            _ => return Reply::Error("ERR syntax error".to_owned()),
        }
        Reply::Verbatim(listed.iter().map(|client| self.line(client)).collect())
    }

    fn line(&self, client: &Client) -> String {
        client.line(self.endpoint.access.user())
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
                "type" => {
                    if let Err(refusal) = keep_type(&mut doomed, value) {
                        return refusal;
                    }
                }
                "user" => doomed.retain(|_| value == self.endpoint.access.user()),
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

/// Keeps the clients of this type, or says that there is no such type.
fn keep_type(clients: &mut Vec<Arc<Client>>, kind: &str) -> Result<(), Reply> {
    match kind.to_ascii_lowercase().as_str() {
        "normal" => clients.retain(|client| !listens(client)),
        "pubsub" => clients.retain(|client| listens(client)),
        "master" | "slave" | "replica" => clients.clear(),
        _ => return Err(Reply::Error(format!("ERR Unknown client type '{kind:.128}'"))),
    }
    Ok(())
}

fn is_on_or_off(word: &str) -> bool {
    word.eq_ignore_ascii_case("on") || word.eq_ignore_ascii_case("off")
}

fn listens(client: &Client) -> bool {
    let state = client.state();
    state.channels + state.patterns > 0
}
