//! Core's table of Redis commands, from what a running server answers to `COMMAND`.
//!
//! It never decides what a command does: each word in the table is the server's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::redis::Server;
use super::resp::Reply;
use crate::packages::{self, REDIS};

const PATH: &str = "crates/core/src/commands/table.rs";
/// How the table says that a command only reads.
const READONLY: &str = "CommandFlags::READONLY";

/// Writes the table, or with `check` fails where a server contradicts it.
///
/// Another version than the one that made the table has other commands. A table that it does not contradict is kept, so
/// that everybody can work with the server they have; to make the table from another version, delete it first. But a
/// command that writes must not pass for one that reads in any version.
pub(super) fn run(check: bool) -> Result<()> {
    packages::ensure(&[&REDIS])?;
    let mut server = Server::start()?;
    let version = version(&server.ask("INFO server")?)?;
    let commands = commands(&server.ask("COMMAND")?).context("`COMMAND` is answered in an unknown way")?;
    let present = fs::read_to_string(PATH).unwrap_or_default();
    if let Some(made_from) = made_from(&present).filter(|made_from| *made_from != version) {
        println!("{PATH} was made from {made_from} and this is {version}: only what reads is compared");
        let compared = compare(&present, &version, &commands);
        if check || compared.is_ok() {
            return compared;
        }
    }
    // Before Redis 7.0 servers do not tell which sub-command reads.
    ensure!(
        commands.iter().any(|command| command.name.contains('|')),
        "{version} names no sub-commands; {PATH} is made from Redis 7.0 or newer"
    );
    super::publish(Path::new(PATH), &render(&version, &commands), check)
}

/// One command, or one sub-command.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Command {
    name: String,
    access: Access,
    blocking: bool,
    container: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Neither,
    Readonly,
    Write,
}

/// Server and version. Valkey names a version of Redis too, the one that it is compatible with.
fn version(info: &Reply) -> Result<String> {
    let Reply::Text(info) = info else { bail!("`INFO` is not answered with text") };
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let valkey = field("valkey_version:").map(|version| format!("Valkey {version}"));
    let version = valkey.or_else(|| field("redis_version:").map(|version| format!("Redis {version}")));
    version.context("`INFO` names no version")
}

/// All commands in order; none if the reply is not as documented.
fn commands(reply: &Reply) -> Option<Vec<Command>> {
    let mut commands = Vec::new();
    collect(reply, &mut commands)?;
    commands.sort();
    Some(commands)
}

fn collect(reply: &Reply, commands: &mut Vec<Command>) -> Option<()> {
    for command in array(reply)? {
        let fields = array(command)?;
        let name = text(fields.first()?)?.to_ascii_lowercase();
        let flags = array(fields.get(2)?)?.iter().map(text).collect::<Option<Vec<_>>>()?;
        // The tenth field, where there is one.
        let subcommands = fields.get(9).filter(|reply| array(reply).is_some_and(|list| !list.is_empty()));
        let is = |flag| flags.contains(&flag);
        commands.push(Command {
            name,
            access: match (is("readonly"), is("write")) {
                (true, false) => Access::Readonly,
                (false, true) => Access::Write,
                // What says that it does both is treated like what does nobody knows what.
                (false, false) | (true, true) => Access::Neither,
            },
            blocking: is("blocking"),
            container: subcommands.is_some(),
        });
        if let Some(subcommands) = subcommands {
            collect(subcommands, commands)?;
        }
    }
    Some(())
}

fn array(reply: &Reply) -> Option<&[Reply]> {
    if let Reply::Array(replies) = reply { Some(replies) } else { None }
}

fn text(reply: &Reply) -> Option<&str> {
    if let Reply::Text(text) = reply { Some(text) } else { None }
}

/// The file as rustfmt leaves it.
fn render(version: &str, commands: &[Command]) -> String {
    let lines: String = commands.iter().map(line).collect();
    format!(
        "\
//! What each command does, as {version} says.
//!
//! Made by `cargo xtask docs` from a running server's answer to `COMMAND`. It is never edited by hand.

use super::CommandFlags;

/// The server that the table was made from.
pub const SERVER_VERSION: &str = \"{version}\";

/// All commands in order; a sub-command is `client|kill`.
pub(super) static COMMANDS: &[(&str, CommandFlags)] = &[
{lines}];
"
    )
}

fn line(command: &Command) -> String {
    let Command { name, access, blocking, container } = command;
    let access = match access {
        Access::Neither => "CommandFlags::NEITHER",
        Access::Readonly => READONLY,
        Access::Write => "CommandFlags::WRITE",
    };
    let blocking = if *blocking { ".blocking()" } else { "" };
    let container = if *container { ".container()" } else { "" };
    format!("    (\"{name}\", {access}{blocking}{container}),\n")
}

/// The server that a table was made from.
fn made_from(table: &str) -> Option<&str> {
    let rest = table.lines().find_map(|line| line.strip_prefix("pub const SERVER_VERSION: &str = \""))?;
    rest.strip_suffix("\";")
}

/// Fails if the table says of any command that it only reads, and the server knows it and does not say so.
fn compare(table: &str, version: &str, commands: &[Command]) -> Result<()> {
    let wrong = |command: &&Command| {
        let entry = format!("(\"{}\", {READONLY}", command.name);
        command.access != Access::Readonly && table.lines().any(|line| line.trim_start().starts_with(&entry))
    };
    let wrong: Vec<&str> = commands.iter().filter(wrong).map(|command| command.name.as_str()).collect();
    ensure!(
        wrong.is_empty(),
        "{PATH} says of {} that it only reads, and {version} does not; `cargo xtask docs` renews it",
        wrong.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str, flags: &[&str], subcommands: Vec<Reply>) -> Reply {
        let flags = flags.iter().map(|flag| Reply::Text((*flag).into())).collect();
        let mut fields = vec![Reply::Text(name.into()), Reply::Integer(2), Reply::Array(flags)];
        fields.extend((4..=9).map(|_| Reply::Array(vec![])));
        fields.push(Reply::Array(subcommands));
        Reply::Array(fields)
    }

    fn some_commands() -> Vec<Command> {
        let stream = command("xinfo|stream", &["readonly"], vec![]);
        let all = [
            command("XINFO", &[], vec![stream]),
            command("set", &["write", "denyoom"], vec![]),
            command("xread", &["readonly", "blocking"], vec![]),
            command("odd", &["readonly", "write"], vec![]),
        ];
        commands(&Reply::Array(all.into())).unwrap()
    }

    #[test]
    fn every_command_has_its_line() {
        let table = render("Redis 7.0.15", &some_commands());
        let lines = r#"= &[
    ("odd", CommandFlags::NEITHER),
    ("set", CommandFlags::WRITE),
    ("xinfo", CommandFlags::NEITHER.container()),
    ("xinfo|stream", CommandFlags::READONLY),
    ("xread", CommandFlags::READONLY.blocking()),
];
"#;
        assert!(table.ends_with(lines), "{table}");
        assert_eq!(made_from(&table), Some("Redis 7.0.15"));
    }

    #[test]
    fn a_server_of_old_has_fewer_fields() {
        let fields = [
            Reply::Text("get".into()),
            Reply::Integer(2),
            Reply::Array(vec![Reply::Text("readonly".into())]),
        ];
        let found = commands(&Reply::Array(vec![Reply::Array(fields.into())])).unwrap();
        assert!(found[0].access == Access::Readonly && !found[0].container);
        assert_eq!(commands(&Reply::Array(vec![Reply::Nothing])), None);
    }

    #[test]
    fn another_version_may_lack_commands_but_not_contradict() {
        let table = render("Redis 7.0.15", &some_commands());
        let other = |name, flags| commands(&Reply::Array(vec![command(name, flags, vec![])])).unwrap();
        compare(&table, "Redis 8.0.0", &other("new", &["write"])).unwrap();
        compare(&table, "Redis 8.0.0", &other("xread", &["readonly"])).unwrap();
        compare(&table, "Redis 8.0.0", &other("xrea", &["write"])).unwrap();
        let error = compare(&table, "Redis 8.0.0", &other("xread", &["write"])).unwrap_err().to_string();
        assert!(error.contains("xread") && error.contains("`cargo xtask docs`"), "{error}");
    }

    #[test]
    fn the_version_is_the_servers_own() {
        let of = |info: &str| version(&Reply::Text(info.into()));
        assert_eq!(of("# Server\r\nredis_version:7.0.15\r\nos:x\r\n").unwrap(), "Redis 7.0.15");
        assert_eq!(of("redis_version:7.2.4\r\nvalkey_version:8.1.0\r\n").unwrap(), "Valkey 8.1.0");
        assert!(of("").is_err());
    }
}
