//! The bytes of a connection, cut into whole replies. It reads RESP2, as all our connections speak, and gives no reply
//! a meaning.

use std::io;

use redis::{RedisResult, Value};

/// Bytes that came and were not read yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// What stands before was read.
    start: usize,
}

/// More than a reply needs to be known as one of which more is to come.
const DEEPEST: usize = 8;

/// How much is read at a time.
const ROOM: usize = 16 << 10;

/// What one large message took is given back.
const KEPT: usize = 1 << 20;

impl Frames {
    /// Where what comes next goes: behind what is there.
    pub(super) fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..std::mem::take(&mut self.start));
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        // Many small messages are read at a time.
        self.bytes.reserve(ROOM);
        &mut self.bytes
    }

    /// The next reply, if it is whole.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn next(&mut self) -> RedisResult<Option<Value>> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let Some(length) = length(rest, DEEPEST)? else { return Ok(None) };
        let value = redis::parse_redis_value(&rest[..length])?;
        self.start += length;
        Ok(Some(value))
    }
}

/// How long the first reply in `bytes` is; `None` while some of it is missing.
fn length(bytes: &[u8], depth: usize) -> io::Result<Option<usize>> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let header = end + 1;
    if matches!(kind, b'+' | b'-' | b':') {
        return Ok(Some(header));
    }
    let number = str::from_utf8(&bytes[1..end]).ok().and_then(|text| text.trim_end().parse::<i64>().ok());
    // Negative is the number of what is not there.
    let count = match number {
        Some(number) => usize::try_from(number).ok(),
        None => return Err(nonsense()),
    };
    match (kind, count) {
        (b'$' | b'*', None) => Ok(Some(header)),
        (b'$', Some(count)) => {
            let whole = count.checked_add(header + 2).ok_or_else(nonsense)?;
            Ok((bytes.len() >= whole).then_some(whole))
        }
        (b'*', Some(count)) if depth > 0 => {
            let mut whole = header;
            for _ in 0..count {
                match length(&bytes[whole..], depth - 1)? {
                    Some(length) => whole += length,
                    None => return Ok(None),
                }
            }
            Ok(Some(whole))
        }
        _ => Err(nonsense()),
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server sent what is no reply")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out when these bytes come in so many at a time.
    fn read(bytes: &[u8], at_a_time: usize) -> Vec<Value> {
        let (mut frames, mut values) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(at_a_time) {
            frames.space().extend_from_slice(piece);
            while let Some(value) = frames.next().expect("replies") {
                values.push(value);
            }
        }
        assert_eq!(frames.space().len(), 0, "nothing is left");
        values
    }

    #[test]
    fn replies_come_out_whole_however_their_bytes_come_in() {
        let bytes = b"+PONG\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n-ERR no\r\n:7\r\n$-1\r\n*-1\r\n*0\r\n\
                      *2\r\n*1\r\n$0\r\n\r\n:1\r\n";
        let whole = read(bytes, bytes.len());
        assert_eq!(whole.len(), 8);
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(whole[1], Value::Array(vec![text("message"), text("c"), text("a\r\nb")]));
        assert_eq!(whole[7], Value::Array(vec![Value::Array(vec![text("")]), Value::Int(1)]));
        for at_a_time in 1..20 {
            assert_eq!(read(bytes, at_a_time), whole, "{at_a_time} at a time");
        }
    }

    #[test]
    fn there_is_room_for_many_small_messages_and_none_is_kept_after_a_large_one() {
        let mut frames = Frames::default();
        assert!(frames.space().capacity() >= ROOM);
        let large = format!("${}\r\n{}\r\n", 2 * KEPT, "x".repeat(2 * KEPT));
        frames.space().extend_from_slice(large.as_bytes());
        assert!(frames.next().expect("a reply").is_some());
        let space = frames.space();
        assert!((ROOM..KEPT).contains(&space.capacity()), "{}", space.capacity());
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let deep = "*1\r\n".repeat(DEEPEST + 2);
        for text in ["HTTP/1.1 400\r\n", "$x\r\n", "%1\r\n", "$9223372036854775807\r\n", &deep] {
            let mut frames = Frames::default();
            frames.space().extend_from_slice(text.as_bytes());
            // A length that no memory holds is waited for, and never made room for.
            let refused = frames.next().is_err();
            assert_eq!(refused, !text.starts_with("$9"), "{text}");
        }
    }
}
