//! The Redis protocol as a server speaks it: requests out of bytes, replies into bytes, in versions 2 and 3.
//!
//! It knows no command, does no I/O, and never panics on what a stranger sent. A request is found where it lies:
//! nothing is copied, and nothing is set aside for what was only announced.

mod reply;

use std::ops::Range;

pub(crate) use reply::{Reply, Version};

/// How much a stranger may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The bytes of one request, its framing counted.
    pub(crate) request: usize,
    /// The words of one request.
    pub(crate) words: usize,
}

/// A request that lies whole in a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where its words lie; of a line typed by hand, with quotes and escapes still in them. Empty where the client sent
    /// an empty line or array, which asks for nothing.
    pub(crate) words: Vec<Range<usize>>,
    /// How many bytes of the buffer it takes.
    pub(crate) length: usize,
    /// Whether it is a line typed by hand.
    pub(crate) inline: bool,
}

/// What was sent is no request; what follows it can't be told from it, so that the connection must end. The text is
/// Redis's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The number of words is none, or too many.
    #[error("Protocol error: invalid multibulk length")]
    WordCount,
    /// The length of a word is none, or too many bytes.
    #[error("Protocol error: invalid bulk length")]
    WordLength,
    /// A word does not begin as one.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0).escape_default())]
    NoWord(u8),
    /// A line goes on for too long.
    #[error("Protocol error: too big inline request")]
    Line,
    /// A line typed by hand opens a quote and does not close it, or goes on right after it.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    /// A browser was made to call: it must not be able to smuggle commands in.
    #[error("Protocol error: this is no web server")]
    Web,
}

/// The longest line that tells a number: a sign and twenty digits do.
const NUMBER_LINE: usize = 32;

/// The first request in `bytes`; `None` where more bytes are needed to tell.
///
/// # Errors
/// When no bytes that may follow would make it a request within `limits`.
pub(crate) fn find(bytes: &[u8], limits: Limits) -> Result<Option<Frame>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(b'*') => find_array(bytes, limits),
        Some(_) => find_line(bytes, limits),
    }
}

fn find_array(bytes: &[u8], limits: Limits) -> Result<Option<Frame>, Malformed> {
    let Some((count, mut at)) = number(bytes, 1, Malformed::WordCount)? else { return Ok(None) };
    let count = match usize::try_from(count) {
        // Redis takes a negative number for an empty request.
        Err(_) => 0,
        Ok(count) if count > limits.words => return Err(Malformed::WordCount),
        Ok(count) => count,
    };
    let mut words = Vec::new();
    for _ in 0..count {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(Malformed::NoWord(*other)),
        }
        let Some((length, begin)) = number(bytes, at + 1, Malformed::WordLength)? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Malformed::WordLength)?;
        if length > limits.request.saturating_sub(begin + 2) {
            return Err(Malformed::WordLength);
        }
        let end = begin + length;
        // Redis does not look at these two bytes either.
        if bytes.len() < end + 2 {
            return Ok(None);
        }
        words.push(begin..end);
        at = end + 2;
        if at > limits.request {
            return Err(Malformed::WordLength);
        }
    }
    Ok(Some(Frame { words, length: at, inline: false }))
}

/// The number in the line that begins at `from`, and where the next one begins.
fn number(bytes: &[u8], from: usize, wrong: Malformed) -> Result<Option<(i64, usize)>, Malformed> {
    let line = &bytes[from..bytes.len().min(from + NUMBER_LINE)];
    let Some(end) = line.iter().position(|byte| *byte == b'\r') else {
        return if line.len() == NUMBER_LINE { Err(wrong) } else { Ok(None) };
    };
    let number = std::str::from_utf8(&line[..end]).ok().and_then(|text| text.parse().ok()).ok_or(wrong)?;
    let next = from + end + 2;
    Ok((bytes.len() >= next).then_some((number, next)))
}

/// The longest line that is read.
const LINE: usize = 64 << 10;

fn find_line(bytes: &[u8], limits: Limits) -> Result<Option<Frame>, Malformed> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() >= LINE.min(limits.request) { Err(Malformed::Line) } else { Ok(None) };
    };
    if end >= LINE.min(limits.request) {
        return Err(Malformed::Line);
    }
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let words = split(line)?;
    let first = words.first().map(|word| &line[word.clone()]).unwrap_or_default();
    if first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:") {
        return Err(Malformed::Web);
    }
    if words.len() > limits.words {
        return Err(Malformed::WordCount);
    }
    Ok(Some(Frame { words, length: end + 1, inline: true }))
}

/// Where the words of a line lie, their quotes with them.
fn split(line: &[u8]) -> Result<Vec<Range<usize>>, Malformed> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < line.len() {
        if line[at].is_ascii_whitespace() || line[at] == 0 {
            at += 1;
            continue;
        }
        let begin = at;
        while at < line.len() && !line[at].is_ascii_whitespace() {
            if matches!(line[at], b'"' | b'\'') {
                at = past_quotes(line, at)?;
                // What is quoted ends the word.
                break;
            }
            at += 1;
        }
        words.push(begin..at);
    }
    Ok(words)
}

/// The place after the quoted text that begins at `from`.
fn past_quotes(line: &[u8], from: usize) -> Result<usize, Malformed> {
    let quote = line[from];
    let mut at = from + 1;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if quote == b'"' || line.get(at + 1) == Some(&b'\'') => at += 2,
            byte if *byte == quote => {
                let ends = line.get(at + 1).is_none_or(u8::is_ascii_whitespace);
                return if ends { Ok(at + 1) } else { Err(Malformed::Quotes) };
            }
            _ => at += 1,
        }
    }
    Err(Malformed::Quotes)
}

impl Frame {
    /// Its words, out of the buffer that it was found in.
    pub(crate) fn words(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let words = self.words.iter().map(|word| &bytes[word.clone()]);
        words.map(|word| if self.inline { unquoted(word) } else { word.to_vec() }).collect()
    }
}

/// A word of a line without its quotes, and what its escapes stand for.
fn unquoted(word: &[u8]) -> Vec<u8> {
    let Some(open) = word.iter().position(|byte| matches!(byte, b'"' | b'\'')) else { return word.to_vec() };
    let (mut plain, quote) = (word[..open].to_vec(), word[open]);
    let mut rest = &word[open + 1..word.len().saturating_sub(1).max(open + 1)];
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let next = after.first().copied();
        let (meant, taken) = match (byte, quote, next) {
            (b'\\', b'\'', Some(b'\'')) => (b'\'', 1),
            (b'\\', b'"', Some(b'x')) => match hex(&after[1..]) {
                Some(byte) => (byte, 3),
                None => (b'x', 1),
            },
            (b'\\', b'"', Some(b'n')) => (b'\n', 1),
            (b'\\', b'"', Some(b'r')) => (b'\r', 1),
            (b'\\', b'"', Some(b't')) => (b'\t', 1),
            (b'\\', b'"', Some(b'b')) => (0x08, 1),
            (b'\\', b'"', Some(b'a')) => (0x07, 1),
            (b'\\', b'"', Some(other)) => (other, 1),
            (byte, ..) => (*byte, 0),
        };
        plain.push(meant);
        rest = &rest[taken..];
    }
    plain
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
