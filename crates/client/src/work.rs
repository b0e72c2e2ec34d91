//! A command or a pipeline on its way: how it is sent, and what its reply means for it.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerError, ServerErrorKind, Value};
use redis_failover_core::routing::{
    Refusal, Route, Step, changes_nothing, fails_whole, route, route_of_name, route_pipeline,
};

use crate::outcome::{Outcome, outcome};

/// What is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Work<'a> {
    Command(&'a Cmd),
    /// A pipeline, how many replies to skip, and how many to keep.
    Pipeline(&'a Pipeline, usize, usize),
}

/// What came back: one value for a command, one for each of a pipeline's kept replies.
#[derive(Debug)]
pub(crate) enum Reply {
    One(Value),
    Many(Vec<Value>),
}

impl Reply {
    pub(crate) fn into_one(self) -> Value {
        match self {
            Self::One(value) => value,
            Self::Many(values) => Value::Array(values),
        }
    }

    pub(crate) fn into_many(self) -> Vec<Value> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// What a reply means for the work.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the caller's.
    Done(RedisResult<Reply>),
    /// The node refused it before it began, and another may not.
    Refused(ServerError),
    /// No whole reply came.
    Broken(RedisError),
}

/// The last command's route: most callers send the same few commands, and looking one up takes half of all the time
/// that we add to a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recent {
    name: [u8; 16],
    length: usize,
    route: Option<Route>,
}

impl Recent {
    pub(crate) fn route(&mut self, command: &Cmd) -> Route {
        let Some(name) = name(command) else { return route_command(command) };
        if let Some(route) = self.route
            && name == &self.name[..self.length]
        {
            return route;
        }
        if let (Some(place), Some(route)) = (self.name.get_mut(..name.len()), route_of_name(name)) {
            place.copy_from_slice(name);
            (self.length, self.route) = (name.len(), Some(route));
            return route;
        }
        route_command(command)
    }
}

impl Work<'_> {
    /// The command's name as it was given, or what stands for a pipeline.
    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::Command(command) => name(command).unwrap_or_default(),
            Self::Pipeline(pipeline, ..) if pipeline.is_transaction() => b"MULTI",
            Self::Pipeline(..) => b"PIPELINE",
        }
    }

    /// Where it may go.
    pub(crate) fn route(self, recent: &mut Recent) -> Route {
        match self {
            Self::Command(command) => recent.route(command),
            Self::Pipeline(pipeline, ..) => {
                route_pipeline(pipeline.cmd_iter().map(route_command), pipeline.is_transaction())
            }
        }
    }

    /// What it does to its connection, and the place of each step among all that is sent.
    pub(crate) fn steps(self) -> Vec<(usize, Step)> {
        let step = |(place, command)| match route_command(command) {
            Route::Session(step) => Some((place, step)),
            _ => None,
        };
        match self {
            Self::Command(command) => step((0, command)).into_iter().collect(),
            // Its commands are queued, between MULTI and EXEC.
            Self::Pipeline(pipeline, ..) if pipeline.is_transaction() => {
                vec![(pipeline.len() + 1, Step::Exec)]
            }
            Self::Pipeline(pipeline, ..) => pipeline.cmd_iter().enumerate().filter_map(step).collect(),
        }
    }

    /// The reply of an EXEC that executes nothing, if this is EXEC or an atomic pipeline. Others have commands that
    /// must not get it.
    pub(crate) fn nil_of_exec(self) -> Option<Reply> {
        match self {
            Self::Command(command) => {
                (route_command(command) == Route::Session(Step::Exec)).then_some(Reply::One(Value::Nil))
            }
            Self::Pipeline(pipeline, _, keep) => {
                pipeline.is_transaction().then(|| Reply::Many(vec![Value::Nil; keep]))
            }
        }
    }

    /// How many bytes it is on its way to the server.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Command(command) => size(command),
            Self::Pipeline(pipeline, ..) => {
                let wrapped = ["MULTI", "EXEC"].map(|word| size(&redis::cmd(word)));
                let around = if pipeline.is_transaction() { wrapped.iter().sum() } else { 0 };
                around + pipeline.cmd_iter().map(size).sum::<usize>()
            }
        }
    }

    /// Whether it may change data. What is not known may.
    pub(crate) fn may_write(self) -> bool {
        let may = |command| !name(command).is_some_and(changes_nothing);
        match self {
            Self::Command(command) => may(command),
            Self::Pipeline(pipeline, ..) => pipeline.cmd_iter().any(may),
        }
    }

    /// Sends it once.
    pub(crate) async fn send(self, connection: &mut MultiplexedConnection) -> RedisResult<Reply> {
        match self {
            Self::Command(command) => connection.send_packed_command(command).await.map(Reply::One),
            Self::Pipeline(pipeline, skip, keep) => {
                connection.req_packed_commands(pipeline, skip, keep).await.map(Reply::Many)
            }
        }
    }

    /// What its reply means.
    pub(crate) fn judge(self, reply: RedisResult<Reply>) -> Verdict {
        match reply {
            Ok(Reply::One(Value::ServerError(error))) if is_refusal(&error) && self.fails_whole() => {
                Verdict::Refused(error)
            }
            Ok(Reply::Many(values)) => match self.refusal_in(&values) {
                Some(error) => Verdict::Refused(error),
                None => Verdict::Done(Ok(Reply::Many(values))),
            },
            Ok(reply) => Verdict::Done(Ok(reply)),
            // Half a reply does not parse, and what is no reply was answered to nobody. Nothing is converted yet.
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) => Verdict::Broken(error),
            // A transaction whose commands were refused while they were queued: nothing of it was executed.
            Err(error)
                if error.kind() == ErrorKind::Server(ServerErrorKind::ExecAbort)
                    && outcome(&error) == Outcome::NotExecuted =>
            {
                let errors = error.clone().into_server_errors();
                match errors.as_deref().unwrap_or_default().iter().find(|(_, error)| is_refusal(error)) {
                    Some((_, refusal)) => Verdict::Refused(refusal.clone()),
                    None => Verdict::Done(Err(error)),
                }
            }
            Err(error) => Verdict::Done(Err(error)),
        }
    }

    /// Whether an error that is the reply means that nothing was done, or nothing that may not be done again.
    fn fails_whole(self) -> bool {
        match self {
            Self::Command(command) => name(command).is_some_and(|it| fails_whole(it) || changes_nothing(it)),
            Self::Pipeline(..) => false,
        }
    }

    /// The refusal in the replies of a pipeline of which nothing was executed that may not be executed again.
    fn refusal_in(self, values: &[Value]) -> Option<ServerError> {
        let Self::Pipeline(pipeline, skip, _) = self else { return None };
        let refusal = |value: &Value| match value {
            Value::ServerError(error) if is_refusal(error) => Some(error.clone()),
            _ => None,
        };
        let first = values.iter().find_map(refusal)?;
        if pipeline.is_transaction() {
            // There is one value, EXEC's; it was refused as a whole.
            return Some(first);
        }
        let unharmed = |(command, value): (&Cmd, &Value)| {
            let name = name(command).unwrap_or_default();
            changes_nothing(name) || refusal(value).is_some() && fails_whole(name)
        };
        // What was skipped is not known.
        let all = skip == 0 && pipeline.cmd_iter().zip(values).all(unharmed);
        all.then_some(first)
    }
}

/// Whether a node refused something because of what the node is or does now.
fn is_refusal(error: &ServerError) -> bool {
    match error.code() {
        "READONLY" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" => true,
        // EXEC repeats in its own words why.
        "EXECABORT" => error.details().is_some_and(|why| {
            ["READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS"].iter().any(|code| why.contains(code))
        }),
        _ => false,
    }
}

fn name(command: &Cmd) -> Option<&[u8]> {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => Some(name),
        _ => None,
    }
}

/// How long the packed command is, without packing it.
fn size(command: &Cmd) -> usize {
    let header = |number: usize| "*".len() + digits(number) + "\r\n".len();
    let words = command.args_iter().map(|word| {
        let length = match word {
            redis::Arg::Simple(word) => word.len(),
            // A cursor, which redis-rs keeps elsewhere, is a number of 64 bits.
            _ => digits(usize::MAX),
        };
        header(length) + length + "\r\n".len()
    });
    header(words.len()) + words.sum::<usize>()
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

fn route_command(command: &Cmd) -> Route {
    let words = command.args_iter().skip(1).map(|word| match word {
        redis::Arg::Simple(word) => word,
        // A cursor, which redis-rs keeps elsewhere.
        _ => b"0".as_slice(),
    });
    name(command).map_or(Route::Refused(Refusal::SaysNothing), |name| route(name, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_what_is_sent() {
        let mut commands = vec![redis::cmd("PING")];
        for length in [0, 1, 9, 10, 99, 100, 12345] {
            let mut set = redis::cmd("SET");
            set.arg("k").arg(vec![b'x'; length]);
            commands.push(set);
        }
        let mut long = redis::cmd("MGET");
        long.arg((0..100).collect::<Vec<_>>());
        commands.push(long);
        let mut pipeline = redis::pipe();
        for command in commands {
            assert_eq!(Work::Command(&command).size(), command.get_packed_command().len());
            pipeline.add_command(command);
        }
        let size = |pipeline: &Pipeline| Work::Pipeline(pipeline, 0, 1).size();
        assert_eq!(size(&pipeline), pipeline.get_packed_pipeline().len());
        pipeline.atomic();
        assert_eq!(size(&pipeline), pipeline.get_packed_pipeline().len());
    }
}
