//! What is generated: core's table of Redis commands and the references of command line and configuration file.
//!
//! It never edits what people write, and with `--check` it writes nothing.

mod cli;
mod commands;
mod redis;
mod resp;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::programs::{self, Build, SHIPPED};

/// Writes all that is generated, or with `check` fails where something is not what would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    // First, for without its table the binary that tells its own help cannot be built.
    commands::run(check)?;
    let program = programs::built(Build::Tested, SHIPPED)?;
    publish(Path::new(cli::PATH), &cli::reference(&program)?, check)?;
    publish(Path::new(cli::KEYS_PATH), &cli::keys(&program)?, check)
}

fn publish(path: &Path, text: &str, check: bool) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let name = path.display();
    if check {
        bail!("{name} is stale or missing; `cargo xtask docs` renews it");
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_refuses_a_stale_page_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/page.md");
        let error = publish(&path, "new", true).unwrap_err().to_string();
        assert!(error.contains("page.md") && error.contains("`cargo xtask docs`"), "{error}");
        assert!(!path.exists());

        publish(&path, "new", false).unwrap();
        publish(&path, "new", true).unwrap();
        assert!(publish(&path, "newer", true).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
