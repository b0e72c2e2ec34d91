//! What a Redis server answers, in RESP2.
//!
//! It reads replies and never writes them, and knows no RESP3: a connection that never says `HELLO` gets none.

use std::io::BufRead;

use anyhow::{Context, Result, bail, ensure};

/// One reply.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// A simple or a bulk string.
    Text(String),
    /// A number.
    Integer(i64),
    /// No string or no array.
    Nothing,
    /// Replies in order.
    Array(Vec<Reply>),
}

/// Far deeper than any server answers; without an end, a broken reply could exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Reads one reply.
///
/// # Errors
///
/// When the input ends or breaks the protocol, and when the server answers with an error.
pub(super) fn read(input: &mut impl BufRead) -> Result<Reply> {
    read_at(input, 0)
}

fn read_at(input: &mut impl BufRead, depth: usize) -> Result<Reply> {
    ensure!(depth <= MAX_DEPTH, "the reply is nested too deeply");
    let line = read_line(input)?;
    let (kind, rest) = line.split_at_checked(1).context("a reply without a type")?;
    match kind {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => bail!("the server answers: {rest}"),
        ":" => Ok(Reply::Integer(rest.parse().with_context(|| format!("`{rest}` is no number"))?)),
        "$" => match length(rest)? {
            None => Ok(Reply::Nothing),
            Some(length) => read_bulk(input, length),
        },
        "*" => match length(rest)? {
            None => Ok(Reply::Nothing),
            Some(length) => {
                let replies = (0..length).map(|_| read_at(input, depth + 1));
                Ok(Reply::Array(replies.collect::<Result<_>>()?))
            }
        },
        _ => bail!("`{line}` begins no reply"),
    }
}

/// None where there is nothing, which is written as -1.
fn length(text: &str) -> Result<Option<usize>> {
    if text == "-1" {
        return Ok(None);
    }
    text.parse().map(Some).with_context(|| format!("`{text}` is no length"))
}

fn read_line(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").context("the server closed the connection")?;
    Ok(line.to_owned())
}

fn read_bulk(input: &mut impl BufRead, length: usize) -> Result<Reply> {
    let mut bytes = vec![0; length + 2];
    input.read_exact(&mut bytes).context("the server closed the connection")?;
    ensure!(bytes.ends_with(b"\r\n"), "a string is longer than its length");
    bytes.truncate(length);
    Ok(Reply::Text(String::from_utf8(bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Result<Reply> {
        read(&mut text.as_bytes())
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        let text = "*5\r\n+OK\r\n:-3\r\n$2\r\na\n\r\n$-1\r\n*2\r\n*0\r\n*-1\r\n";
        let inner = Reply::Array(vec![Reply::Array(vec![]), Reply::Nothing]);
        let expected =
            [Reply::Text("OK".into()), Reply::Integer(-3), Reply::Text("a\n".into()), Reply::Nothing, inner];
        assert_eq!(reply(text).unwrap(), Reply::Array(expected.into()));
    }

    #[test]
    fn an_error_of_the_server_is_ours() {
        let error = reply("-NOPERM no\r\n").unwrap_err().to_string();
        assert_eq!(error, "the server answers: NOPERM no");
    }

    #[test]
    fn what_is_broken_is_refused() {
        let deep = "*1\r\n".repeat(MAX_DEPTH + 2);
        for text in
            ["", "\r\n", "+OK", "+OK\n", ":x\r\n", "$3\r\nab\r\n", "$1\r\nab\r\n", "*-2\r\n", "?\r\n", &deep]
        {
            assert!(reply(text).is_err(), "{text:?}");
        }
    }
}
