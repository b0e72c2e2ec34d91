//! What is a request and what is not, in Redis's own words; and bytes as nobody should send them.

use super::*;

const LIMITS: Limits = Limits { request: 1 << 10, words: 16 };

type Found = Result<Option<(Vec<String>, usize)>, Malformed>;

fn words(bytes: &[u8]) -> Found {
    let found = find(bytes, LIMITS)?;
    Ok(found.map(|frame| {
        let words = frame.words(bytes);
        (words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect(), frame.length)
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "to be held against what was found")]
fn all(words: &[&str], length: usize) -> Found {
    Ok(Some((words.iter().map(|word| (*word).to_owned()).collect(), length)))
}

#[test]
fn requests_are_found_whole_and_not_before() {
    let request = b"*2\r\n$4\r\nPING\r\n$2\r\n\r\n\r\nmore";
    for end in 0..request.len() - 4 {
        assert_eq!(words(&request[..end]), Ok(None), "{end}");
    }
    assert_eq!(words(request), all(&["PING", "\r\n"], 22));
    assert_eq!(words(b"*0\r\nrest"), all(&[], 4));
    assert_eq!(words(b"*-1\r\n"), all(&[], 5));
}

#[test]
fn lines_typed_by_hand_are_split_as_redis_splits_them() {
    assert_eq!(words(b"  ping  \r\nx"), all(&["ping"], 10));
    assert_eq!(words(b"ping\n"), all(&["ping"], 5));
    assert_eq!(words(b"\r\n"), all(&[], 2));
    assert_eq!(words(br#"a "b c" 'd "e'"#), Ok(None));
    assert_eq!(words(b"a \"b c\" 'd \"e'\n"), all(&["a", "b c", "d \"e"], 15));
    assert_eq!(words(b"\"\\x41\\n\\\"\\q\" 'it\\'s \\n'\n"), all(&["A\n\"q", "it's \\n"], 24));
    assert_eq!(words(b"\"\\xZZ\"\n"), all(&["xZZ"], 7));
    assert_eq!(words(b"a\"b\"\n"), all(&["ab"], 5));
    for open in ["\"", "'", "\"a\"b", "'a", "\"\\\"", "a \"b\\"] {
        assert_eq!(words(format!("{open}\n").as_bytes()), Err(Malformed::Quotes), "{open}");
    }
}

#[test]
fn what_is_no_request_is_refused_in_redis_s_words() {
    for (bytes, text) in [
        ("*x\r\n", "Protocol error: invalid multibulk length"),
        ("*17\r\n", "Protocol error: invalid multibulk length"),
        ("*99999999999999999999\r\n", "Protocol error: invalid multibulk length"),
        ("*000000000000000000000000000000000000", "Protocol error: invalid multibulk length"),
        ("*1\r\n+PING\r\n", "Protocol error: expected '$', got '+'"),
        ("*1\r\n\u{1}", "Protocol error: expected '$', got '\\u{1}'"),
        ("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$1018\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$18446744073709551615\r\n", "Protocol error: invalid bulk length"),
        ("POST / HTTP/1.1\r\n", "Protocol error: this is no web server"),
        ("host: example.org\r\n", "Protocol error: this is no web server"),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", "Protocol error: invalid multibulk length"),
    ] {
        assert_eq!(words(bytes.as_bytes()).expect_err(bytes).to_string(), text, "{bytes}");
    }
    assert_eq!(words(&[b'a'; 1 << 10]), Err(Malformed::Line));
    assert_eq!(words(&[&[b'a'; 1 << 10][..], b"\n"].concat()), Err(Malformed::Line));
}

#[test]
fn a_request_that_would_not_fit_is_refused_before_it_is_there() {
    // Words of nothing take place, too: 16 of them and their framing, beyond a limit of 64 bytes.
    let limits = Limits { request: 64, words: 16 };
    let request = "*16\r\n".to_owned() + &"$0\r\n\r\n".repeat(16);
    assert_eq!(find(request.as_bytes(), limits), Err(Malformed::WordLength));
    assert_eq!(find(&request.as_bytes()[..60], limits), Ok(None));
}

/// Bytes as a confused or hostile client might send them: pieces of real requests, cut, repeated and spoilt.
fn odd_bytes(random: &mut fastrand::Rng) -> Vec<u8> {
    let pieces: [&[u8]; 14] = [
        b"*1\r\n$4\r\nPING\r\n",
        b"*",
        b"$",
        b"\r\n",
        b"-1",
        b"3",
        b"9223372036854775807",
        b"*3\r\n$8\r\nSENTINEL\r\n$6\r\nmaster\r\n$1\r\na\r\n",
        b"\"",
        b"'",
        b"\\x4",
        b"\0",
        b" ",
        b"ping\n",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.usize(0..12) {
        bytes.extend(pieces[random.usize(0..pieces.len())]);
        if random.u8(0..4) == 0 {
            bytes.push(random.u8(..));
        }
        if random.u8(0..6) == 0 {
            bytes.truncate(random.usize(0..=bytes.len()));
        }
    }
    bytes
}

#[test]
fn whatever_is_sent_is_taken_the_same_in_one_piece_and_byte_by_byte() {
    let mut kinds = [0_u32; 3];
    for seed in 0..200_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes = odd_bytes(&mut random);
        let whole = find(&bytes, LIMITS);
        // What is decided by fewer bytes stays so, whatever follows: a request is never taken for a longer one, and
        // what was refused is not served later.
        let first = (0..=bytes.len()).map(|end| find(&bytes[..end], LIMITS)).find(|it| *it != Ok(None));
        assert_eq!(first.unwrap_or(Ok(None)), whole, "seed {seed}: {bytes:?}");
        match &whole {
            Ok(None) => kinds[0] += 1,
            Ok(Some(frame)) => {
                kinds[1] += 1;
                assert!((1..=bytes.len()).contains(&frame.length), "seed {seed}");
                assert!(frame.words.iter().all(|word| word.end <= frame.length), "seed {seed}");
                assert_eq!(frame.words(&bytes).len(), frame.words.len(), "seed {seed}");
            }
            Err(_) => kinds[2] += 1,
        }
    }
    assert!(kinds.iter().all(|count| *count > 5_000), "all three kinds come: {kinds:?}");
}

#[test]
fn replies_are_written_as_each_version_wants_them() {
    let both = |reply: &Reply| {
        [Version::Two, Version::Three].map(|version| {
            let mut text = String::new();
            reply.write(version, &mut text);
            text
        })
    };
    for (reply, two, three) in [
        (Reply::ok(), "+OK\r\n", "+OK\r\n"),
        (Reply::Error("ERR a\r\n+OK".into()), "-ERR a  +OK\r\n", "-ERR a  +OK\r\n"),
        (Reply::Integer(-3), ":-3\r\n", ":-3\r\n"),
        (Reply::bulk("é"), "$2\r\né\r\n", "$2\r\né\r\n"),
        (Reply::Verbatim("a\r\n".into()), "$3\r\na\r\n\r\n", "=7\r\ntxt:a\r\n\r\n"),
        (Reply::Null, "$-1\r\n", "_\r\n"),
        (Reply::NullArray, "*-1\r\n", "_\r\n"),
        (Reply::Array(vec![Reply::count(1)]), "*1\r\n:1\r\n", "*1\r\n:1\r\n"),
        (Reply::Push(vec![Reply::count(1)]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
        (
            Reply::Map(vec![(Reply::bulk("a"), Reply::count(1))]),
            "*2\r\n$1\r\na\r\n:1\r\n",
            "%1\r\n$1\r\na\r\n:1\r\n",
        ),
    ] {
        assert_eq!(both(&reply), [two, three], "{reply:?}");
    }
}
