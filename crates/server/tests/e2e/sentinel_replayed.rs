//! Clients of Sentinel that nobody could start here: what Jedis, StackExchange.Redis and go-redis 9 send, in their
//! bytes and their order, and what each makes of the answers, as their sources say. Everything is played at our
//! endpoint and at a real Sentinel, and must come to the same.
//!
//! It is no test of those libraries: what their sources do beside asking Sentinels is not here.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use redis_failover_lab::{Redis, Sentinel, eventually};

use crate::sentinel::group;
use crate::world::{DEADLINE, Servers};

/// What a server said, in both versions of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Status(String),
    Error(String),
    Number(i64),
    Nothing,
    List(Vec<Said>),
    Map(Vec<Said>),
    Push(Vec<Said>),
}

use Said::{Error, List, Map, Nothing, Number, Push, Status, Text};

/// A client's connection: what was sent and not yet answered is answered in its order.
struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).map_err(|error| error.to_string())?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends all of these in one write, as clients do that do not wait for one answer after the other.
    fn send(&mut self, requests: &[&[&str]]) -> Result<(), String> {
        let mut bytes = Vec::new();
        for words in requests {
            write!(bytes, "*{}\r\n", words.len()).expect("a Vec takes all writes");
            for word in *words {
                write!(bytes, "${}\r\n{word}\r\n", word.len()).expect("a Vec takes all writes");
            }
        }
        self.stream.get_mut().write_all(&bytes).map_err(|error| error.to_string())
    }

    fn ask(&mut self, words: &[&str]) -> Result<Said, String> {
        self.send(&[words])?;
        self.read()
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(|error| error.to_string())?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| format!("cut off after {line:?}"))
    }

    fn text(&mut self, length: usize) -> Result<String, String> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }

    fn several(&mut self, count: usize) -> Result<Vec<Said>, String> {
        (0..count).map(|_| self.read()).collect()
    }

    fn read(&mut self) -> Result<Said, String> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or("an empty line")?;
        let length = || rest.parse::<usize>().map_err(|error| format!("{line:?}: {error}"));
        Ok(match kind {
            "+" => Status(rest.to_owned()),
            "-" => Error(rest.to_owned()),
            ":" => Number(rest.parse().map_err(|error| format!("{line:?}: {error}"))?),
            "_" => Nothing,
            "$" | "*" if rest == "-1" => Nothing,
            "$" => Text(self.text(length()?)?),
            // The first four characters say of which kind the text is.
            "=" => Text(self.text(length()?)?.split_off(4)),
            "*" => List(self.several(length()?)?),
            "%" => Map(self.several(2 * length()?)?),
            ">" => Push(self.several(length()?)?),
            _ => return Err(format!("no client reads {line:?}")),
        })
    }

    /// The next message: its channel and its payload.
    fn message(&mut self) -> Result<(String, String), String> {
        match self.read()? {
            List(parts) | Push(parts) => match &parts[..] {
                [Text(kind), Text(channel), Text(payload)] if kind == "message" => {
                    Ok((channel.clone(), payload.clone()))
                }
                other => Err(format!("no message: {other:?}")),
            },
            other => Err(format!("no message: {other:?}")),
        }
    }
}

/// What a client knows of a group.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Known {
    master: String,
    replicas: BTreeSet<String>,
}

/// What the three have in common: two texts, or nothing for a name that nobody knows.
fn address(said: &Said) -> Result<String, String> {
    match said {
        List(pair) => match &pair[..] {
            [Text(host), Text(port)] if port.parse::<u16>().is_ok() => Ok(format!("{host}:{port}")),
            other => Err(format!("no address: {other:?}")),
        },
        other => Err(format!("no address: {other:?}")),
    }
}

/// Instances as texts by their names: each a map, or names and values in turn.
fn instances(said: &Said) -> Result<Vec<Vec<(String, String)>>, String> {
    let List(all) = said else { return Err(format!("no instances: {said:?}")) };
    let of_one = |instance: &Said| match instance {
        List(words) | Map(words) => words
            .chunks(2)
            .map(|pair| match pair {
                [Text(name), Text(value)] => Ok((name.clone(), value.clone())),
                other => Err(format!("no field: {other:?}")),
            })
            .collect(),
        other => Err(format!("no instance: {other:?}")),
    };
    all.iter().map(of_one).collect()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
}

/// Those whose flags a client accepts, by their address.
fn healthy(said: &Said, refused: &[&str]) -> Result<BTreeSet<String>, String> {
    let mut addresses = BTreeSet::new();
    for instance in instances(said)? {
        let missing = || format!("a field is missing: {instance:?}");
        let flags = value(&instance, "flags").ok_or_else(missing)?;
        if !flags.split(',').any(|flag| refused.contains(&flag)) {
            let (ip, port) = value(&instance, "ip").zip(value(&instance, "port")).ok_or_else(missing)?;
            addresses.insert(format!("{ip}:{port}"));
        }
    }
    Ok(addresses)
}

/// The three flags for which Jedis and go-redis leave a replica out.
const DOWN: [&str; 3] = ["s_down", "o_down", "disconnected"];

/// A client that has found its master and listens.
trait Client {
    /// What it knows now; messages that are there are taken first.
    fn look(&mut self) -> Result<Known, String>;
}

/// `SentineledConnectionProvider` of Jedis, with a listener at one Sentinel.
struct Jedis {
    listens: Wire,
    known: Known,
}

impl Jedis {
    /// `Connection`'s handshake, whose refusals it forgives where they say `UNKNOWN`.
    fn connect(at: SocketAddr, version: Option<&str>) -> Result<Wire, String> {
        let mut wire = Wire::open(at)?;
        if let Some(version) = version {
            let said = wire.ask(&["HELLO", version])?;
            assert!(matches!(said, Map(_) | List(_)), "{said:?}");
        }
        wire.send(&[
            &["CLIENT", "SETINFO", "LIB-NAME", "jedis"],
            &["CLIENT", "SETINFO", "LIB-VER", "7.1.0"],
        ])?;
        for said in wire.several(2)? {
            match said {
                Status(_) => {}
                Error(error) if error.to_uppercase().contains("UNKNOWN") => {}
                other => return Err(format!("it gives up: {other:?}")),
            }
        }
        Ok(wire)
    }

    fn start(at: SocketAddr, version: Option<&str>) -> Result<Self, String> {
        let of_master = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinel::GROUP];
        let master = address(&Self::connect(at, version)?.ask(&of_master)?)?;
        let mut listens = Self::connect(at, version)?;
        let replicas = healthy(&listens.ask(&["SENTINEL", "SLAVES", Sentinel::GROUP])?, &DOWN)?;
        assert_eq!(address(&listens.ask(&of_master)?)?, master);
        listens.send(&[&["SUBSCRIBE", "+switch-master", "+sdown", "-sdown", "+slave"]])?;
        for (count, said) in (1..).zip(listens.several(4)?) {
            let (List(parts) | Push(parts)) = &said else { return Err(format!("{said:?}")) };
            assert_eq!((&parts[0], &parts[2]), (&Text("subscribe".into()), &Number(count)));
        }
        Ok(Self { listens, known: Known { master, replicas } })
    }

    /// Its `onMessage`, which takes words by their places and does not look how many there are.
    fn hear(&mut self, channel: &str, payload: &str) {
        let words: Vec<_> = payload.split(' ').collect();
        let at = |host: usize| format!("{}:{}", words[host], words[host + 1]);
        match channel {
            "+switch-master" if words[0] == Sentinel::GROUP => self.known.master = at(3),
            "+sdown" if words[0] != "master" && words[5] == Sentinel::GROUP => {
                self.known.replicas.remove(&at(2));
            }
            // As it is written, it takes another Sentinel that is back for a replica, too.
            "-sdown" if words.len() >= 6 && words[5] == Sentinel::GROUP => {
                self.known.replicas.insert(at(2));
            }
            "+slave" if words[5] == Sentinel::GROUP => {
                self.known.replicas.insert(at(2));
                self.known.replicas.remove(&at(6));
            }
            _ => {}
        }
    }
}

impl Client for Jedis {
    fn look(&mut self) -> Result<Known, String> {
        if let Ok((channel, payload)) = self.listens.message() {
            self.hear(&channel, &payload);
        }
        Ok(self.known.clone())
    }
}

/// `NewFailoverClient` of go-redis 9, and what its replica-only dialer asks.
struct GoRedis {
    asks: Wire,
    listens: Wire,
    master: String,
}

impl GoRedis {
    fn connect(at: SocketAddr, version: &str) -> Result<Wire, String> {
        let mut wire = Wire::open(at)?;
        let said = wire.ask(&["hello", version])?;
        assert!(matches!(said, Map(_) | List(_)), "{said:?}");
        // Some 9.x ask for this wherever they speak version 3, and go on without it.
        let said =
            wire.ask(&["client", "maint_notifications", "on", "moving-endpoint-type", "internal-ip"])?;
        assert!(matches!(said, Error(_)), "{said:?}");
        wire.send(&[
            &["client", "setinfo", "LIB-NAME", "go-redis(,go1.24.1)"],
            &["client", "setinfo", "LIB-VER", "9.17.3"],
        ])?;
        // Errors of the server are forgiven.
        let said = wire.several(2)?;
        assert!(said.iter().all(|said| matches!(said, Status(_) | Error(_))), "{said:?}");
        Ok(wire)
    }

    fn start(at: SocketAddr, version: &str) -> Result<Self, String> {
        let mut asks = Self::connect(at, version)?;
        let master = address(&asks.ask(&["sentinel", "get-master-addr-by-name", Sentinel::GROUP])?)?;
        let others = instances(&asks.ask(&["sentinel", "sentinels", Sentinel::GROUP])?)?;
        let usable = |it: &Vec<_>| value(it, "ip").is_some() && value(it, "port").is_some();
        assert!(others.len() == 2 && others.iter().all(usable), "{others:?}");
        let mut listens = Self::connect(at, version)?;
        listens.send(&[&["subscribe", "+switch-master", "+replica-reconf-done"]])?;
        listens.several(2)?;
        Ok(Self { asks, listens, master })
    }
}

impl Client for GoRedis {
    fn look(&mut self) -> Result<Known, String> {
        if let Ok((channel, payload)) = self.listens.message() {
            let words: Vec<_> = payload.split(' ').collect();
            if channel == "+switch-master" && words[0] == Sentinel::GROUP {
                self.master = format!("{}:{}", words[3], words[4]);
            }
        }
        let replicas = self.asks.ask(&["sentinel", "replicas", Sentinel::GROUP])?;
        Ok(Known { master: self.master.clone(), replicas: healthy(&replicas, &DOWN)? })
    }
}

/// A `ConnectionMultiplexer` of StackExchange.Redis on Sentinels, with its `CommandMap.Sentinel`: no CLIENT, no ECHO.
struct StackExchange {
    asks: Wire,
    /// In version 3 the same connection would do; in version 2 it has a second one.
    listens: Wire,
    known: Known,
}

impl StackExchange {
    fn connect(at: SocketAddr, hello: Option<&str>) -> Result<Wire, String> {
        let mut wire = Wire::open(at)?;
        if let Some(version) = hello {
            wire.send(&[&["HELLO", version]])?;
        }
        // The whole handshake is one write.
        wire.send(&[&["SENTINEL", "MASTERS"], &["INFO", "replication"], &["INFO", "server"], &["PING"]])?;
        if hello.is_some() {
            let said = wire.read()?;
            let (Map(words) | List(words)) = &said else { return Err(format!("{said:?}")) };
            let has = |name: &str, wanted: &Said| {
                words.windows(2).any(|it| it == [Text(name.into()), wanted.clone()])
            };
            assert!(has("mode", &Text("sentinel".into())), "{words:?}");
            // A role would be taken for that of a server with data.
            assert!(!words.contains(&Text("role".into())), "{words:?}");
        }
        instances(&wire.read()?)?;
        assert_eq!(wire.read()?, Text(String::new()), "a Sentinel replicates nothing");
        let Text(info) = wire.read()? else { return Err("no INFO".into()) };
        let has = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        assert_eq!(has("redis_mode:"), Some("sentinel"), "by this it knows what it talks to: {info}");
        // It asks for SLAVES where the version is older than 5.
        assert!(has("redis_version:").is_some_and(|it| it.starts_with('7')), "{info}");
        assert!(has("run_id:").is_some_and(|it| it.len() == 40), "{info}");
        assert_eq!(wire.read()?, Status("PONG".into()));
        Ok(wire)
    }

    fn start(at: SocketAddr, hello: Option<&str>) -> Result<Self, String> {
        let asks = Self::connect(at, hello)?;
        let mut listens = Wire::open(at)?;
        listens.send(&[&["PING"], &["SUBSCRIBE", "__Booksleeve_MasterChanged"]])?;
        assert_eq!(listens.read()?, Status("PONG".into()));
        listens.send(&[&["SUBSCRIBE", "+switch-master"], &["SUBSCRIBE", "+sentinel"]])?;
        listens.several(3)?;
        let mut client = Self { asks, listens, known: Known::default() };
        client.switch()?;
        let others = instances(&client.asks.ask(&["SENTINEL", "SENTINELS", Sentinel::GROUP])?)?;
        assert_eq!(others.len(), 2, "{others:?}");
        Ok(client)
    }

    /// The new master, where a message tells of this group's.
    fn switched((channel, payload): (String, String)) -> Option<String> {
        let mut words = payload.split(' ');
        let is_ours = channel == "+switch-master" && words.next() == Some(Sentinel::GROUP);
        is_ours.then(|| words.skip(2).collect::<Vec<_>>().join(":"))
    }

    /// Its `SwitchPrimary`: whatever a message says, it asks.
    fn switch(&mut self) -> Result<(), String> {
        let master = self.asks.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinel::GROUP])?;
        let replicas = self.asks.ask(&["SENTINEL", "REPLICAS", Sentinel::GROUP])?;
        // It takes all that are listed, and finds out itself which of them answer.
        self.known = Known { master: address(&master)?, replicas: healthy(&replicas, &[])? };
        Ok(())
    }
}

impl Client for StackExchange {
    fn look(&mut self) -> Result<Known, String> {
        if let Some(mut new) = self.listens.message().ok().and_then(Self::switched) {
            self.switch()?;
            // It asks but once: what the message says must be told by then, or else what a later one says.
            while self.known.master != new {
                let message = self.listens.message().expect("a message of the master that was told");
                new = Self::switched(message).unwrap_or(new);
            }
        }
        Ok(self.known.clone())
    }
}

/// A client, and what it is called.
type Named = (&'static str, Box<dyn Client>);

/// All of them at one Sentinel, in both versions of the protocol.
fn start(at: SocketAddr) -> Result<Vec<Named>, String> {
    Ok(vec![
        ("Jedis, version 2", Box::new(Jedis::start(at, None)?)),
        ("Jedis, version 3", Box::new(Jedis::start(at, Some("3"))?)),
        ("go-redis, version 2", Box::new(GoRedis::start(at, "2")?)),
        ("go-redis, version 3", Box::new(GoRedis::start(at, "3")?)),
        ("StackExchange.Redis 2", Box::new(StackExchange::start(at, None)?)),
        ("StackExchange.Redis 3, version 2", Box::new(StackExchange::start(at, Some("2"))?)),
        ("StackExchange.Redis 3, version 3", Box::new(StackExchange::start(at, Some("3"))?)),
    ])
}

/// Plays all clients at one Sentinel of these servers while the first of them, their master, dies.
fn play(at: SocketAddr, redis: &mut [Redis]) {
    let addresses: Vec<_> = redis.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
    let mut clients = start(at).expect("they start");
    let before = Known { master: addresses[0].clone(), replicas: addresses[1..].iter().cloned().collect() };
    for (name, client) in &mut clients {
        eventually(DEADLINE, &format!("{name} knows the group"), || {
            let known = client.look()?;
            if known == before { Ok(()) } else { Err(format!("{known:?}")) }
        });
    }
    redis[0].kill();
    for (name, client) in &mut clients {
        eventually(DEADLINE, &format!("{name} follows the new master"), || {
            let known = client.look()?;
            let mut wanted: BTreeSet<_> = addresses.iter().cloned().collect();
            let is_new = addresses[1..].contains(&known.master) && wanted.remove(&known.master);
            if !name.starts_with("Stack") {
                wanted.remove(&addresses[0]);
            }
            if is_new && known.replicas == wanted { Ok(()) } else { Err(format!("{known:?}")) }
        });
    }
}

#[test]
fn clients_that_could_not_be_started_would_find_and_follow_the_master_at_our_endpoint() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, &format!("/redis/{}", Sentinel::GROUP));
    play(endpoints[1], &mut group.redis);
}

#[test]
fn the_same_sessions_come_to_the_same_at_a_real_sentinel() {
    let fast = || Redis::builder().option("repl-diskless-sync-delay", "0");
    let master = fast().start();
    let replicas = [(); 2].map(|()| fast().replica_of(&master).start());
    let sentinels = Sentinel::watch(&master, 2, Duration::from_secs(1));
    let mut redis: Vec<_> = [master].into_iter().chain(replicas).collect();
    play(sentinels[1].addr().parse().expect("an address"), &mut redis);
}

#[test]
fn what_they_read_is_the_same_at_both_for_the_same_group_and_for_none() {
    let servers = Servers::start();
    let (group, endpoints) = group(&servers, &format!("/redis/{}", Sentinel::GROUP));
    let real = Sentinel::watch(&group.redis[0], 2, Duration::from_secs(5));
    let real: SocketAddr = real[0].addr().parse().expect("an address");
    for (ours, theirs) in start(endpoints[0]).expect("ours").iter_mut().zip(&mut start(real).expect("theirs"))
    {
        assert_eq!(ours.1.look(), theirs.1.look(), "{}", ours.0);
    }
    // A name that nobody knows is nothing for the address, and an error for the rest.
    for version in ["2", "3"] {
        let of_none = |at| {
            let mut wire = Wire::open(at)?;
            wire.ask(&["HELLO", version])?;
            ["GET-MASTER-ADDR-BY-NAME", "REPLICAS", "SLAVES", "SENTINELS", "MASTER"]
                .map(|word| wire.ask(&["SENTINEL", word, "nobody"]))
                .into_iter()
                .collect::<Result<Vec<_>, String>>()
        };
        let ours = of_none(endpoints[0]).expect("answers");
        assert_eq!(ours, of_none(real).expect("answers"));
        assert_eq!(ours[0], Nothing);
    }
}
