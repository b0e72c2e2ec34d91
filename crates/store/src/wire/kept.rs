//! The state file of the embedded store: all znodes that it keeps, with the very bytes of each. It never decides what a
//! znode means.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Kept, KeptZnode};

/// The format of a state file that is written, and the greatest that is understood.
pub(crate) const STATE_FILE_FORMAT: u64 = 1;

/// What a state file says of itself.
const WHAT: &str = "redis-failover embedded store";

/// Far from where adding to it could overflow.
const GREATEST: i64 = i64::MAX >> 2;

/// Why the content of a state file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is none, or is damaged.
    Garbage(String),
    /// A newer version wrote it.
    NewerFormat(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileV1 {
    format: u64,
    what: String,
    transaction: i64,
    znodes: BTreeMap<String, ZnodeV1>,
}

/// A znode: its data is in the first of `json`, `text` and `base64` that can give the same bytes again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZnodeV1 {
    created: i64,
    modified: i64,
    version: i32,
    child_changes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The file that holds all of `kept`.
pub(crate) fn kept_bytes(kept: &Kept) -> Vec<u8> {
    let znode = |(path, znode): (&String, &KeptZnode)| (path.clone(), ZnodeV1::from(znode));
    let file = FileV1 {
        format: STATE_FILE_FORMAT,
        what: WHAT.to_owned(),
        transaction: kept.transaction,
        znodes: kept.znodes.iter().map(znode).collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&file).expect("texts and numbers are always JSON");
    bytes.push(b'\n');
    bytes
}

/// What a file holds.
///
/// # Errors
/// Where it is none, contradicts itself, or is of a newer format.
pub(crate) fn parse_kept(bytes: &[u8]) -> Result<Kept, Unusable> {
    let garbage = |error: serde_json::Error| Unusable::Garbage(error.to_string());
    let value: Value = serde_json::from_slice(bytes).map_err(garbage)?;
    match (value["what"].as_str(), value["format"].as_u64()) {
        (Some(WHAT), Some(format)) if format > STATE_FILE_FORMAT => {
            return Err(Unusable::NewerFormat(format));
        }
        (Some(WHAT), Some(STATE_FILE_FORMAT)) => {}
        _ => return Err(Unusable::Garbage("it does not say that it is one".to_owned())),
    }
    let file = FileV1::deserialize(value).map_err(garbage)?;
    let wrong = |path: &str, why: &str| Unusable::Garbage(format!("its znode {path} {why}"));
    let mut znodes = BTreeMap::new();
    for (path, znode) in file.znodes {
        let parent = path.rsplit_once('/').map(|(parent, name)| (parent.to_owned(), name.is_empty()));
        // Sorted by their paths: a parent comes before what is below it.
        match parent {
            Some((parent, false)) if parent.is_empty() || znodes.contains_key(&parent) => {}
            _ => return Err(wrong(&path, "is below none")),
        }
        let ordered = 0 <= znode.created && znode.created <= znode.modified;
        if !ordered || znode.modified > file.transaction || znode.version < 0 {
            return Err(wrong(&path, "has numbers that contradict each other"));
        }
        let kept = znode.kept().ok_or_else(|| wrong(&path, "has no data that can be read"))?;
        znodes.insert(path, kept);
    }
    if !(0..=GREATEST).contains(&file.transaction) {
        return Err(Unusable::Garbage(format!("its transaction {} is none", file.transaction)));
    }
    Ok(Kept { transaction: file.transaction, znodes })
}

impl From<&KeptZnode> for ZnodeV1 {
    fn from(znode: &KeptZnode) -> Self {
        let KeptZnode { created, modified, version, child_changes, data } = znode;
        let (created, modified, version, child_changes) = (*created, *modified, *version, *child_changes);
        let (mut json, mut text, mut base64) = (None, None, None);
        let same = |value: &Value| serde_json::to_vec(value).is_ok_and(|bytes| bytes == *data);
        if let Some(value) = serde_json::from_slice(data).ok().filter(Value::is_object).filter(same) {
            json = Some(value);
        } else if let Ok(words) = std::str::from_utf8(data) {
            text = (!words.is_empty()).then(|| words.to_owned());
        } else {
            base64 = Some(BASE64_STANDARD.encode(data));
        }
        Self { created, modified, version, child_changes, json, text, base64 }
    }
}

impl ZnodeV1 {
    fn kept(self) -> Option<KeptZnode> {
        let Self { created, modified, version, child_changes, json, text, base64 } = self;
        let data = match (json, text, base64) {
            (None, None, None) => Vec::new(),
            (Some(value), None, None) => serde_json::to_vec(&value).ok()?,
            (None, Some(text), None) => text.into_bytes(),
            (None, None, Some(base64)) => BASE64_STANDARD.decode(base64).ok()?,
            _ => return None,
        };
        Some(KeptZnode { data, created, modified, version, child_changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(data: &[u8]) -> Kept {
        let znode =
            KeptZnode { data: data.to_owned(), created: 3, modified: 5, version: 1, child_changes: 2 };
        Kept { transaction: 7, znodes: [("/g".to_owned(), znode)].into() }
    }

    #[test]
    fn every_byte_of_a_znode_is_read_back_and_documents_are_readable() {
        let documents: [(&[u8], &str); 9] = [
            (br#"{"b":1,"a":[2.5,"x"]}"#, r#""json": {"#),
            (br#"{"a": 1}"#, r#""text": "{\"a\": 1}""#),
            (br#"{"a":1,"a":2}"#, r#""text""#),
            (br#"{"a":123456789012345678901234567890}"#, r#""text""#),
            (b"null", r#""text": "null""#),
            (b"not ours", r#""text": "not ours""#),
            (b"", r#""child_changes": 2"#),
            (b"\xff\x00", r#""base64": "/wA=""#),
            (br#"{"a":0.1,"b":1e-7,"c":5e-324,"d":"\u0000"}"#, r#""json": {"#),
        ];
        for (data, written) in documents {
            let bytes = kept_bytes(&kept(data));
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(written), "{text}");
            assert_eq!(parse_kept(&bytes), Ok(kept(data)), "{text}");
        }
    }

    #[test]
    fn what_is_no_state_file_or_contradicts_itself_is_not_taken_for_one() {
        let right = String::from_utf8(kept_bytes(&kept(b"x"))).unwrap();
        for (from, to, why) in [
            (right.as_str(), "", "EOF"),
            (right.as_str(), "{}", "does not say"),
            (right.as_str(), "[1]", "does not say"),
            ("embedded store", "other store", "does not say"),
            (r#""format": 1"#, r#""format": 0"#, "does not say"),
            (r#""/g""#, r#""g""#, "below none"),
            (r#""/g""#, r#""/""#, "below none"),
            (r#""/g""#, r#""/a/g""#, "below none"),
            (r#""created": 3"#, r#""created": 6"#, "contradict"),
            (r#""created": 3"#, r#""created": -3"#, "contradict"),
            (r#""version": 1"#, r#""version": -1"#, "contradict"),
            (r#""transaction": 7"#, r#""transaction": 4"#, "contradict"),
            (r#""transaction": 7"#, r#""transaction": 9223372036854775807"#, "is none"),
            (r#""text": "x""#, r#""text": "x", "json": {}"#, "no data"),
            (r#""text": "x""#, r#""base64": "?""#, "no data"),
            (r#""version": 1"#, r#""version": 1, "more": 1"#, "more"),
        ] {
            let text = right.replace(from, to);
            assert_ne!(text, right, "{from}");
            match parse_kept(text.as_bytes()) {
                Err(Unusable::Garbage(said)) => assert!(said.contains(why), "{text}: {said}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let newer = right.replace(r#""format": 1"#, r#""format": 2, "more": 1"#);
        assert_eq!(parse_kept(newer.as_bytes()), Err(Unusable::NewerFormat(2)));
        for end in 1..right.trim_end().len() {
            assert!(parse_kept(&right.as_bytes()[..end]).is_err(), "the first {end} bytes");
        }
    }
}
