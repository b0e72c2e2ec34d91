//! `status --watch`: one look after the other over one session, until it is interrupted. What goes wrong meanwhile is
//! shown, and ends nothing.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use ratatui::crossterm::terminal::size;
use tokio::time::{MissedTickBehavior, interval};

use super::{LIMIT, StatusArgs, View, json, look, page};
use crate::cli::layout::Paint;
use crate::failure::{Failure, Kind};
use crate::journal::Moment;

/// Looks every so many seconds.
///
/// # Errors
/// When nothing can be looked at at all, or the output takes no more.
pub(super) async fn run(args: &StatusArgs, seconds: u64) -> Result<ExitCode, Failure> {
    let zookeeper = crate::cli::connect(&args.store, LIMIT)?;
    let group = zookeeper.group(&args.store.path);
    let (screen, place) = (Screen::new(args, seconds), args.place());
    let watching = async {
        let mut ticks = interval(Duration::from_secs(seconds));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            ticks.tick().await;
            let seen = look(&group, &place).await;
            screen.show(&screen.page(&seen, last.as_ref(), SystemTime::now()))?;
            last = seen.ok().or(last);
        }
    };
    let ended: io::Result<()> = tokio::select! {
        ended = watching => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    zookeeper.close().await;
    match ended {
        // Who read it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Failed, format!("standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Where pages go.
struct Screen<'a> {
    args: &'a StatusArgs,
    seconds: u64,
    terminal: bool,
    paint: Paint,
}

impl<'a> Screen<'a> {
    fn new(args: &'a StatusArgs, seconds: u64) -> Self {
        let terminal = io::stdout().is_terminal() && !args.json;
        Self { args, seconds, terminal, paint: Paint::of_standard_output() }
    }

    /// What a look has shown, and when it was; also what the `last` one did that showed a group.
    fn page(&self, seen: &super::Seen, last: Option<&View>, now: SystemTime) -> String {
        let path = self.args.store.path.as_str();
        if self.args.json {
            let value = seen.as_ref().map_or_else(|absence| json::absence(path, absence), json::group);
            return format!("{}\n", json::timed(value, now));
        }
        let seconds = self.seconds;
        let page = seen.as_ref().map_or_else(
            |absence| format!("group    {path}\n\n{}", page::last(absence, last, self.paint)),
            |view| page::group(view, self.paint),
        );
        format!("at       {}, every {seconds} s\n{page}", Moment::from(now))
    }

    /// Prints a page: on a terminal in the place of the one before, elsewhere after it.
    fn show(&self, page: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if self.terminal {
            let page = size().map_or_else(|_| page.to_owned(), |(columns, rows)| fitted(page, columns, rows));
            // In one piece, and without clearing first, so that nothing flickers.
            let lines = page.replace('\n', "\x1b[K\n");
            write!(output, "\x1b[H{lines}\x1b[J")?;
        } else if self.args.json {
            write!(output, "{page}")?;
        } else {
            writeln!(output, "{page}")?;
        }
        output.flush()
    }
}

/// As much of a page as a terminal of this size shows without losing its head; a size of 0 is not known.
fn fitted(page: &str, columns: u16, rows: u16) -> String {
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let takes = |line: &str| visible(line).div_ceil(columns).max(1);
    // The line after the last one is taken, too.
    if columns == 0 || rows == 0 || page.lines().map(takes).sum::<usize>() < rows {
        return page.to_owned();
    }
    let (mut used, mut shown, mut left) = (0, String::new(), page.lines().count());
    for line in page.lines() {
        used += takes(line);
        if used + 2 > rows {
            break;
        }
        left -= 1;
        shown.push_str(line);
        shown.push('\n');
    }
    shown + &format!("… {left} more lines\n")
}

/// How many characters of a line are seen: colours are not.
fn visible(line: &str) -> usize {
    let mut pieces = line.split('\x1b');
    let first = pieces.next().unwrap_or_default().chars().count();
    first
        + pieces.map(|piece| piece.split_once('m').map_or(0, |(_, text)| text.chars().count())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_page_stays_on_a_terminal_that_is_too_low_for_all_of_it() {
        let page = "one\ntwo\nthree\nfour\n";
        assert_eq!(fitted(page, 80, 5), page);
        assert_eq!(fitted(page, 80, 4), "one\ntwo\n… 2 more lines\n");
        assert_eq!(fitted(page, 3, 5), "one\ntwo\n… 2 more lines\n", "broken lines take more rows");
        assert_eq!(fitted(page, 80, 1), "… 4 more lines\n");
        assert_eq!(fitted(page, 0, 0), page, "its size is not known");
        assert_eq!(visible("\x1b[1;31mKO\x1b[0m it"), 5);
    }
}
