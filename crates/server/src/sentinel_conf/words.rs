//! Redis's configuration syntax: lines, words, quotes and escapes, read as Redis reads them. It knows no directive.

/// The words of a line, in bytes: a password need not be text.
pub(super) type Words = Vec<Vec<u8>>;

/// A quote that nothing ends, or that is not the end of its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// Each line that says something, with its number from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<Words, Unbalanced>)> {
    let trimmed = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let numbered = trimmed.enumerate().map(|(index, line)| (index + 1, line));
    let said = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    said.map(|(number, line)| (number, words(line)))
}

fn words(line: &[u8]) -> Result<Words, Unbalanced> {
    let (mut words, mut rest) = (Vec::new(), line.trim_ascii_start());
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

/// The first word, and what comes after it. A quote may begin in the middle of a word.
fn word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    let (mut word, mut rest) = (Vec::new(), line);
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' | b'\'' => return quoted(byte, after, word),
            _ if byte.is_ascii_whitespace() => break,
            _ => word.push(byte),
        }
        rest = after;
    }
    Ok((word, rest))
}

/// Adds what stands up to the `quote` that ends the word, and yields what comes after that.
fn quoted(quote: u8, text: &[u8], mut word: Vec<u8>) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    let mut rest = text;
    loop {
        let (byte, after) = match rest {
            [] => return Err(Unbalanced),
            [byte, after @ ..] if *byte == quote => {
                let ends = after.first().is_none_or(u8::is_ascii_whitespace);
                return if ends { Ok((word, after)) } else { Err(Unbalanced) };
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [b'\\', b'x', high, low, after @ ..] if quote == b'"' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                // Then it is an x that was escaped without need.
                _ => (b'x', &rest[2..]),
            },
            [b'\\', byte, after @ ..] if quote == b'"' => (unescaped(*byte), after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// What a letter means after a backslash.
fn unescaped(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[u8]) -> Result<Vec<String>, Unbalanced> {
        Ok(words(line)?.iter().map(|word| word.escape_ascii().to_string()).collect())
    }

    #[test]
    fn words_are_what_redis_makes_of_a_line() {
        for (line, read) in [
            (&b"port 26379"[..], &["port", "26379"][..]),
            (b"a\t b  ", &["a", "b"]),
            (b"bind \"\"", &["bind", ""]),
            (br#"p "a b" 'c d'"#, &["p", "a b", "c d"]),
            (br#"p "\x41\n\\\"""#, &["p", r#"A\n\\\""#]),
            (br#"p "\xZZ""#, &["p", "xZZ"]),
            (br"p 'it\'s \n'", &["p", r"it\'s \\n"]),
            (br#"p pre"fix ed""#, &["p", "prefix ed"]),
            (b"p \"\xff\"", &["p", r"\xff"]),
        ] {
            assert_eq!(
                of(line),
                Ok(read.iter().map(|it| (*it).to_owned()).collect()),
                "{}",
                line.escape_ascii()
            );
        }
        for line in [&b"p \"a"[..], b"p 'a", b"p \"a\"b", b"p \"a\\", b"p \"a\\x4"] {
            assert_eq!(of(line), Err(Unbalanced), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn lines_that_say_nothing_are_passed_over_and_counted() {
        let read: Vec<_> = lines(b"# a comment\n\n  \t\r\nport 1\r\n  # another\ndir /x").collect();
        let words = |text: &[&str]| Ok(text.iter().map(|word| word.as_bytes().to_vec()).collect());
        assert_eq!(read, [(4, words(&["port", "1"])), (6, words(&["dir", "/x"]))]);
    }

    #[test]
    fn no_line_of_few_bytes_is_too_much_for_it() {
        let alphabet = *b"\"'\\ x4a\xff";
        let mut lines = vec![Vec::new()];
        for _ in 0..5 {
            let longer = lines.iter().flat_map(|line: &Vec<u8>| {
                alphabet.map(|byte| line.iter().copied().chain([byte]).collect::<Vec<u8>>())
            });
            lines = longer.collect();
            for line in &lines {
                let quotes = line.iter().any(|byte| matches!(byte, b'"' | b'\''));
                assert!(quotes || words(line).is_ok(), "{}", line.escape_ascii());
            }
        }
    }
}
