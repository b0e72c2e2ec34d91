//! Cursors of SCAN, HSCAN, SSCAN and ZSCAN. A cursor means something only to the process that gave it: another node
//! would take it without a word and leave elements out. So the link's number is put into the cursor's upper bits, which
//! Redis does not use (they count the buckets of one hash table), and taken out when the cursor comes back.
//!
//! The number has 15 bits, so that the whole stays a positive 64-bit integer.

use redis::{Cmd, Value};

use crate::packed::words;

/// How many bits of a cursor are Redis's.
const BITS: u32 = 48;

/// A cursor as the caller has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The number of the link that gave it; 0 at the beginning.
    pub(crate) link: u16,
    /// As Redis knows it.
    pub(crate) place: u64,
}

impl Cursor {
    /// The cursor that is argument `at` of the command; `None` if there is no number.
    pub(crate) fn of(command: &Cmd, at: usize) -> Option<Self> {
        let packed = command.get_packed_command();
        let (words, _) = words(&packed)?;
        let number: u64 = str::from_utf8(words.get(at)?).ok()?.parse().ok()?;
        let link = u16::try_from(number >> BITS).ok()?;
        Some(Self { link, place: number & ((1 << BITS) - 1) })
    }

    /// The command as Redis is to see it.
    pub(crate) fn untagged(self, command: &Cmd, at: usize) -> Cmd {
        let packed = command.get_packed_command();
        let mut plain = Cmd::new();
        let words = words(&packed).map(|(words, _)| words);
        for (index, word) in words.unwrap_or_default().into_iter().enumerate() {
            if index == at {
                plain.arg(self.place)
            } else {
                plain.arg(word)
            };
        }
        plain
    }
}

/// The reply with the number of the link that gave it in its cursor. `Err` if that cannot be.
pub(crate) fn tagged(reply: Value, link: u16) -> Result<Value, Value> {
    let Value::Array(mut parts) = reply else { return Ok(reply) };
    let place = match parts.first() {
        Some(Value::BulkString(bytes)) => {
            str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok())
        }
        _ => None,
    };
    match place {
        None => return Err(Value::Array(parts)),
        Some(0) => {}
        Some(place) if place >> BITS != 0 => return Err(Value::Array(parts)),
        Some(place) => {
            let whole = place | u64::from(link) << BITS;
            parts[0] = Value::BulkString(whole.to_string().into_bytes());
        }
    }
    Ok(Value::Array(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cursor: &str) -> Value {
        Value::Array(vec![Value::BulkString(cursor.into()), Value::Array(vec![])])
    }

    #[test]
    fn a_cursor_comes_back_to_the_link_that_gave_it() {
        let Ok(Value::Array(parts)) = tagged(page("171"), 0x7fff) else { panic!("no page") };
        let Value::BulkString(cursor) = &parts[0] else { panic!("no cursor") };
        let mut command = redis::cmd("HSCAN");
        command.arg("key").arg(cursor).arg("COUNT").arg(10);
        let found = Cursor::of(&command, 2).expect("a cursor");
        assert_eq!(found, Cursor { link: 0x7fff, place: 171 });
        assert!(str::from_utf8(cursor).expect("text").parse::<i64>().is_ok(), "it stays positive");
        let mut plain = redis::cmd("HSCAN");
        plain.arg("key").arg("171").arg("COUNT").arg("10");
        assert_eq!(found.untagged(&command, 2).get_packed_command(), plain.get_packed_command());
    }

    #[test]
    fn beginning_and_end_are_left_alone() {
        assert_eq!(tagged(page("0"), 5), Ok(page("0")));
        assert_eq!(Cursor::of(redis::cmd("SCAN").arg(0), 1), Some(Cursor { link: 0, place: 0 }));
        // A cursor that redis-rs puts in itself.
        assert_eq!(Cursor::of(redis::cmd("SCAN").cursor_arg(7), 1), Some(Cursor { link: 0, place: 7 }));
    }

    #[test]
    fn what_is_no_cursor_is_no_cursor() {
        assert_eq!(Cursor::of(redis::cmd("SCAN").arg("x"), 1), None);
        assert_eq!(Cursor::of(&redis::cmd("SCAN"), 1), None);
        assert!(tagged(page("281474976710656"), 1).is_err());
        assert_eq!(tagged(Value::Nil, 1), Ok(Value::Nil));
    }
}
