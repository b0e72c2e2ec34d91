//! `redis-failover man`: the man pages, made from the help. It installs none.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;
use super::exit_codes::EXIT_CODES;
use crate::failure::{Failure, Kind};
use crate::output::{print_bytes, print_line};

/// What `man` is asked.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory, and name them; without it print the first page.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    let mut program = Cli::command().disable_help_subcommand(true);
    // Only then do the commands below know how they are called.
    program.build();
    match &args.directory {
        None => print_bytes(&page(&program).expect("memory takes everything"))?,
        Some(directory) => write_pages(&program, directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of `command`, and those of the commands below it.
fn write_pages(command: &Command, directory: &Path) -> Result<(), Failure> {
    let file = directory.join(Man::new(command.clone()).get_filename());
    let written = page(command).and_then(|page| fs::write(&file, page));
    written.map_err(|error| Failure::new(Kind::Failed, format!("{}: {error}", file.display())))?;
    print_line(file.display())?;
    command.get_subcommands().try_for_each(|below| write_pages(below, directory))
}

/// The page of one command. Not by [`Man::render`], which knows of no exit codes.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .manual("redis-failover")
        .source(concat!("redis-failover ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.write_all(exit_status().render().as_bytes())?;
    Ok(page)
}

fn exit_status() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        section.control("TP", []);
        section.text([bold(code)]).text([roman(meaning)]);
    }
    section
}
