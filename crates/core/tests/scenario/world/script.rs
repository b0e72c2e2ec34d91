//! The script's lines: what is done to the world, and what must hold of it. It moves no time by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use redis_failover_core::{
    Attends, Discover, Epoch, Failover, Fencing, Found, NodeAddr, OnDivergence, Order, Phase, Policy,
    Request, Switchover, Topology, Waits,
};

use super::super::redis::{Door, Follows, Redis, Saves, State, Writes, addr};
use super::lead::Port;
use super::{Accident, World};

impl World {
    /// Carries out one line of the script.
    pub(in super::super) fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["nodes", names @ ..] => self.add_nodes(names),
            ["monitors", names @ ..] => self.add_monitors(names),
            ["run", time] => {
                let until = self.now + millis(time)?;
                while self.now < until {
                    self.step();
                }
            }
            ["at", step, "kills", names @ ..] => {
                let names = names.iter().map(|name| (*name).to_owned()).collect();
                self.accident = Some(((*step).to_owned(), Accident::Kills(names)));
            }
            ["at", step, accident] => self.accident = Some(((*step).to_owned(), accident_of(accident)?)),
            ["session", time] => self.session = Some(millis(time)?),
            ["listen"] => self.listens = true,
            ["kill", "leader"] => self.kill_leader(),
            ["stop", "leader"] => self.stop_leader(),
            ["shut", "monitor", name] => {
                self.monitors.get_mut(*name).ok_or("no such monitor")?.port = Port::Shut;
            }
            ["kill", "monitor", name] => self.kill_monitor(name)?,
            ["leave", names @ ..] => {
                for name in names {
                    self.monitors.get_mut(*name).ok_or("no such monitor")?.leaves = Some(false);
                }
            }
            ["restart", "monitors"] => self.restart_monitors(),
            ["restart", "monitor", name] => self.restart_monitor(name),
            ["policy", setting, value] => self.policy = with_setting(self.policy.clone(), setting, value)?,
            ["ask", "configure", setting, value] => {
                let before = Box::new(self.topology()?.policy.clone());
                let after = Box::new(with_setting(Policy::clone(&before), setting, value)?);
                self.ask(Request::Configure { before, after });
            }
            ["show", "requests"] => self.tells_attends = true,
            ["ask", request @ ..] => self.ask(request_of(request)?),
            ["save", "record"] => self.saved.clone_from(&self.record),
            ["restore", "record"] => self.replace_record(self.saved.clone()),
            ["withdraw"] => {
                self.requests.clear();
                self.tell_requests();
            }
            ["wipe", "record"] => self.replace_record(None),
            ["expect", rest @ ..] => self.expect(rest)?,
            [verb, name, rest @ ..] => self.node_command(verb, name, rest)?,
            _ => return Err("not understood".into()),
        }
        if !matches!(words, ["run" | "nodes" | "monitors" | "policy" | "session" | "listen" | "expect", ..]) {
            self.say(&format!("* {}", words.join(" ")));
        }
        Ok(())
    }

    fn node_command(&mut self, verb: &str, name: &str, rest: &[&str]) -> Result<(), String> {
        if verb == "server" {
            self.servers.0.insert(name.to_owned(), Redis::new(name));
            return Ok(());
        }
        let refuses = self.servers.get(name)?.min_replicas > self.servers.good_replicas(name);
        let redis = self.servers.get(name)?;
        match (verb, rest) {
            ("write", [_]) if refuses => {
                self.say(&format!("{name} refuses the write"));
                return Ok(());
            }
            ("write", [_]) if redis.writes == Writes::Held => {
                self.say(&format!("{name} has the write wait"));
                return Ok(());
            }
            ("kill", []) => redis.state = State::Dead,
            ("hang", []) => redis.state = State::Hung,
            ("load", []) => redis.state = State::Loading,
            ("wake", []) => {
                redis.state = State::Running;
                for command in std::mem::take(&mut redis.queued) {
                    redis.carry_out(name, &command);
                }
            }
            ("restart", []) => redis.restart(name, false),
            ("restart", ["empty"]) => redis.restart(name, true),
            ("restart", ["unnamed"]) => redis.restart_from_a_log(name),
            ("save", []) => redis.saved = Some((redis.replid.clone(), redis.offset, redis.keys)),
            ("restart", ["saved"]) => redis.restart_from_snapshot(name),
            ("isolate", []) => redis.door = Door::Unreachable,
            ("isolate", ["from", monitors @ ..]) => {
                redis.unseen_by = monitors.iter().map(|name| (*name).to_owned()).collect();
            }
            ("deny", []) => redis.door = Door::Denied,
            ("join", []) => (redis.door, redis.unseen_by) = (Door::Open, BTreeSet::new()),
            ("lag", []) => redis.lagging = true,
            ("catch-up", []) => redis.lagging = false,
            ("saves", ["well"]) => redis.saves = Saves::Well,
            ("saves", ["badly"]) => redis.saves = Saves::Badly,
            ("saves", ["unnamed"]) => redis.saves = Saves::Unnamed,
            ("saves", ["never"]) => redis.saves = Saves::Never,
            ("half-sync", []) => redis.half_synced = true,
            ("min-replicas", [number]) => redis.min_replicas = number.parse().map_err(|_| "no number")?,
            ("priority", [number]) => redis.priority = number.parse().map_err(|_| "no number")?,
            ("write", [bytes]) => {
                let bytes = bytes.parse::<u64>().map_err(|_| "no number")?;
                redis.offset += if redis.uncounted { 0 } else { bytes };
                redis.keys += 1;
            }
            ("demote", []) => redis.follows = Some(Follows(None)),
            ("follow", ["nobody"]) => redis.follow_no_one(name),
            ("follow", [of]) => redis.follows = Some(Follows(Some((*of).to_owned()))),
            _ => return Err("not understood".into()),
        }
        Ok(())
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), String> {
        let holds = |found: String, wanted: &str| {
            if found == wanted { Ok(()) } else { Err(format!("it is {found}")) }
        };
        match words {
            ["pause", wanted @ ..] => {
                let pause = self.topology()?.pause.as_ref();
                let withheld = pause.and_then(|pause| pause.withheld);
                let withheld = withheld.map(|reason| format!(", {reason}")).unwrap_or_default();
                let found =
                    pause.map_or_else(|| "none".to_owned(), |pause| format!("{}{withheld}", pause.reason));
                holds(found, &wanted.join(" "))
            }
            ["policy", key, wanted @ ..] => {
                let settings = self.topology()?.policy.settings();
                let found = settings.into_iter().find(|(name, _)| name == key).map(|(_, value)| value);
                holds(found.unwrap_or_default(), &wanted.join(" "))
            }
            ["no", "record"] => self.topology().map_or(Ok(()), |record| Err(format!("{record:?}"))),
            ["master", name] => holds(self.topology()?.master.host().to_owned(), name),
            ["epoch", epoch] => holds(self.topology()?.epoch.to_string(), epoch),
            ["phase", "steady"] if self.topology()?.phase == Phase::Steady => Ok(()),
            ["phase", "failing-over"] if self.topology()?.phase != Phase::Steady => Ok(()),
            ["members", nodes @ ..] => {
                let members: Vec<_> = self.topology()?.nodes().map(NodeAddr::host).collect();
                holds(members.join(" "), &nodes.join(" "))
            }
            ["registered", monitors @ ..] => {
                let registered: Vec<_> = self.topology()?.monitors.iter().map(ToString::to_string).collect();
                holds(registered.join(" "), &monitors.join(" "))
            }
            ["ok", nodes @ ..] => {
                let ok = self.topology()?.members.iter().filter(|member| member.ok);
                let ok: Vec<_> = ok.map(|member| member.addr.host()).collect();
                holds(ok.join(" "), &nodes.join(" "))
            }
            ["gone", names @ ..] => {
                let gone = self.monitors.iter().filter(|(_, it)| !it.alive).map(|(name, _)| name.as_str());
                holds(gone.collect::<Vec<_>>().join(" "), &names.join(" "))
            }
            ["left", nodes @ ..] => {
                let left: Vec<_> = self.topology()?.left.iter().map(NodeAddr::host).collect();
                holds(left.join(" "), &nodes.join(" "))
            }
            ["masters", names @ ..] => {
                let master = |(_, it): &(&String, &Redis)| it.follows.is_none() && it.state == State::Running;
                let masters: Vec<_> =
                    self.servers.0.iter().filter(master).map(|(name, _)| name.as_str()).collect();
                holds(masters.join(" "), &names.join(" "))
            }
            [name, "follows", of] => match &self.servers.get(name)?.follows {
                Some(Follows(found)) => holds(found.clone().unwrap_or_else(|| "nobody".into()), of),
                None => Err("it is a master".into()),
            },
            [name, "keys", keys] => holds(self.servers.get(name)?.keys.to_string(), keys),
            [name, "min-replicas", number] => holds(self.servers.get(name)?.min_replicas.to_string(), number),
            ["diverged", node, "nothing"] => {
                let found = self.topology()?.diverged.get(&addr(node)).map(ToString::to_string);
                found.map_or(Ok(()), |found| Err(format!("it is {found}")))
            }
            ["diverged", node, wanted @ ..] => {
                let found = self.topology()?.diverged.get(&addr(node)).map(ToString::to_string);
                holds(found.unwrap_or_else(|| "nothing".into()), &wanted.join(" "))
            }
            [name, "files", files @ ..] => holds(self.servers.get(name)?.files.join(" "), &files.join(" ")),
            ["trace", text @ ..] if self.trace.contains(&text.join(" ")) => Ok(()),
            ["never", text @ ..] if !self.trace.contains(&text.join(" ")) => Ok(()),
            ["within", time, text @ ..] => self.within(millis(time)?, &text.join(" ")),
            _ => Err("it does not hold".into()),
        }
    }

    /// The last line with `text` came within `limit` of the last accident (a line with `*`).
    fn within(&self, limit: u64, text: &str) -> Result<(), String> {
        let time = |line: &str| line.trim_start().split(' ').next().and_then(|word| word.parse::<u64>().ok());
        let accident = self.trace.lines().rfind(|line| line.contains(" * ")).and_then(time);
        let event = self.trace.lines().rfind(|line| line.contains(text)).and_then(time);
        match (accident, event) {
            (Some(from), Some(to)) if to >= from && to - from <= limit => Ok(()),
            other => Err(format!("accident and event at {other:?}")),
        }
    }

    /// Says for each node why it may not take over.
    pub(super) fn tell_waits(&mut self, name: &str, waits: &Waits) {
        if waits.is_empty() {
            self.say(&format!("{name}: nobody is waited for any more"));
        }
        for (node, wait) in waits {
            let keys = wait.keys.map(|keys| format!(" ({keys} keys)")).unwrap_or_default();
            self.say(&format!("{name}: nobody leads: {node} {}{keys}", wait.why));
        }
    }

    /// Says how far the leader is with each request, in scenarios that are about that.
    pub(super) fn tell_attends(&mut self, name: &str, attends: Attends) {
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        if !self.tells_attends || monitor.attended == attends {
            return;
        }
        monitor.attended.clone_from(&attends);
        if attends.is_empty() {
            self.say(&format!("{name} is at no request"));
        }
        for (id, at) in attends {
            self.say(&format!("{name} is at request {}: {at}", id.0));
        }
    }

    fn add_nodes(&mut self, names: &[&str]) {
        for name in names {
            self.nodes.push((*name).to_owned());
            self.servers.0.insert((*name).to_owned(), Redis::new(name));
        }
    }

    fn topology(&self) -> Result<&Topology, String> {
        match self.record.as_ref().map(|it| &it.found) {
            Some(Found::Record(record)) => Ok(record),
            _ => Err("there is no record".into()),
        }
    }
}

fn accident_of(word: &str) -> Result<Accident, String> {
    Ok(match word {
        "leader-dies-before" => Accident::Before,
        "leader-dies-after" => Accident::After,
        "leader-dies-late-delivery" => Accident::Late,
        "lost" => Accident::Lost,
        "candidate-restarts" => Accident::Restart,
        "candidate-dies" => Accident::Kill,
        _ => return Err(format!("no such accident: {word}")),
    })
}

fn request_of(words: &[&str]) -> Result<Request, String> {
    match words {
        ["adopt", node] => Ok(Request::Adopt { master: addr(node) }),
        ["failover", rest @ ..] => failover_of(rest),
        ["switchover", rest @ ..] => switchover_of(rest),
        ["resync", node] => Ok(Request::Resync { node: addr(node) }),
        ["pause", time, reason @ ..] => {
            let lasts = (*time != "until-resumed").then(|| millis(time)).transpose()?;
            let (by, reason) = ("alice".to_owned(), reason.join(" "));
            Ok(Request::Pause { by, reason, lasts: lasts.map(Duration::from_millis) })
        }
        ["resume"] => Ok(Request::Resume),
        ["node", node, order @ ..] => Ok(Request::Node { node: addr(node), order: order_of(order)? }),
        ["forget", monitor] => {
            let monitor = monitor.parse().map_err(|_| "no name of a monitor")?;
            Ok(Request::Forget { monitor })
        }
        _ => Err(format!("no such request: {}", words.join(" "))),
    }
}

/// `failover [of EPOCH] [to NODE] [accept-loss] [dry]`.
fn failover_of(words: &[&str]) -> Result<Request, String> {
    let mut wanted = Failover::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "dry" => wanted.dry_run = true,
            "accept-loss" => wanted.accept_loss = true,
            "of" => wanted.epoch = words.next().and_then(|epoch| epoch.parse().ok()).map(Epoch),
            "to" => wanted.to = words.next().map(|node| addr(node)),
            _ => return Err(format!("not understood: {word}")),
        }
    }
    Ok(Request::Failover(wanted))
}

fn order_of(words: &[&str]) -> Result<Order, String> {
    Ok(match words {
        ["add"] => Order::Add,
        ["remove"] => Order::Remove,
        ["drain"] => Order::Drain(true),
        ["serve"] => Order::Drain(false),
        ["priority", "own"] => Order::Priority(None),
        ["priority", number] => Order::Priority(Some(number.parse().map_err(|_| "no number")?)),
        ["zone", zone] => Order::Zone(Some((*zone).to_owned())),
        _ => return Err(format!("no such order: {}", words.join(" "))),
    })
}

/// `switchover of EPOCH [to NODE] [within TIME] [dry]`.
fn switchover_of(words: &[&str]) -> Result<Request, String> {
    let mut wanted =
        Switchover { to: None, epoch: Epoch(0), timeout: Duration::from_secs(10), dry_run: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (*word, words.next()) {
            ("dry", None) => wanted.dry_run = true,
            ("of", Some(epoch)) => wanted.epoch = Epoch(epoch.parse().map_err(|_| "no epoch")?),
            ("to", Some(node)) => wanted.to = Some(addr(node)),
            ("within", Some(time)) => wanted.timeout = Duration::from_millis(millis(time)?),
            _ => return Err(format!("not understood: {word}")),
        }
    }
    Ok(Request::Switchover(wanted))
}

fn with_setting(policy: Policy, setting: &str, value: &str) -> Result<Policy, String> {
    match setting {
        "discover" => {
            Ok(policy
                .with_discover(Discover::from_word(value).ok_or_else(|| format!("no discover: {value}"))?))
        }
        "on-divergence" => {
            let choice = OnDivergence::from_word(value).ok_or_else(|| format!("no such choice: {value}"))?;
            Ok(policy.with_on_divergence(choice))
        }
        "quorum" | "down-after" => {
            let quorum = if setting == "quorum" {
                Some(value.parse().map_err(|_| "no number")?)
            } else {
                policy.quorum()
            };
            let down_after = if setting == "down-after" {
                Duration::from_millis(millis(value)?)
            } else {
                policy.down_after()
            };
            let changed = Policy::new(quorum, down_after, policy.probe_interval());
            let changed = changed.map_err(|error| error.to_string())?;
            Ok(changed.with_fencing(policy.fencing()).with_discover(policy.discover()))
        }
        "parallel-syncs" => Ok(policy.with_parallel_syncs(value.parse().map_err(|_| "no number")?)),
        "fencing" => {
            Ok(policy.with_fencing(Fencing::from_word(value).ok_or_else(|| format!("no fencing: {value}"))?))
        }
        "third-failover-waits" => {
            Ok(policy.with_third_failover_waiting(Duration::from_millis(millis(value)?)))
        }
        _ => Err(format!("no such setting: {setting}")),
    }
}

fn millis(text: &str) -> Result<u64, String> {
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| format!("`{text}` is no time"));
    let time = match text.strip_suffix("ms") {
        Some(digits) => Duration::from_millis(number(digits)?),
        None => Duration::from_secs(number(text.strip_suffix('s').unwrap_or(text))?),
    };
    u64::try_from(time.as_millis()).map_err(|error| error.to_string())
}
