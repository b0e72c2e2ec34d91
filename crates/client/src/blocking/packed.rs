//! Commands as redis-rs hands them to a blocking connection, packed, and taken apart again. What is not packed as it
//! packs them is refused whole, and never sent in part.

use std::io;

use redis::{Cmd, Pipeline, RedisError, RedisResult};

use crate::outcome::{Outcome, failure};
use crate::packed::words;

/// One packed command.
pub(super) fn command(packed: &[u8]) -> RedisResult<Cmd> {
    match all(packed).as_deref() {
        Some([words]) => Ok(owned(words)),
        _ => Err(unreadable()),
    }
}

/// A packed pipeline. Where replies are skipped it is a transaction, wrapped in MULTI and EXEC, which the pipeline says
/// in its own way.
pub(super) fn pipeline(packed: &[u8], skipped: usize) -> RedisResult<Pipeline> {
    let all = all(packed).ok_or_else(unreadable)?;
    let mut pipeline = redis::pipe();
    let commands = if skipped == 0 {
        all.as_slice()
    } else {
        let [multi, commands @ .., exec] = all.as_slice() else { return Err(unreadable()) };
        if *multi != [b"MULTI"] || *exec != [b"EXEC"] || skipped != commands.len() + 1 {
            return Err(unreadable());
        }
        pipeline.atomic();
        commands
    };
    for words in commands {
        pipeline.add_command(owned(words));
    }
    Ok(pipeline)
}

/// The words of all commands.
fn all(packed: &[u8]) -> Option<Vec<Vec<&[u8]>>> {
    let (mut commands, mut rest) = (Vec::new(), packed);
    while !rest.is_empty() {
        let (command, after) = words(rest)?;
        commands.push(command);
        rest = after;
    }
    Some(commands)
}

fn owned(words: &[&[u8]]) -> Cmd {
    let mut command = Cmd::new();
    command.arg(words);
    command
}

fn unreadable() -> RedisError {
    let what = "these bytes are no command, or no pipeline, as redis-rs packs it";
    failure(Outcome::NotExecuted, io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_as_it_was() {
        let mut set = redis::cmd("SET");
        set.arg(b"\r\n*1\r\n$4\r\n\0").arg("");
        let packed = set.get_packed_command();
        assert_eq!(command(&packed).expect("a command").get_packed_command(), packed);
        let mut scan = redis::cmd("SCAN");
        scan.cursor_arg(7);
        let packed = scan.get_packed_command();
        assert_eq!(command(&packed).expect("a command").get_packed_command(), packed);

        for atomic in [false, true] {
            for length in 0..3 {
                let mut whole = redis::pipe();
                for _ in 0..length {
                    whole.add_command(set.clone());
                }
                if atomic {
                    whole.atomic();
                }
                let (packed, skipped) = (whole.get_packed_pipeline(), if atomic { length + 1 } else { 0 });
                let again = pipeline(&packed, skipped).expect("a pipeline");
                assert_eq!((again.len(), again.is_transaction()), (length, atomic));
                assert_eq!(again.get_packed_pipeline(), packed);
            }
        }
    }

    #[test]
    fn what_is_not_packed_so_is_refused_whole() {
        let get = redis::cmd("GET").arg("a").get_packed_command();
        for end in 0..get.len() {
            let error = command(&get[..end]).expect_err("a part");
            assert_eq!(crate::outcome(&error), Outcome::NotExecuted);
        }
        assert!(command(&get.repeat(2)).is_err(), "two are not one");
        for wrong in [
            b"PING\r\n".as_slice(),
            b"*9999999999\r\n",
            b"*1\r\n$9999999999999\r\nPING\r\n",
            b"*1\r$4\r\nPING\r\n",
        ] {
            assert!(pipeline(wrong, 0).is_err());
        }
        let (mut atomic, plain) = (redis::pipe(), redis::pipe().get("a").get("b").get("c").clone());
        let packed = atomic.atomic().get("a").get_packed_pipeline();
        for skipped in [1, 3] {
            assert!(pipeline(&packed, skipped).is_err());
        }
        assert!(pipeline(&plain.get_packed_pipeline(), 2).is_err(), "nothing says MULTI");
    }
}
