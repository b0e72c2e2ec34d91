//! `SENTINEL …`: what a client or an operator's script asks about groups, and what it may ask for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{Answer, Failover, Phase, Request, Switchover};
use tokio::time::timeout;

use super::Endpoint;
use super::glob;
use super::group::Group;
use super::instance::{self, FAILOVER_TIMEOUT, others};
use super::view::{Master, View};
use crate::resp::Reply;

/// How long the leader may take to answer beyond what was asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A subcommand, how many words it takes with `SENTINEL` (negative: at least), and what it does.
const SUBCOMMANDS: [(&str, i32, &str); 21] = [
    ("ckquorum", 3, "<master-name>: whether the live monitors can find a master down and replace it."),
    ("config", -3, "GET <pattern>: what this endpoint was started with."),
    ("debug", -2, "Not here: `redis-failover config show` tells the settings, `config set` changes them."),
    ("failover", -3, "<master-name>: a switchover; where a quorum finds the master down, a failover."),
    ("flushconfig", 2, "Nothing to do: what is decided is always written."),
    ("get-master-addr-by-name", 3, "<master-name>: the master's address."),
    ("help", 2, "This."),
    ("info-cache", -3, "<master-name>...: what the nodes last said of themselves to this process."),
    (
        "is-master-down-by-addr",
        6,
        "<ip> <port> <epoch> <runid>: whether a quorum finds it down. No vote is given.",
    ),
    ("master", 3, "<master-name>: the master and the group."),
    ("masters", 2, "All masters."),
    ("monitor", 6, "Not here: `redis-failover run` monitors a group."),
    ("myid", 2, "The id of this process as a Sentinel."),
    ("pending-scripts", 2, "No scripts are run."),
    ("remove", 3, "Not here: take the group out of the monitors' configuration, or end them."),
    ("replicas", 3, "<master-name>: the replicas."),
    ("reset", 3, "<pattern>: nothing is forgotten; the number of groups that match."),
    ("sentinels", 3, "<master-name>: the other monitors that answer as Sentinels."),
    ("set", -5, "Not here: `redis-failover config set` changes a group's settings for all its monitors."),
    ("simulate-failure", -3, "Not here: kill a process of a test group."),
    ("slaves", 3, "<master-name>: the replicas."),
];

/// What Valkey calls them, too.
const ALIASES: [(&str, &str); 4] = [
    ("get-primary-addr-by-name", "get-master-addr-by-name"),
    ("is-primary-down-by-addr", "is-master-down-by-addr"),
    ("primaries", "masters"),
    ("primary", "master"),
];

/// Answers `SENTINEL` with these words after it.
pub(super) async fn answer(endpoint: &Arc<Endpoint>, words: &[String]) -> Reply {
    let Some(word) = words.first() else {
        return Reply::Error("ERR wrong number of arguments for 'sentinel' command".to_owned());
    };
    let lower = word.to_ascii_lowercase();
    let alias = ALIASES.into_iter().find(|(alias, _)| *alias == lower).map(|(_, name)| name);
    let name = alias.unwrap_or(&lower);
    let Some((name, arity, about)) = SUBCOMMANDS.into_iter().find(|(known, ..)| *known == name) else {
        return Reply::Error(format!("ERR unknown subcommand '{word}'. Try SENTINEL HELP."));
    };
    let given = i32::try_from(words.len() + 1).unwrap_or(i32::MAX);
    if if arity < 0 { given < -arity } else { given != arity } {
        return Reply::Error(format!("ERR wrong number of arguments for 'sentinel|{name}' command"));
    }
    let arguments = &words[1..];
    if matches!(name, "master" | "masters" | "replicas" | "slaves") {
        endpoint.freshness.wait().await;
    }
    match name {
        "myid" => Reply::bulk(&endpoint.id),
        "masters" => {
            let master = |group: &Arc<Group>| Some(master(endpoint, group, &View::of(group)?));
            Reply::Array(endpoint.groups().iter().filter_map(master).collect())
        }
        "get-master-addr-by-name" => match look(endpoint, &arguments[0]) {
            Ok((_, view)) => {
                let master = &view.record.master;
                Reply::Array(vec![Reply::bulk(master.host()), Reply::bulk(master.port())])
            }
            Err(Missing::Unknown) => Reply::NullArray,
            Err(missing) => missing.error(),
        },
        "config" => config(endpoint, arguments),
        "info-cache" => cache(endpoint, arguments),
        "is-master-down-by-addr" => is_down(endpoint, arguments),
        "flushconfig" => Reply::ok(),
        "pending-scripts" => Reply::Array(Vec::new()),
        "reset" => {
            let matching = endpoint.groups().into_iter().filter(|group| View::of(group).is_some());
            let matches = |group: &Arc<Group>| glob::matches(arguments[0].as_bytes(), group.name.as_bytes());
            Reply::count(matching.filter(matches).count())
        }
        "help" => help(),
        "debug" | "monitor" | "remove" | "set" | "simulate-failure" => {
            Reply::Error(format!("ERR SENTINEL {} changes nothing. {about}", name.to_ascii_uppercase()))
        }
        _ => match look(endpoint, &arguments[0]) {
            Ok((group, view)) => of_group(endpoint, name, &arguments[1..], &group, &view).await,
            Err(missing) => missing.error(),
        },
    }
}

/// Answers what is asked of one group.
async fn of_group(
    endpoint: &Endpoint,
    name: &str,
    arguments: &[String],
    group: &Arc<Group>,
    view: &View,
) -> Reply {
    match name {
        "master" => master(endpoint, group, view),
        "replicas" | "slaves" => {
            let (observed, since) = (group.observed.borrow().clone(), group.since.borrow().clone());
            let replica = |member| instance::replica(view, member, &observed, &since);
            Reply::Array(view.replicas().map(replica).collect())
        }
        "sentinels" => {
            let since = group.since.borrow().clone();
            let others = others(view, &endpoint.id);
            Reply::Array(others.map(|(id, other)| instance::sentinel(view, id, other, &since)).collect())
        }
        "ckquorum" => check_quorum(group, view),
        // FAILOVER; Valkey's word COORDINATED asks for what a switchover is anyway.
        _ => match arguments {
            [] => fail_over(group, view).await,
            [word] if word.eq_ignore_ascii_case("coordinated") => fail_over(group, view).await,
            [word, ..] => Reply::Error(format!("ERR syntax error: '{word}' is none of: COORDINATED")),
        },
    }
}

/// Why nothing is told of a group.
enum Missing {
    /// There is none of that name.
    Unknown,
    /// There is one, of which nothing is known, for this reason.
    Unread(&'static str),
}

impl Missing {
    fn error(&self) -> Reply {
        Reply::Error(match self {
            Self::Unknown => "ERR No such master with that name".to_owned(),
            Self::Unread(why) => format!("ERR nothing is known of that master: {why}"),
        })
    }
}

fn look(endpoint: &Endpoint, name: &str) -> Result<(Arc<Group>, View), Missing> {
    let group = endpoint.group(name).ok_or(Missing::Unknown)?;
    match View::of(&group) {
        Some(view) => Ok((group, view)),
        None => Err(Missing::Unread(View::missing(&group))),
    }
}

fn master(endpoint: &Endpoint, group: &Group, view: &View) -> Reply {
    instance::master(view, &group.observed.borrow(), &group.since.borrow(), &endpoint.id)
}

fn help() -> Reply {
    let title = "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".to_owned();
    let each =
        SUBCOMMANDS.iter().flat_map(|(name, _, about)| [name.to_ascii_uppercase(), format!("    {about}")]);
    Reply::Array([title].into_iter().chain(each).map(Reply::Simple).collect())
}

/// What this endpoint was started with, in Sentinel's names.
fn config(endpoint: &Endpoint, arguments: &[String]) -> Reply {
    let [word, patterns @ ..] = arguments else { return Reply::NullArray };
    if !word.eq_ignore_ascii_case("get") || patterns.is_empty() {
        return Reply::Error(
            "ERR SENTINEL CONFIG only has GET: settings are changed by `redis-failover config set` and by \
             the options of `redis-failover run`"
                .to_owned(),
        );
    }
    let named = endpoint.address.host().parse::<std::net::IpAddr>().is_err();
    let user = endpoint.access.username.clone().unwrap_or_default();
    let settings = [
        ("resolve-hostnames", "yes".to_owned()),
        ("announce-hostnames", if named { "yes" } else { "no" }.to_owned()),
        ("announce-ip", endpoint.address.host().to_owned()),
        ("announce-port", endpoint.address.port().to_string()),
        ("sentinel-user", user),
        // As Redis 7.2 does, it is not told.
        ("sentinel-pass", String::new()),
    ];
    let wanted = |name: &str| {
        let matches =
            |pattern: &String| glob::matches(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
        patterns.iter().any(matches)
    };
    let settings = settings.into_iter().filter(|(name, _)| wanted(name));
    Reply::Map(settings.map(|(name, value)| (Reply::bulk(name), Reply::Bulk(value))).collect())
}

/// What each node of the named groups last told, the master first.
fn cache(endpoint: &Endpoint, names: &[String]) -> Reply {
    let mut groups = Vec::new();
    // Once each, however often it is asked for.
    let names: BTreeSet<_> = names.iter().collect();
    for (group, view) in names.into_iter().filter_map(|name| look(endpoint, name).ok()) {
        let observed = group.observed.borrow().clone();
        let nodes = [&view.record.master].into_iter().chain(view.replicas().map(|member| &member.addr));
        let told = nodes.map(|node| {
            let Some((info, at)) = observed.get(node).and_then(|seen| seen.info.as_ref()) else {
                return Reply::Array(vec![Reply::Integer(0), Reply::Null]);
            };
            let lines: Vec<_> = info.fields().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
            let age = usize::try_from(at.elapsed().as_millis()).unwrap_or(usize::MAX);
            Reply::Array(vec![Reply::count(age), Reply::Bulk(lines.concat())])
        });
        groups.push((Reply::bulk(&view.name), Reply::Array(told.collect())));
    }
    // An array of names and values in turn in both versions, as Sentinel writes it.
    Reply::Array(groups.into_iter().flat_map(|(name, told)| [name, told]).collect())
}

/// Whether the master there is down, as another Sentinel would ask it; it is given no vote.
fn is_down(endpoint: &Endpoint, arguments: &[String]) -> Reply {
    let (host, port, epoch) = (&arguments[0], arguments[1].parse::<u16>(), arguments[2].parse::<i64>());
    let (Ok(port), Ok(_)) = (port, epoch) else {
        return Reply::Error("ERR value is not an integer or out of range".to_owned());
    };
    let views = endpoint.groups().into_iter().filter_map(|group| View::of(&group));
    let is = |view: &View| {
        let master = &view.record.master;
        master.host() == host && master.port() == port
    };
    let down = views.filter(is).any(|view| matches!(view.master(), Master::Down | Master::Replaced));
    Reply::Array(vec![Reply::Integer(i64::from(down)), Reply::bulk("*"), Reply::Integer(0)])
}

fn check_quorum(group: &Group, view: &View) -> Reply {
    let (alive, quorum) = (view.alive, view.record.quorum());
    let registered = view.record.monitors.len();
    if group.is_cut_off() {
        return Reply::Error(
            "NOQUORUM 0 usable Sentinels. This one has no session with ZooKeeper and knows nothing of the others"
                .to_owned(),
        );
    }
    if alive < quorum {
        return Reply::Error(format!(
            "NOQUORUM {alive} usable Sentinels. Not enough available Sentinels to reach the specified quorum for \
             this master: {quorum} of {registered} registered monitors are needed"
        ));
    }
    Reply::Simple(format!("OK {alive} usable Sentinels. Quorum and failover authorization can be reached"))
}

/// Has the leader switch over, or fail over where a quorum finds the master down, and waits until that is done.
async fn fail_over(group: &Group, view: &View) -> Reply {
    let record = &view.record;
    if group.is_cut_off() {
        return Reply::Error(
            "ERR this Sentinel has no session with ZooKeeper and can't ask the leader: ask another"
                .to_owned(),
        );
    }
    if matches!(record.phase, Phase::FailingOver(_)) {
        return Reply::Error("INPROG Failover already in progress".to_owned());
    }
    let Ok(_asking) = group.asking.try_acquire() else {
        return Reply::Error("INPROG Failover already in progress: another client asked for it".to_owned());
    };
    if !view.replicas().any(|member| member.ok) {
        return Reply::Error("NOGOODSLAVE No suitable replica to promote".to_owned());
    }
    let (to, epoch, dry_run) = (None, record.epoch, false);
    let request = match view.master() {
        Master::Down => Request::Failover(Failover { to, epoch: Some(epoch), accept_loss: false, dry_run }),
        _ => Request::Switchover(Switchover { to, epoch, timeout: FAILOVER_TIMEOUT, dry_run }),
    };
    tracing::info!(event = "request", group = %view.name, "a Sentinel client asks: {request}");
    match timeout(FAILOVER_TIMEOUT + PATIENCE, group.ask(request)).await {
        Ok(Ok(Answer::Done(_))) => Reply::ok(),
        Ok(Ok(Answer::Refused(why))) => Reply::Error(format!("ERR refused: {why}")),
        Ok(Err(error)) => Reply::Error(format!("ERR the leader was not asked or did not answer: {error}")),
        Err(_) => Reply::Error(
            "ERR no leading monitor answered in time; what it had begun it may finish: see SENTINEL MASTER"
                .to_owned(),
        ),
    }
}
