//! Random commands, and what a caller gets to see of their replies. No client is known here.

use fastrand::Rng;
use redis_failover::redis::{Cmd, Pipeline, RedisResult, Value, cmd, pipe};

/// Commands whose replies are the same whoever asks, with their arguments: `k` a key, `f` a field, `n` a number, `v` a
/// value. A key may hold anything, so many are refused with WRONGTYPE, and some are wrong in themselves.
const FORMS: &[&str] = &[
    "SET k v",
    "SET k n",
    "SET k v NX",
    "SET k v GET",
    "GET k",
    "GETDEL k",
    "APPEND k v",
    "STRLEN k",
    "INCR k",
    "INCRBY k n",
    "DECRBY k n",
    "SETRANGE k 3 v",
    "GETRANGE k 0 n",
    "MSET k v k v",
    "MGET k k k",
    "DEL k",
    "DEL k k",
    "EXISTS k k",
    "TYPE k",
    "RENAME k k",
    "COPY k k",
    "PERSIST k",
    "EXPIRE k 1000",
    "HSET k f v f v",
    "HGET k f",
    "HDEL k f",
    "HLEN k",
    "HINCRBY k f n",
    "HEXISTS k f",
    "HMGET k f f",
    "LPUSH k v v",
    "RPUSH k v",
    "LPOP k",
    "RPOP k 2",
    "LLEN k",
    "LRANGE k 0 -1",
    "LINDEX k n",
    "LSET k 0 v",
    "LMOVE k k LEFT RIGHT",
    "SADD k f f",
    "SREM k f",
    "SISMEMBER k f",
    "SCARD k",
    "SMISMEMBER k f f",
    "ZADD k n f n f",
    "ZSCORE k f",
    "ZRANGE k 0 -1",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZINCRBY k n f",
    "ZRANK k f",
    "ZCARD k",
    "SETBIT k n 1",
    "GETBIT k n",
    "BITCOUNT k",
    "PFADD k f f",
    "PFCOUNT k",
    "XLEN k",
    "XADD k n-1 f v",
    "XRANGE k - +",
    "DBSIZE",
    "ECHO v",
    "PING",
    "PING v",
    "BLPOP k k 0.001",
    "XREAD BLOCK 1 STREAMS k 0-0",
    "GET",
    "SET k",
    "INCRBY k v",
    "NOSUCHCOMMAND f",
    "GET k k",
    "OBJECT ENCODING k",
    "TTL v",
    "LRANGE k v v",
    "EVAL return{ok=ARGV[1]} 0 f",
    "EVAL return#KEYS 2 k k",
];

/// Draws commands from a seed. Its keys begin with its prefix.
pub(crate) struct Draw {
    pub(crate) random: Rng,
    pub(crate) prefix: String,
}

impl Draw {
    pub(crate) fn new(seed: u64, prefix: &str) -> Self {
        Self { random: Rng::with_seed(seed), prefix: prefix.to_owned() }
    }

    /// A key that commands like `name` use mostly, or any.
    pub(crate) fn key(&mut self, name: &str) -> String {
        let kind = if self.random.u8(..4) > 0 {
            name.bytes().next()
        } else {
            self.random.choice(b"SHLZXP".iter().copied())
        };
        format!("{}key:{}:{}", self.prefix, char::from(kind.unwrap_or(b'S')), self.random.u8(..3))
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.random.u8(..20) {
            0 => 0,
            1 => self.random.usize(..100_000),
            _ => self.random.usize(..30),
        };
        (0..length).map(|_| self.random.u8(..)).collect()
    }

    pub(crate) fn command(&mut self) -> Cmd {
        let form = FORMS[self.random.usize(..FORMS.len())];
        if form == "DBSIZE" && !self.prefix.is_empty() {
            // Others' keys count, too.
            return self.command();
        }
        let mut words = form.split(' ');
        let mut command = cmd(words.next().expect("a name"));
        for word in words {
            match word {
                "k" => command.arg(self.key(form)),
                "f" => command.arg(format!("field:{}", self.random.u8(..6))),
                "n" => command.arg(self.random.i16(-50..200)),
                "v" => command.arg(self.value()),
                other => command.arg(
                    other
                        .strip_prefix('n')
                        .filter(|_| other == "n-1")
                        .map_or_else(|| other.to_owned(), |rest| format!("{}{rest}", self.random.u16(1..))),
                ),
            };
        }
        command
    }

    pub(crate) fn pipeline(&mut self) -> Pipeline {
        let mut pipeline = pipe();
        for _ in 0..self.random.u8(..8) {
            pipeline.add_command(self.command());
            if self.random.bool() {
                pipeline.ignore();
            }
        }
        if self.random.bool() {
            pipeline.atomic();
        }
        if self.random.bool() {
            pipeline.ignore_errors();
        }
        pipeline
    }
}

/// What a caller gets to see.
pub(crate) fn seen(reply: &RedisResult<Value>) -> String {
    match reply {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("refused, {:?}: {error}", error.kind()),
    }
}
