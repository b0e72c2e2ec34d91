//! Child processes, named the way a person would type them.
//!
//! It never goes through a shell and never swallows a failure: what failed is in the error, ready to be
//! repeated.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A cargo command from words divided by blanks.
///
/// It is the `cargo` of the `PATH`, not the one that runs us, so that what we print is what we ran.
pub(crate) fn cargo(words: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(words.split_whitespace());
    command
}

/// Runs to the end with our own output streams.
///
/// # Errors
///
/// Names the command when it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let typed = typed(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{typed}`"))?;
    if !status.success() {
        bail!("`{typed}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end and returns what it wrote to its standard output.
///
/// # Errors
///
/// Names the command when it cannot be started, does not succeed, or writes something that is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let typed = typed(command);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start `{typed}`"))?;
    if !output.status.success() {
        bail!("`{typed}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{typed}` did not write text"))
}

/// Whether the command runs and succeeds; what it prints is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one line to type.
pub(crate) fn typed(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = cargo("doc --no-deps");
        command.env("RUSTDOCFLAGS", "-D warnings").env_remove("HOME").args(["it's", ""]);
        assert_eq!(typed(&command), r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'it'\''s' ''");
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(&mut Command::new("false")).unwrap_err();
        assert!(error.to_string().starts_with("`false` ended with"), "{error}");
        assert!(run(&mut Command::new("/does/not/exist")).is_err());
        assert!(output(Command::new("sh").args(["-c", "echo half; exit 1"])).is_err());
    }
}
