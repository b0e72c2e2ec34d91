//! Keeps Debian from starting what it installs, by a policy that is asked before any service is started.
//!
//! It never overwrites a policy that is there, and never leaves its own behind.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

const POLICY: &str = "#!/bin/sh\n# Written by `cargo xtask` while it installs; may be removed.\nexit 101\n";

/// What a policy answers when it forbids.
const FORBIDDEN: i32 = 101;

/// While it lives no service is started.
pub(crate) struct NoServices {
    /// A shell that removes the policy; none where somebody else's policy does our work.
    remover: Option<Child>,
}

impl NoServices {
    /// Writes the policy, or leaves the present one alone if that forbids too.
    ///
    /// # Errors
    ///
    /// When the present policy lets services start: whoever wrote it wants that, so nothing must be installed
    /// here behind their back, and nothing has been.
    pub(crate) fn begin(policy: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o755).open(policy) {
            Ok(mut file) => {
                let written = file.write_all(POLICY.as_bytes()).map_err(Into::into);
                match written.and_then(|()| start_remover(policy)) {
                    Ok(remover) => Ok(Self { remover: Some(remover) }),
                    Err(error) => {
                        fs::remove_file(policy)
                            .with_context(|| format!("cannot remove {}", policy.display()))?;
                        Err(error)
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let services = ["redis-server", "zookeeper"];
                if let Some(service) = services.into_iter().find(|service| !forbids(policy, service)) {
                    bail!(
                        "{} is there and lets {service} start; install the packages yourself",
                        policy.display()
                    );
                }
                Ok(Self { remover: None })
            }
            Err(error) => Err(error).with_context(|| format!("cannot write {}", policy.display())),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(remover) = &mut self.remover {
            drop(remover.stdin.take());
            // It cannot fail in a way that we could repair.
            let _ = remover.wait();
        }
    }
}

/// Starts a shell that removes the policy when the pipe to it closes, which is also when we are killed.
///
/// `Drop` alone would not do: an interrupted installation would keep this machine from starting services for
/// ever.
fn start_remover(policy: &Path) -> Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", "trap '' INT TERM HUP; read line; rm -f \"$0\""])
        .arg(policy)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start /bin/sh")
}

fn forbids(policy: &Path, service: &str) -> bool {
    let asked = Command::new(policy).args([service, "start"]).stdin(Stdio::null()).status();
    asked.is_ok_and(|status| status.code() == Some(FORBIDDEN))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A shell writes it: a file that this process still holds open cannot be executed by another thread's
    /// child.
    fn present_policy(folder: &Path, answer: i32) -> PathBuf {
        let policy = folder.join("policy-rc.d");
        let script = format!("printf '#!/bin/sh\\nexit {answer}\\n' >\"$0\"; chmod +x \"$0\"");
        assert!(Command::new("sh").args(["-c", &script]).arg(&policy).status().unwrap().success());
        policy
    }

    #[test]
    fn our_policy_forbids_and_goes_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let no_services = NoServices::begin(&policy).unwrap();
        assert_eq!(fs::read_to_string(&policy).unwrap(), POLICY);
        let answer = Command::new("sh").arg(&policy).status().unwrap();
        assert_eq!(answer.code(), Some(FORBIDDEN));
        drop(no_services);
        assert!(!policy.exists());
    }

    #[test]
    fn a_policy_that_forbids_is_used_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let policy = present_policy(folder.path(), FORBIDDEN);
        drop(NoServices::begin(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "#!/bin/sh\nexit 101\n");
    }

    #[test]
    fn a_policy_that_allows_is_kept_and_stops_us() {
        let folder = tempfile::tempdir().unwrap();
        let policy = present_policy(folder.path(), 0);
        let error = NoServices::begin(&policy).err().unwrap().to_string();
        assert!(error.contains("lets redis-server start"), "{error}");
        assert_eq!(fs::read_to_string(&policy).unwrap(), "#!/bin/sh\nexit 0\n");
    }
}
