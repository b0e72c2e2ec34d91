//! A Rust file divided into what the rules look at: code, comments and literals, line by line.
//!
//! It is a scanner and never a parser: it knows where a string or a comment begins and ends, and nothing
//! more. That is enough to tell a word in the code from the same word in a sentence about it.

use std::mem;

/// A scanned file.
pub(crate) struct Source {
    /// Where it is, relative to the repository, with slashes.
    pub(crate) path: String,
    /// All lines, the first one being line 1.
    pub(crate) lines: Vec<Line>,
    /// All string literals in order.
    pub(crate) literals: Vec<Literal>,
    /// Index of the first line that belongs to tests; the number of lines where there are none.
    pub(crate) tests_from: usize,
}

/// One line, taken apart.
#[derive(Default)]
pub(crate) struct Line {
    /// As written.
    pub(crate) raw: String,
    /// Without comments and with empty literals.
    pub(crate) code: String,
    /// The text of the comments.
    pub(crate) comment: String,
}

/// The content of a string literal, escapes as written.
pub(crate) struct Literal {
    /// The line it begins on, counted from 1.
    pub(crate) line: usize,
    /// What stands between the quotes.
    pub(crate) text: String,
}

impl Source {
    /// Scans a file.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let (mut lines, literals) = Scanner::scan(text);
        for (line, raw) in lines.iter_mut().zip(text.lines()) {
            raw.clone_into(&mut line.raw);
        }
        lines.truncate(text.lines().count());
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        let tests_from = if is_test { 0 } else { inline_tests(&lines).unwrap_or(lines.len()) };
        Self { path: path.to_owned(), lines, literals, tests_from }
    }

    /// The lines with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether a line, counted from 1, belongs to tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        line > self.tests_from
    }
}

/// The first line of `#[cfg(test)] mod … {`. Not of any `#[cfg(test)]`: one on a single item hides nothing
/// below it.
fn inline_tests(lines: &[Line]) -> Option<usize> {
    let opens_module = |rest: &[Line]| {
        let code = rest.iter().map(|line| line.code.trim());
        let item = code.skip(1).find(|code| !code.is_empty() && !code.starts_with('#'));
        item.is_some_and(|item| item.contains("mod ") && item.ends_with('{'))
    };
    (0..lines.len())
        .find(|&index| lines[index].code.trim() == "#[cfg(test)]" && opens_module(&lines[index..]))
}

/// Whether `word` stands in the code and is not the tail of a longer name.
pub(crate) fn names(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(is_name))
}

enum State {
    Code,
    LineComment,
    /// How deep it is nested.
    BlockComment(usize),
    /// A literal; a raw one ends with as many hashes as it began with.
    Literal {
        raw: bool,
        hashes: usize,
    },
}

struct Scanner<'a> {
    rest: &'a str,
    state: State,
    line: Line,
    lines: Vec<Line>,
    literals: Vec<Literal>,
}

impl<'a> Scanner<'a> {
    fn scan(text: &'a str) -> (Vec<Line>, Vec<Literal>) {
        let mut scanner =
            Self { rest: text, state: State::Code, line: Line::default(), lines: vec![], literals: vec![] };
        while let Some(next) = scanner.rest.chars().next() {
            match scanner.state {
                _ if next == '\n' => scanner.end_line(),
                State::Code => scanner.code(next),
                State::LineComment => scanner.push_comment(next.len_utf8()),
                State::BlockComment(depth) => scanner.block_comment(next, depth),
                State::Literal { raw, hashes } => scanner.literal(next, raw, hashes),
            }
        }
        scanner.lines.push(scanner.line);
        (scanner.lines, scanner.literals)
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn end_line(&mut self) {
        self.take(1);
        match self.state {
            State::LineComment => self.state = State::Code,
            State::Literal { .. } => self.push_text("\n"),
            State::Code | State::BlockComment(_) => {}
        }
        self.lines.push(mem::take(&mut self.line));
    }

    fn push_code(&mut self, bytes: usize) {
        let text = self.take(bytes);
        self.line.code.push_str(text);
    }

    fn push_comment(&mut self, bytes: usize) {
        let text = self.take(bytes);
        self.line.comment.push_str(text);
    }

    fn push_text(&mut self, text: &str) {
        if let Some(literal) = self.literals.last_mut() {
            literal.text.push_str(text);
        }
    }

    fn code(&mut self, next: char) {
        if self.rest.starts_with("//") {
            self.state = State::LineComment;
        } else if self.rest.starts_with("/*") {
            self.take(2);
            self.state = State::BlockComment(1);
        } else if next == '"' {
            let before = self.line.code.trim_end_matches('#');
            let hashes = self.line.code.len() - before.len();
            self.state = State::Literal { raw: before.ends_with('r'), hashes };
            self.literals.push(Literal { line: self.lines.len() + 1, text: String::new() });
            self.push_code(1);
        } else if next == '\'' {
            self.take(character_literal(self.rest).unwrap_or(1));
            self.line.code.push('\'');
        } else {
            self.push_code(next.len_utf8());
        }
    }

    fn block_comment(&mut self, next: char, depth: usize) {
        if self.rest.starts_with("*/") {
            self.take(2);
            self.state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
        } else if self.rest.starts_with("/*") {
            self.take(2);
            self.state = State::BlockComment(depth + 1);
        } else {
            self.push_comment(next.len_utf8());
        }
    }

    fn literal(&mut self, next: char, raw: bool, hashes: usize) {
        let hashes = if raw { hashes } else { 0 };
        if next == '"' && self.rest[1..].bytes().take(hashes).filter(|byte| *byte == b'#').count() == hashes {
            self.push_code(1 + hashes);
            self.state = State::Code;
            return;
        }
        let escaped = if next == '\\' && !raw { self.rest[1..].chars().next() } else { None };
        let bytes = next.len_utf8() + escaped.filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let text = self.take(bytes);
        self.push_text(text);
    }
}

/// The length of the character literal that begins here; none where it is a lifetime.
fn character_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    match chars.next()?.1 {
        // The escaped character may itself be a quote.
        '\\' => Some(3 + rest.get(3..)?.find('\'')? + 1),
        _ => chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        Source::parse("a.rs", text).lines.into_iter().map(|line| line.code).collect()
    }

    fn literals(text: &str) -> Vec<(usize, String)> {
        let source = Source::parse("a.rs", text);
        source.literals.into_iter().map(|literal| (literal.line, literal.text)).collect()
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(code("a // b\nc /* d /* e */\nf */ g\n"), ["a ", "c ", " g"]);
        let source = Source::parse("a.rs", "/// docs\nx();\n");
        assert_eq!(source.lines[0].comment, "/// docs");
        assert_eq!(source.lines[1].raw, "x();");
    }

    #[test]
    fn literals_are_no_code() {
        assert_eq!(code(r#"f("a // b", "c\"d") // e"#), [r#"f("", "") "#]);
        assert_eq!(code(r##"f(r#"a "b" \"#, b"c") // d"##), ["f(r#\"\"#, b\"\") "]);
        assert_eq!(
            literals("f(\"a\",\n\"b\nc\");\n\"d\""),
            [(1, "a".into()), (2, "b\nc".into()), (4, "d".into())]
        );
    }

    #[test]
    fn quotes_are_characters_or_lifetimes() {
        assert_eq!(code(r#"x('"', '\'', '\\', '\u{41}', 'é') // y"#), ["x(', ', ', ', ') "]);
        assert_eq!(code("fn f<'a>(x: &'a str) // y"), ["fn f<'a>(x: &'a str) "]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "a\n\n\"b\\\n c\"\r\n// d\n\ne\n";
        let source = Source::parse("a.rs", text);
        assert_eq!(source.lines.len(), text.lines().count());
        assert_eq!(source.lines[6 - 1].code, "");
        assert_eq!(source.lines[7 - 1].code, "e");
    }

    #[test]
    fn tests_begin_at_their_module() {
        let from = |path: &str, text: &str| Source::parse(path, text).tests_from;
        assert_eq!(from("a.rs", "a\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n}\n"), 1);
        assert_eq!(from("a.rs", "#[cfg(test)]\nuse x;\n#[cfg(test)]\nmod tests;\nb\n"), 5);
        assert_eq!(from("a.rs", "// #[cfg(test)]\nmod tests {\n}\n"), 3);
        assert_eq!(from("crates/a/tests/b.rs", "a\n"), 0);
        assert_eq!(from("crates/a/src/b/tests.rs", "a\n"), 0);
    }

    #[test]
    fn a_name_is_not_the_tail_of_another() {
        assert!(names("x.sleep(1)", "sleep("));
        assert!(!names("oversleep(1)", "sleep("));
    }
}
