//! Asks a person at a terminal before harm is done. Where there is none, only `--yes` says yes.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;

use crate::failure::{Failure, Kind};
use crate::output::tell;

/// Taken in by each command that does harm, which asks by [`Confirmation::ask`] before it does any.
#[derive(Args, Debug)]
pub(super) struct Confirmation {
    /// Do it without asking; needed where nobody can be asked.
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// The same, and says it also where nobody is asked.
    ///
    /// # Errors
    /// As [`Confirmation::ask`] has them.
    pub(super) fn tell_and_ask(&self, what: &str, question: &str) -> Result<(), Failure> {
        if self.yes {
            tell(what);
        }
        self.ask(what, question)
    }

    /// Says `what` would be done and asks `question`, unless it was said before.
    ///
    /// # Errors
    /// When the answer is no, or nobody can be asked: nothing was done then.
    pub(super) fn ask(&self, what: &str, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        // Standard output may be read by a program.
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(nothing_done(what).hint("there is no terminal to ask at: say --yes to have it done"));
        }
        let answer = asked(&format!("{what}\n{question}"));
        match answer.map_err(nothing_done)?.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(nothing_done("the answer was no")),
        }
    }
}

fn asked(question: &str) -> io::Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "{question} [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

fn nothing_done(why: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::NotConfirmed, format!("nothing was done: {why}"))
}
