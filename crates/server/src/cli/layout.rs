//! How commands lay out what people read: colours, columns, lines that end in time. It knows nothing of what it lays
//! out.

use std::io::{self, IsTerminal as _};

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// As it should be.
    Good,
    /// As it must not stay.
    Bad,
    /// Worth a look.
    Odd,
    /// What heads a column.
    Head,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    /// Colours where standard output is a terminal that knows them, and nobody asked for none (`NO_COLOR`).
    pub(super) fn of_standard_output() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|terminal| terminal == "dumb");
        Self { colours: io::stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb }
    }

    /// No colours, or, for tests, all.
    #[cfg(test)]
    pub(super) fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// The text so that it stands out.
    pub(super) fn text(self, colour: Option<Colour>, text: &str) -> String {
        let Some(colour) = colour.filter(|_| self.colours) else { return text.to_owned() };
        let code = match colour {
            Colour::Good => "32",
            Colour::Bad => "1;31",
            Colour::Odd => "33",
            Colour::Head => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// One cell of a table.
pub(super) type Cell = (String, Option<Colour>);

/// A cell that does not stand out.
pub(super) fn cell(text: impl Into<String>) -> Cell {
    (text.into(), None)
}

/// The lines of a table, its columns as wide as what is in them.
pub(super) fn table<const COLUMNS: usize>(
    heads: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [Cell; COLUMNS]>,
    paint: Paint,
) -> Vec<String> {
    let heads = heads.map(|head| (head.to_owned(), Some(Colour::Head)));
    let rows: Vec<_> = [heads].into_iter().chain(rows).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].0.chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[Cell; COLUMNS]| {
        let mut line = String::new();
        for ((text, colour), width) in row.iter().zip(widths) {
            line.push_str(&paint.text(*colour, text));
            line.extend(std::iter::repeat_n(' ', width - text.chars().count() + 2));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The words in lines of at most `width` characters, where they allow that.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one at least");
        if line.is_empty() {
            word.clone_into(line);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_whatever_the_colours() {
        let rows = || [[("OK".to_owned(), Some(Colour::Good)), cell("é"), cell("")]];
        let plain = table(["is", "a long head", "votes"], rows(), Paint::new(false));
        assert_eq!(plain, ["is  a long head  votes", "OK  é"]);
        let coloured = table(["is", "a long head", "votes"], rows(), Paint::new(true));
        assert_eq!(coloured[1], "\x1b[32mOK\x1b[0m  é");
        assert!(coloured[0].starts_with("\x1b[2mis\x1b[0m  \x1b[2ma long head\x1b[0m  "), "{coloured:?}");
    }

    #[test]
    fn lines_end_before_the_word_that_would_be_too_much() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible", 7), ["incomprehensible"]);
    }
}
