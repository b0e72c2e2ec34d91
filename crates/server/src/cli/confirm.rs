//! Asks a person at a terminal before something is changed. Where there is none, only an option can say yes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{Failure, Kind};

/// Asks `question`; `yes` is the answer that was given before.
///
/// # Errors
/// When the answer is no, or nobody can be asked: nothing was done then.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Kind::NotConfirmed, "nothing was done: there is no terminal to ask at")
            .hint("look at what would be done, then add --yes"));
    }
    let failed =
        |error: std::io::Error| Failure::new(Kind::NotConfirmed, format!("nothing was done: {error}"));
    // Standard output may be read by a program.
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(Kind::NotConfirmed, "nothing was done: the answer was no"))
}
