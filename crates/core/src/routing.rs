//! Where a command goes, judged by its words alone. It knows no node and no connection, and never guesses: what Redis
//! itself does not flag `readonly` goes to the master.

use std::fmt;

use crate::commands::{CommandFlags, flags_of};

/// Where a command may be sent, and what becomes of it when the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It only reads: any node that holds the data will do, and it may be repeated.
    Read,
    /// It reads on from a cursor, which means something only to the node that gave it. The cursor is the argument of
    /// this index, the command's name being 0.
    Cursor(usize),
    /// Only the master, and only once.
    Master,
    /// Only the master, on a connection of its own: it may block, and everything behind it would wait.
    Blocking,
    /// It begins or ends something that lasts on its connection.
    Session(Step),
    /// Not on a connection that others use as well.
    Refused(Refusal),
}

/// What a command does to the connection that it is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `WATCH`.
    Watch,
    /// `UNWATCH`.
    Unwatch,
    /// `MULTI`.
    Multi,
    /// `EXEC`.
    Exec,
    /// `DISCARD`.
    Discard,
}

/// Why a command is not sent, and what to use instead. It displays as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It turns the connection into a subscriber's.
    Subscribes,
    /// It turns the connection into a stream of something else than replies.
    Streams,
    /// It would change the database for everybody.
    ChangesDatabase,
    /// It would change who or what the connection is for everybody.
    ChangesConnection,
    /// It asks about writes that were sent before on the same connection.
    AsksAboutEarlierWrites,
    /// Its cursor means something only to the node that gave it, which need not be the pipeline's.
    ContinuesElsewhere,
    /// It has no words: Redis answers nothing to it, and every later reply would go to the wrong caller.
    SaysNothing,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribes => {
                "it would turn this shared connection into a subscriber's: subscribe with `pubsub()` of the client, \
                 which has a connection of its own and follows the master"
            }
            Self::Streams => {
                "it would turn this shared connection into a stream: open a connection with `redis::Client` at the \
                 node's address"
            }
            Self::ChangesDatabase => {
                "it would change the database of everybody on this connection: give the number to the builder, `db(N)`"
            }
            Self::ChangesConnection => {
                "it would change this connection for everybody on it: what the builder does not offer needs a \
                 connection of its own, with `redis::Client`"
            }
            Self::SaysNothing => "it has no words, and Redis gives no reply to that: leave it out",
            Self::ContinuesElsewhere => {
                "its cursor means something only to the node that gave it: send it alone, not in a pipeline"
            }
            Self::AsksAboutEarlierWrites => {
                "it asks about earlier writes of its own connection: send it in one pipeline with the write"
            }
        })
    }
}

/// Longer names are no command's.
const LONGEST: usize = 32;

/// What CLIENT does without changing the connection that it comes on.
const HARMLESS_TO_A_CONNECTION: [&[u8]; 11] = [
    b"getname",
    b"getredir",
    b"help",
    b"id",
    b"info",
    b"kill",
    b"list",
    b"pause",
    b"trackinginfo",
    b"unblock",
    b"unpause",
];

/// Whether an error that is the reply to a command of this name means that it did nothing.
///
/// Not so of scripts, which make errors of their own after they did something, and of what the table does not know.
pub fn fails_whole(name: &[u8]) -> bool {
    const SCRIPTS: [&[u8]; 6] = [b"eval", b"evalsha", b"eval_ro", b"evalsha_ro", b"fcall", b"fcall_ro"];
    flags_of(name, None).is_some() && !SCRIPTS.iter().any(|script| script.eq_ignore_ascii_case(name))
}

/// Whether a command of this name may be carried out twice without any difference to the data.
pub fn changes_nothing(name: &[u8]) -> bool {
    const NO_DATA: [&[u8]; 5] = [b"ping", b"echo", b"time", b"wait", b"waitaof"];
    NO_DATA.iter().any(|word| word.eq_ignore_ascii_case(name))
        || matches!(route_of_name(name), Some(Route::Read | Route::Cursor(_)))
}

/// Where every command of this name goes, if its other words make no difference.
pub fn route_of_name(name: &[u8]) -> Option<Route> {
    let alone = |flags: CommandFlags| !flags.is_container() && !flags.is_blocking();
    flags_of(name, None).is_some_and(alone).then(|| route(name, std::iter::empty()))
}

/// Where the command of these words goes; `name` is its first word, `rest` yields the others.
pub fn route<'a>(name: &[u8], mut rest: impl Iterator<Item = &'a [u8]>) -> Route {
    let mut lower = [0; LONGEST];
    let Some(word) = lower.get_mut(..name.len()) else { return Route::Master };
    word.copy_from_slice(name);
    word.make_ascii_lowercase();
    let first = rest.next();
    let is_first = |wanted: &[u8]| first.is_some_and(|first| first.eq_ignore_ascii_case(wanted));
    match &*word {
        b"scan" => Route::Cursor(1),
        b"hscan" | b"sscan" | b"zscan" => Route::Cursor(2),
        b"watch" => Route::Session(Step::Watch),
        b"unwatch" => Route::Session(Step::Unwatch),
        b"multi" => Route::Session(Step::Multi),
        b"exec" => Route::Session(Step::Exec),
        b"discard" => Route::Session(Step::Discard),
        b"subscribe" | b"psubscribe" | b"ssubscribe" | b"unsubscribe" | b"punsubscribe" | b"sunsubscribe" => {
            Route::Refused(Refusal::Subscribes)
        }
        b"monitor" | b"sync" | b"psync" | b"replconf" => Route::Refused(Refusal::Streams),
        b"select" => Route::Refused(Refusal::ChangesDatabase),
        b"auth" | b"hello" | b"quit" | b"reset" | b"readonly" | b"readwrite" | b"asking" | b"post"
        | b"host:" => Route::Refused(Refusal::ChangesConnection),
        b"script" if is_first(b"debug") => Route::Refused(Refusal::ChangesConnection),
        // Newer servers have more of them that change the connection, so those are named that do not.
        b"client" if first.is_some() && !HARMLESS_TO_A_CONNECTION.iter().any(|word| is_first(word)) => {
            Route::Refused(Refusal::ChangesConnection)
        }
        b"wait" | b"waitaof" => Route::Refused(Refusal::AsksAboutEarlierWrites),
        // These block only when they are told to.
        b"xread" | b"xreadgroup" => {
            let blocks = is_first(b"block") || rest.any(|word| word.eq_ignore_ascii_case(b"block"));
            if blocks { Route::Blocking } else { by_flags(flags_of(word, first), false) }
        }
        // Scripts are not replicated, and a client loads them where it writes. TOUCH is there to be felt by the master.
        b"evalsha_ro" | b"touch" => Route::Master,
        // Each node counts for itself how its keys are used.
        b"object" if is_first(b"idletime") || is_first(b"freq") => Route::Master,
        _ => by_flags(flags_of(word, first), true),
    }
}

/// `may_block` says whether Redis's flag for that is to be believed.
fn by_flags(flags: Option<CommandFlags>, may_block: bool) -> Route {
    match flags {
        Some(flags) if flags.is_blocking() && may_block => Route::Blocking,
        Some(flags) if flags.is_readonly() => Route::Read,
        _ => Route::Master,
    }
}

/// Where a pipeline of commands with these routes goes: whole to one node.
///
/// `atomic` says that it is wrapped into `MULTI` and `EXEC`.
pub fn route_pipeline(routes: impl Iterator<Item = Route>, atomic: bool) -> Route {
    let alone = if atomic { Route::Master } else { Route::Read };
    routes.map(in_pipeline).fold(alone, |whole, next| if weight(next) > weight(whole) { next } else { whole })
}

fn in_pipeline(route: Route) -> Route {
    match route {
        // It asks about the writes before it in the same pipeline; and waits for their replicas.
        Route::Refused(Refusal::AsksAboutEarlierWrites) => Route::Blocking,
        Route::Cursor(_) => Route::Refused(Refusal::ContinuesElsewhere),
        other => other,
    }
}

/// What the most demanding command wants is what the pipeline gets.
fn weight(route: Route) -> u8 {
    match route {
        Route::Read => 0,
        Route::Master => 1,
        Route::Blocking => 2,
        Route::Session(_) => 3,
        Route::Cursor(_) | Route::Refused(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Route {
        let mut words = command.split(' ').map(str::as_bytes);
        route(words.next().unwrap(), words)
    }

    #[test]
    fn only_what_redis_flags_readonly_goes_to_a_replica() {
        for command in [
            "GET a",
            "get a",
            "HGETALL h",
            "XRANGE s - +",
            "XINFO STREAM s",
            "EVAL_RO 1 0",
            "MGET a b",
            "GEORADIUSBYMEMBER_RO k m 1 m",
        ] {
            assert_eq!(of(command), Route::Read, "{command}");
        }
        for command in [
            "SET a 1",
            "EVAL 1 0",
            "EVALSHA x 0",
            "PUBLISH c m",
            "PING",
            "CONFIG GET x",
            "CONFIG SET x y",
            "SAVE",
            "GETEX a",
            "SORT l",
            "INFO",
            "NOSUCH.COMMAND a",
            "AVERYLONGNAMETHATNOCOMMANDHAS a",
            "TOUCH a",
            "EVALSHA_RO x 0",
            "CLIENT KILL x",
            "CLIENT LIST",
            "CLIENT UNBLOCK 7",
            "client trackinginfo",
            "OBJECT FREQ k",
            "DEBUG SLEEP 0",
        ] {
            assert_eq!(of(command), Route::Master, "{command}");
        }
    }

    #[test]
    fn what_blocks_has_a_connection_of_its_own() {
        for command in [
            "BLPOP l 0",
            "BZPOPMIN z 1",
            "XREAD BLOCK 0 STREAMS s $",
            "XREADGROUP GROUP g c block 1 STREAMS s >",
        ] {
            assert_eq!(of(command), Route::Blocking, "{command}");
        }
        assert_eq!(of("XREAD COUNT 1 STREAMS s 0"), Route::Read);
        assert_eq!(of("XREADGROUP GROUP g c STREAMS s >"), Route::Master);
    }

    #[test]
    fn what_would_change_a_shared_connection_is_refused() {
        for (command, refusal) in [
            ("SUBSCRIBE c", Refusal::Subscribes),
            ("MONITOR", Refusal::Streams),
            ("select 1", Refusal::ChangesDatabase),
            ("CLIENT REPLY OFF", Refusal::ChangesConnection),
            ("HELLO 3", Refusal::ChangesConnection),
            ("AUTH x", Refusal::ChangesConnection),
            ("RESET", Refusal::ChangesConnection),
            ("client tracking on", Refusal::ChangesConnection),
            ("CLIENT NO-EVICT ON", Refusal::ChangesConnection),
            ("CLIENT OF-TOMORROW", Refusal::ChangesConnection),
            ("CLIENT SETNAME x", Refusal::ChangesConnection),
            ("SCRIPT DEBUG YES", Refusal::ChangesConnection),
            ("REPLCONF ACK 0", Refusal::Streams),
            ("WAIT 1 0", Refusal::AsksAboutEarlierWrites),
        ] {
            assert_eq!(of(command), Route::Refused(refusal), "{command}");
        }
        assert_eq!(of("SCRIPT LOAD x"), Route::Master);
    }

    #[test]
    fn a_name_decides_alone_only_where_no_other_word_does() {
        for command in ["GET", "set", "EVAL", "SCAN", "WATCH", "SELECT", "EVALSHA_RO"] {
            assert_eq!(route_of_name(command.as_bytes()), Some(of(&format!("{command} x"))), "{command}");
        }
        for command in ["XREAD", "XREADGROUP", "CLIENT", "XINFO", "OBJECT", "BLPOP", "NO.SUCH"] {
            assert_eq!(route_of_name(command.as_bytes()), None, "{command}");
        }
    }

    #[test]
    fn only_what_fails_whole_is_believed_to_have_done_nothing() {
        for command in ["SET", "get", "PUBLISH", "EXEC", "XREADGROUP"] {
            assert!(fails_whole(command.as_bytes()), "{command}");
        }
        for command in ["EVAL", "evalsha", "FCALL", "EVAL_RO", "MODULE.CMD", ""] {
            assert!(!fails_whole(command.as_bytes()), "{command}");
        }
        for (command, nothing) in [
            ("GET", true),
            ("hscan", true),
            ("ping", true),
            ("WAIT", true),
            ("SET", false),
            ("PUBLISH", false),
        ] {
            assert_eq!(changes_nothing(command.as_bytes()), nothing, "{command}");
        }
    }

    #[test]
    fn cursors_and_sessions_are_known() {
        assert_eq!(of("SCAN 0 COUNT 10"), Route::Cursor(1));
        assert_eq!(of("HSCAN h 0"), Route::Cursor(2));
        assert_eq!(of("WATCH a"), Route::Session(Step::Watch));
        assert_eq!(of("EXEC"), Route::Session(Step::Exec));
    }

    #[test]
    fn a_pipeline_goes_whole_where_its_most_demanding_command_goes() {
        let whole = |commands: &[&str], atomic| route_pipeline(commands.iter().map(|it| of(it)), atomic);
        assert_eq!(whole(&["GET a", "GET b"], false), Route::Read);
        assert_eq!(whole(&["GET a", "GET b"], true), Route::Master);
        assert_eq!(whole(&["GET a", "SET b 1", "GET c"], false), Route::Master);
        assert_eq!(whole(&["SET a 1", "WAIT 1 100"], false), Route::Blocking);
        assert_eq!(whole(&["MULTI", "SET a 1", "EXEC"], false), Route::Session(Step::Multi));
        assert_eq!(whole(&["WATCH a", "BLPOP l 0"], false), Route::Session(Step::Watch));
        assert_eq!(whole(&["GET a", "SUBSCRIBE c"], false), Route::Refused(Refusal::Subscribes));
        assert_eq!(whole(&["SCAN 0"], false), Route::Refused(Refusal::ContinuesElsewhere));
    }
}
