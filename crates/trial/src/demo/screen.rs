//! Where lines go: events scroll, and on a terminal a block below them is redrawn in place.
//!
//! Everything is written in one piece, so that nothing flickers, and the cursor is back when the screen is dropped. It
//! needs no more of a terminal than a VT100 has, and asks it nothing.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::output::Output;
use super::view::View;

/// How often the block is redrawn.
pub(super) const REDRAW: Duration = Duration::from_millis(100);

/// How often an output that is no terminal gets a line of figures.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The cursor is hidden while there is a block.
const BEGIN: &str = "\x1b[?25l";
const END: &str = "\x1b[?25h";
/// Long lines of the block are cut instead of wrapped: its height must be known.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// The rest of the line is cleared.
const LINE_END: &str = "\x1b[K\n";
/// Terminals that know these show all between them at once.
const TOGETHER: &str = "\x1b[?2026h";
const SHOW: &str = "\x1b[?2026l";

/// A handle to the screen; all clones are one screen.
#[derive(Clone, Debug)]
pub(super) struct Screen(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    view: View,
    out: Output,
    terminal: bool,
    /// How many lines of the block stand on the terminal.
    height: usize,
    line_at: Instant,
    silent: bool,
}

impl Screen {
    /// A screen on standard output.
    pub(super) fn new(view: View) -> Self {
        let terminal = io::stdout().is_terminal();
        let (out, line_at) = (Output::new(), view.began);
        if terminal {
            out.put(BEGIN.to_owned());
        }
        Self(Arc::new(Mutex::new(Inner { view, out, terminal, height: 0, line_at, silent: false })))
    }

    /// Says what happens, with the time since the demo began.
    pub(super) fn event(&self, text: &str) {
        let mut inner = self.lock();
        let seconds = inner.view.began.elapsed().as_secs_f64();
        inner.print(&format!("[{seconds:7.3}] {text}\n"));
    }

    /// Begins the next step.
    pub(super) fn step(&self, text: &str) {
        let mut inner = self.lock();
        inner.view.step.0 += 1;
        text.clone_into(&mut inner.view.step.2);
        inner.view.step_began = Instant::now();
        let (number, steps, _) = &inner.view.step;
        let heading = format!("\n--- {number} of {steps}: {text}\n");
        inner.print(&heading);
    }

    /// Changes what is shown, at the next redraw.
    pub(super) fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.lock().view);
    }

    /// Shows the present figures.
    pub(super) fn redraw(&self) {
        let mut inner = self.lock();
        if inner.terminal {
            inner.print("");
        } else if inner.line_at.elapsed() >= LINE_EVERY {
            inner.line_at = Instant::now();
            let line = format!("            {}\n", inner.view.line());
            inner.print(&line);
        }
    }

    /// Takes the block away and gives the terminal back; what is printed from now on stays. It waits until all is
    /// written.
    pub(super) fn end(&self) {
        self.lock().end();
    }

    /// Prints this after all that came before.
    pub(super) fn say(&self, text: &str) {
        let inner = self.lock();
        inner.out.put(text.to_owned());
        inner.out.flush();
    }

    /// Shows nothing from now on.
    pub(super) fn silence(&self) {
        self.lock().silent = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // It is whole between any two statements, and a terminal must be given back in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Prints lines that stay, and the block below them.
    fn print(&mut self, lines: &str) {
        if self.silent {
            return;
        }
        if !self.terminal {
            self.out.put(lines.to_owned());
            return;
        }
        let block = self.view.block(Instant::now());
        self.out.put(frame(self.height, lines, &block));
        self.height = block.len();
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.terminal) {
            self.out.put(frame(self.height, "", &[]) + END);
        }
        self.out.flush();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

/// Up to the old block's first line, the lines that stay, then the new block.
fn frame(height: usize, lines: &str, block: &[String]) -> String {
    let mut text = format!("{TOGETHER}\r");
    if height > 0 {
        write!(text, "\x1b[{height}A").expect("a String takes all text");
    }
    // Each line is overwritten and its rest cleared: clearing first is what flickers.
    for line in lines.lines() {
        text = text + line + LINE_END;
    }
    text += CUT;
    for line in block {
        text = text + line + LINE_END;
    }
    text + WRAP + "\x1b[J" + SHOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_block_and_scrolls_the_lines() {
        let block = ["a".to_owned(), "b".to_owned()];
        let lines = format!("{CUT}a{LINE_END}b{LINE_END}{WRAP}\x1b[J{SHOW}");
        assert_eq!(frame(0, "", &block), format!("{TOGETHER}\r{lines}"));
        assert_eq!(frame(2, "said\n", &block), format!("{TOGETHER}\r\x1b[2Asaid{LINE_END}{lines}"));
    }
}
