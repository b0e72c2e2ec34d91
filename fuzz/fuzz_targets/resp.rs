//! Bytes from a stranger: none makes the parser of requests panic, read on after what it refused, take a request for a
//! longer one when more bytes follow, or go beyond its limits.
#![no_main]

#[path = "../../crates/server/src/resp/mod.rs"]
#[allow(dead_code, reason = "replies are written, not read")]
mod resp;

use libfuzzer_sys::fuzz_target;
use resp::{Limits, find};

const LIMITS: Limits = Limits { request: 256, words: 8 };

fuzz_target!(|bytes: &[u8]| {
    let whole = find(bytes, LIMITS);
    // The first answer stands, however many bytes follow.
    let first = (0..=bytes.len()).map(|end| find(&bytes[..end], LIMITS)).find(|it| *it != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
    match whole {
        Ok(Some(frame)) => {
            assert!((1..=bytes.len()).contains(&frame.length));
            // A line's limit is on the line; the framing of an array's first line comes by.
            assert!(frame.length <= LIMITS.request + 1, "{}", frame.length);
            assert!(frame.words.len() <= LIMITS.words);
            assert!(frame.words.iter().all(|word| word.end <= frame.length));
            assert!(frame.words(bytes).iter().map(Vec::len).sum::<usize>() <= frame.length);
        }
        // What is not refused yet fits.
        Ok(None) => assert!(bytes.len() <= LIMITS.request + 64, "{}", bytes.len()),
        Err(_) => {}
    }
});
