//! Writes the configuration, and each password into a file that nobody else may read. It replaces none without a yes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::configuration::Configuration;
use crate::cli::confirm::Confirmation;
use crate::failure::{Failure, Kind};

/// Who may read the configuration, but for the umask, and who a password.
const EVERYBODY: u32 = 0o644;
const OWNER: u32 = 0o600;

/// Writes all files, and names them.
///
/// # Errors
/// When one is there and nobody said yes: then none was written. Or when one can't be written.
pub(super) fn write(
    file: &Path,
    configuration: &Configuration,
    confirmation: &Confirmation,
) -> Result<Vec<String>, Failure> {
    let beside = |name: &str| file.with_file_name(name);
    let passwords = configuration.passwords.iter();
    let secrets = passwords.map(|(name, it)| (beside(name), OWNER, format!("{}\n", it.expose_secret())));
    // The configuration is the last: where it stands, so do the files that it names.
    let all: Vec<(PathBuf, u32, String)> =
        secrets.chain([(file.to_owned(), EVERYBODY, configuration.text.clone())]).collect();
    if all.iter().filter(|(path, ..)| path.as_path() == file).count() > 1 {
        let why = format!("{} is to be the configuration and a password", file.display());
        return Err(Failure::new(Kind::Usage, why).hint("give another --output"));
    }
    let there = all.iter().filter(|(path, ..)| path.symlink_metadata().is_ok());
    let there: Vec<_> = there.map(|(path, ..)| path.display().to_string()).collect();
    if !there.is_empty() {
        confirmation.ask(&format!("there already: {}", there.join(", ")), "Replace what stands there?")?;
    }
    all.iter().map(|(path, mode, text)| put(path, *mode, text)).collect()
}

/// The file is never there in part, and never open for a moment.
fn put(path: &Path, mode: u32, text: &str) -> Result<String, Failure> {
    let written = |path: &Path| -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = path.with_file_name(name);
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
        let put = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        put.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
            // What can't be removed either is named by nobody.
            let _ = fs::remove_file(&new);
        })
    };
    let shown = path.display().to_string();
    written(path).map_err(|error| Failure::new(Kind::Failed, format!("{shown}: {error}")))?;
    Ok(shown)
}
