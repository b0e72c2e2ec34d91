//! Redis's patterns: `*`, `?`, `[ab]`, `[^a-c]`, and a backslash before what is meant literally. A pattern costs at
//! most its length times the text's, whatever a client makes of it.

/// Whether `text` is all of what `pattern` stands for.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last star did not fit: one byte later.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, read));
            continue;
        }
        let fits = match (text.get(read), pattern.get(at)) {
            (None, None) => return true,
            (Some(byte), Some(_)) => one(&pattern[at..], *byte),
            _ => None,
        };
        match (fits, star) {
            (Some(taken), _) => (at, read) = (at + taken, read + 1),
            (None, Some((after, from))) if from < text.len() => {
                star = Some((after, from + 1));
                (at, read) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many bytes of the pattern stand for this one byte; `None` where they do not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let not = pattern.get(1) == Some(&b'^');
    let mut at = if not { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern.get(at..).unwrap_or_default() {
            // One that is not closed ends with the pattern, as in Redis.
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (low, high) = (*from.min(to), *from.max(to));
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != not).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_stand_for_what_redis_says() {
        for (pattern, text, fits) in [
            ("switch-master", "+switch-master", false),
            ("*switch-master", "+switch-master", true),
            ("[-+]sdown", "+sdown", true),
            ("[-+]sdown", "-sdown", true),
            ("[-+]sdown", "sdown", false),
            ("[^-]sdown", "-sdown", false),
            ("[a-c]?", "bx", true),
            ("[c-a]", "b", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[\\]]", "]", true),
            ("[ab", "b", true),
            ("?", "", false),
            ("*?", "", false),
            ("**x", "yyx", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}
