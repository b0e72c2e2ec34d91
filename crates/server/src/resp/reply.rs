//! What is answered, and how each version of the protocol writes it.

use std::fmt::Write as _;

/// Which version of the protocol a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// RESP2, in which every client begins.
    #[default]
    Two,
    /// RESP3, asked for by HELLO 3.
    Three,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A word such as `OK`.
    Simple(String),
    /// An error: its code, a space, and what is wrong.
    Error(String),
    /// A number.
    Integer(i64),
    /// A text.
    Bulk(String),
    /// A text for people to read, with its line ends.
    Verbatim(String),
    /// No text.
    Null,
    /// No array.
    NullArray,
    /// Several replies.
    Array(Vec<Reply>),
    /// Named replies; version 2 writes names and values in turn.
    Map(Vec<(Reply, Reply)>),
    /// What nobody asked for: version 2 writes an array.
    Push(Vec<Reply>),
}

impl Reply {
    /// `OK`.
    pub(crate) fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// A text.
    #[expect(clippy::needless_pass_by_value, reason = "texts and numbers alike, as they come")]
    pub(crate) fn bulk(text: impl ToString) -> Self {
        Self::Bulk(text.to_string())
    }

    /// A number, as large as one can be told.
    pub(crate) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Appends it as `version` writes it.
    pub(crate) fn write(&self, version: Version, out: &mut String) {
        let three = version == Version::Three;
        // Writing into a String does not fail.
        let _ = match self {
            Self::Simple(word) => write!(out, "+{}\r\n", one_line(word)),
            Self::Error(error) => write!(out, "-{}\r\n", one_line(error)),
            Self::Integer(number) => write!(out, ":{number}\r\n"),
            Self::Verbatim(text) if three => write!(out, "={}\r\ntxt:{text}\r\n", text.len() + 4),
            Self::Bulk(text) | Self::Verbatim(text) => write!(out, "${}\r\n{text}\r\n", text.len()),
            Self::Null | Self::NullArray if three => write!(out, "_\r\n"),
            Self::Null => write!(out, "$-1\r\n"),
            Self::NullArray => write!(out, "*-1\r\n"),
            Self::Array(items) => write!(out, "*{}\r\n", items.len()),
            Self::Push(items) => write!(out, "{}{}\r\n", if three { '>' } else { '*' }, items.len()),
            Self::Map(pairs) if three => write!(out, "%{}\r\n", pairs.len()),
            Self::Map(pairs) => write!(out, "*{}\r\n", pairs.len() * 2),
        };
        match self {
            Self::Array(items) | Self::Push(items) => {
                for item in items {
                    item.write(version, out);
                }
            }
            Self::Map(pairs) => {
                for item in pairs.iter().flat_map(|(name, value)| [name, value]) {
                    item.write(version, out);
                }
            }
            _ => {}
        }
    }
}

/// A line end would end the reply in the middle of it.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
