//! Passwords and TLS, to Redis and to ZooKeeper: what is said of them, and what is meant. It reads the files that are
//! named and shows nothing of what they hold.

use std::path::{Path, PathBuf};

use clap::Args;
use redis_failover_store::{Access, ConnectString, Tls, TlsError};
use secrecy::SecretString;

use super::group::Origin;
use super::said::Said;
use super::usage;
use super::values::{is_open, password};
use crate::failure::{Failure, Kind};
use crate::redis_link::Credentials;

/// The variables that hold passwords. They are no options: an argv is readable by everybody.
pub(super) const REDIS_PASSWORD: &str = "REDIS_FAILOVER_REDIS_PASSWORD";
pub(super) const ZOOKEEPER_PASSWORD: &str = "REDIS_FAILOVER_ZOOKEEPER_PASSWORD";

/// What such a variable says.
pub(super) fn said_by_variable(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|it| !it.is_empty()).map(Into::into)
}

/// A file of a secret that every user of this machine may read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpenFile {
    /// What it holds.
    pub(super) what: &'static str,
    pub(super) file: String,
}

/// How the Redis servers are called.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the options are named by them")]
pub(super) struct RedisTlsArgs {
    /// Call the Redis servers over TLS; said by any of the files below, too. Whom this system trusts is trusted, unless
    /// a file says whom.
    #[arg(long, env = "REDIS_FAILOVER_REDIS_TLS")]
    redis_tls: bool,

    /// The certificates to trust with the Redis servers, in PEM.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_REDIS_TLS_CA_FILE")]
    redis_tls_ca_file: Option<PathBuf>,

    /// The certificate to show to Redis servers that ask for one, in PEM.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_REDIS_TLS_CERT_FILE")]
    redis_tls_cert_file: Option<PathBuf>,

    /// The key of that certificate, in PEM, without a password.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_REDIS_TLS_KEY_FILE")]
    redis_tls_key_file: Option<PathBuf>,

    /// Verify each Redis server by this name instead of the host in its address.
    #[arg(long, value_name = "NAME", env = "REDIS_FAILOVER_REDIS_TLS_SERVER_NAME")]
    redis_tls_server_name: Option<String>,
}

/// How ZooKeeper is called.
#[derive(Args, Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the options are named by them")]
pub(crate) struct ZooKeeperArgs {
    /// The user for ZooKeeper, in its scheme `digest`: what is made there belongs to this user, and all may read it.
    #[arg(long, value_name = "USER", env = "REDIS_FAILOVER_ZOOKEEPER_USER")]
    zookeeper_user: Option<String>,

    /// A file whose first line is the password for ZooKeeper; or set `REDIS_FAILOVER_ZOOKEEPER_PASSWORD`.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_ZOOKEEPER_PASSWORD_FILE")]
    zookeeper_password_file: Option<PathBuf>,

    /// Call ZooKeeper over TLS; said by any of the files below, too. Whom this system trusts is trusted, unless a file
    /// says whom.
    #[arg(long, env = "REDIS_FAILOVER_ZOOKEEPER_TLS")]
    zookeeper_tls: bool,

    /// The certificates to trust with ZooKeeper, in PEM.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_ZOOKEEPER_TLS_CA_FILE")]
    zookeeper_tls_ca_file: Option<PathBuf>,

    /// The certificate to show to ZooKeeper where it asks for one, in PEM.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_ZOOKEEPER_TLS_CERT_FILE")]
    zookeeper_tls_cert_file: Option<PathBuf>,

    /// The key of that certificate, in PEM, without a password.
    #[arg(long, value_name = "FILE", env = "REDIS_FAILOVER_ZOOKEEPER_TLS_KEY_FILE")]
    zookeeper_tls_key_file: Option<PathBuf>,
}

impl RedisTlsArgs {
    pub(super) fn say(self, said: &mut Said) {
        said.redis_tls = self.redis_tls.then_some(true);
        said.redis_tls_ca_file = self.redis_tls_ca_file;
        said.redis_tls_cert_file = self.redis_tls_cert_file;
        said.redis_tls_key_file = self.redis_tls_key_file;
        said.redis_tls_server_name = self.redis_tls_server_name;
    }
}

impl ZooKeeperArgs {
    pub(super) fn say(self, said: &mut Said) {
        said.zookeeper_user = self.zookeeper_user;
        said.zookeeper_password_file = self.zookeeper_password_file;
        said.zookeeper_password = said_by_variable(ZOOKEEPER_PASSWORD);
        said.zookeeper_tls = self.zookeeper_tls.then_some(true);
        said.zookeeper_tls_ca_file = self.zookeeper_tls_ca_file;
        said.zookeeper_tls_cert_file = self.zookeeper_tls_cert_file;
        said.zookeeper_tls_key_file = self.zookeeper_tls_key_file;
    }

    /// What they mean for these servers.
    ///
    /// # Errors
    /// With the option, the file, and what is wrong with it.
    pub(crate) fn access(&self, servers: &ConnectString) -> Result<Access, Failure> {
        let mut said = Said::default();
        self.clone().say(&mut said);
        said.access(&Origin::Flags, servers, &mut Vec::new())
    }
}

impl Said {
    /// Who we are to Redis, and how it is called.
    pub(super) fn credentials(
        &self,
        origin: &Origin,
        open: &mut Vec<OpenFile>,
    ) -> Result<Credentials, Failure> {
        let files = Files {
            what: "redis",
            on: self.redis_tls,
            ca: self.redis_tls_ca_file.as_deref(),
            certificate: self.redis_tls_cert_file.as_deref(),
            key: self.redis_tls_key_file.as_deref(),
        };
        let password = secret(
            origin,
            ("redis_username", self.redis_username.is_some()),
            ("redis_password_file", self.redis_password_file.as_deref(), &self.redis_password),
            open,
        )?;
        let tls = files.tls(origin, self.redis_tls_server_name.as_deref(), open)?;
        let (username, source_address) = (self.redis_username.clone(), self.source_address);
        Ok(Credentials { username, password, source_address, tls })
    }

    /// Who we are to these servers of ZooKeeper, and how they are called.
    pub(super) fn access(
        &self,
        origin: &Origin,
        servers: &ConnectString,
        open: &mut Vec<OpenFile>,
    ) -> Result<Access, Failure> {
        let files = Files {
            what: "zookeeper",
            on: self.zookeeper_tls,
            ca: self.zookeeper_tls_ca_file.as_deref(),
            certificate: self.zookeeper_tls_cert_file.as_deref(),
            key: self.zookeeper_tls_key_file.as_deref(),
        };
        let password = secret(
            origin,
            ("zookeeper_user", self.zookeeper_user.is_some()),
            ("zookeeper_password_file", self.zookeeper_password_file.as_deref(), &self.zookeeper_password),
            open,
        )?;
        let mut access = Access::default();
        if let Some(password) = password {
            let option = origin.option("zookeeper_user");
            let missing = || usage(format!("a password for ZooKeeper needs a user: give {option}"));
            let user = self.zookeeper_user.as_deref().ok_or_else(missing)?;
            if user.contains(':') || user.is_empty() {
                return Err(usage(format!("{option} `{user}` is no user: it is empty or has a colon")));
            }
            access = access.credentials(user, password);
        }
        if let Some(tls) = files.tls(origin, None, open)? {
            access = access.tls(tls);
        }
        access.check(servers).map_err(|error| usage(format!("{}: {error}", origin.option("zkhosts"))))?;
        Ok(access)
    }
}

/// The password that a file or a variable says, of a user who needs one.
pub(super) fn secret(
    origin: &Origin,
    (user, has_user): (&str, bool),
    (key, file, variable): (&str, Option<&Path>, &Option<SecretString>),
    open: &mut Vec<OpenFile>,
) -> Result<Option<SecretString>, Failure> {
    let option = origin.option(key);
    let password = match file {
        None => variable.clone(),
        Some(file) => {
            let password = password(&option, file)?;
            note(file, "password", open);
            Some(password)
        }
    };
    if has_user && password.is_none() {
        let user = origin.option(user);
        return Err(usage(format!("{user} needs a password")).hint(format!("give {option}")));
    }
    Ok(password)
}

/// Remembers a file that everybody may read.
pub(super) fn note(file: &Path, what: &'static str, open: &mut Vec<OpenFile>) {
    if is_open(file) {
        open.push(OpenFile { what, file: file.display().to_string() });
    }
}

/// What is said of TLS to one side.
struct Files<'a> {
    what: &'static str,
    on: Option<bool>,
    ca: Option<&'a Path>,
    certificate: Option<&'a Path>,
    key: Option<&'a Path>,
}

impl Files<'_> {
    fn tls(
        &self,
        origin: &Origin,
        server_name: Option<&str>,
        open: &mut Vec<OpenFile>,
    ) -> Result<Option<Tls>, Failure> {
        let option = |end: &str| origin.option(&format!("{}_tls{end}", self.what));
        let is_meant = self.ca.or(self.certificate).or(self.key).is_some() || server_name.is_some();
        let is_on = self.on.unwrap_or(is_meant);
        if !is_on {
            return Ok(None);
        }
        let mut tls = Tls::new();
        if let Some(file) = self.ca {
            tls = tls.roots_file(file);
        }
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => {
                tls = tls.identity_files(certificate, key);
                note(key, "key", open);
            }
            (None, None) => {}
            (Some(_), None) => return Err(together(&option("_cert_file"), &option("_key_file"))),
            (None, Some(_)) => return Err(together(&option("_key_file"), &option("_cert_file"))),
        }
        if let Some(name) = server_name {
            tls = tls.server_name(name);
        }
        tls.check().map_err(|error| match &error {
            TlsError::File { file, .. } => {
                let is = |path: Option<&Path>| path.is_some_and(|path| path.display().to_string() == *file);
                let end = if is(self.ca) {
                    "_ca_file"
                } else if is(self.key) {
                    "_key_file"
                } else {
                    "_cert_file"
                };
                Failure::new(Kind::Failed, format!("{} {error}", option(end)))
                    .hint("the file must be readable by the user that runs this, and in PEM")
            }
            TlsError::Name(_) => usage(format!("{}: {error}", option("_server_name"))),
            _ => Failure::new(Kind::Failed, format!("{}: {error}", option("")))
                .hint(format!("give {}", option("_ca_file"))),
        })?;
        Ok(Some(tls))
    }
}

pub(super) fn together(given: &str, missing: &str) -> Failure {
    usage(format!("{given} needs {missing}")).hint("a certificate is shown with its key")
}
