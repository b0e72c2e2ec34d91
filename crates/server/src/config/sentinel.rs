//! What is said of the Sentinel endpoint, and what is meant. It reads the password's file alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use redis_failover_core::NodeAddr;
use secrecy::SecretString;
use serde::Deserialize;

use super::group::Origin;
use super::secure::{OpenFile, note, said_by_variable, secret, together};
use super::usage;
use super::values::parse_announced;
use crate::failure::Failure;
use crate::sentinel::{Access, ServerTls, ServerTlsFiles};

/// The variable that holds the endpoint's password.
const PASSWORD: &str = "REDIS_FAILOVER_SENTINEL_PASSWORD";

/// Sentinel's own port.
const PORT: u16 = 26_379;

/// Where the endpoint is when nothing is said but that there is to be one.
const DEFAULT: &str = "127.0.0.1:26379";

/// Where and for whom this process answers as a Sentinel.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SentinelArgs {
    /// Answer as a Redis Sentinel there, so that clients that know Sentinel follow the group: IP:PORT, or an IP alone
    /// for port 26379. Without --redishosts this process answers alone, and monitors nothing [default where no address
    /// follows: 127.0.0.1:26379].
    #[arg(
        long,
        value_name = "ADDR",
        num_args = 0..=1,
        default_missing_value = DEFAULT,
        value_parser = parse_address,
        env = "REDIS_FAILOVER_SENTINEL"
    )]
    sentinel: Option<SocketAddr>,

    /// Where clients of other Sentinels are told that this one is; port 0 is the one that it is bound to [default: the
    /// host of --announce, and else what it is bound to, or the host's name where that is every address].
    #[arg(long, value_name = "ADDR", value_parser = parse_announced)]
    sentinel_announce: Option<NodeAddr>,

    /// The user that Sentinel clients name beside the password [default: default].
    #[arg(long, value_name = "USER")]
    sentinel_username: Option<String>,

    /// A file whose first line is the password for Sentinel clients; or set `REDIS_FAILOVER_SENTINEL_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    sentinel_password_file: Option<PathBuf>,

    /// The certificate of the Sentinel endpoint, with those that lead to it, in PEM: it then speaks TLS alone.
    #[arg(long, value_name = "FILE")]
    sentinel_tls_cert_file: Option<PathBuf>,

    /// The key of that certificate, in PEM, without a password.
    #[arg(long, value_name = "FILE")]
    sentinel_tls_key_file: Option<PathBuf>,

    /// Sentinel clients must show a certificate that one of these, in PEM, has signed.
    #[arg(long, value_name = "FILE")]
    sentinel_tls_ca_file: Option<PathBuf>,
}

/// What is said of the endpoint, by options or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct SentinelSaid {
    #[serde(rename = "sentinel", deserialize_with = "address")]
    listen: Option<SocketAddr>,
    #[serde(rename = "sentinel_announce", deserialize_with = "super::said::announced")]
    announce: Option<NodeAddr>,
    #[serde(rename = "sentinel_username")]
    username: Option<String>,
    #[serde(rename = "sentinel_password_file")]
    password_file: Option<PathBuf>,
    #[serde(rename = "sentinel_tls_cert_file")]
    certificate: Option<PathBuf>,
    #[serde(rename = "sentinel_tls_key_file")]
    key: Option<PathBuf>,
    #[serde(rename = "sentinel_tls_ca_file")]
    clients: Option<PathBuf>,
}

/// The endpoint, checked.
#[derive(Clone, Debug)]
pub(crate) struct SentinelConfig {
    /// Where it is bound.
    pub(crate) listen: SocketAddr,
    /// Where others are told that it is, if that is another address.
    pub(crate) announce: Option<NodeAddr>,
    /// Who may ask, and how.
    pub(crate) access: Access,
    /// What was said, to tell another configuration from this one.
    said: SentinelSaid,
}

impl PartialEq for SentinelConfig {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

/// An address, or an IP alone for Sentinel's own port.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let wrong = |_| format!("`{text}` is no address: write IP:PORT, or an IP alone for port {PORT}");
    text.parse::<SocketAddr>().or_else(|_| alone()).map_err(wrong)
}

fn address<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    parse_address(&String::deserialize(value)?).map(Some).map_err(serde::de::Error::custom)
}

impl SentinelArgs {
    pub(super) fn said(&self) -> SentinelSaid {
        SentinelSaid {
            listen: self.sentinel,
            announce: self.sentinel_announce.clone(),
            username: self.sentinel_username.clone(),
            password_file: self.sentinel_password_file.clone(),
            certificate: self.sentinel_tls_cert_file.clone(),
            key: self.sentinel_tls_key_file.clone(),
            clients: self.sentinel_tls_ca_file.clone(),
        }
    }
}

impl SentinelSaid {
    /// This, and where it says nothing what `file` says.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            announce: self.announce.or(file.announce),
            username: self.username.or(file.username),
            password_file: self.password_file.or(file.password_file),
            certificate: self.certificate.or(file.certificate),
            key: self.key.or(file.key),
            clients: self.clients.or(file.clients),
        }
    }

    /// The same where files that are named without a directory's full path are in `directory`.
    pub(super) fn rebase(&mut self, directory: &Path) {
        let files = [&mut self.password_file, &mut self.certificate, &mut self.key, &mut self.clients];
        for file in files.into_iter().flatten() {
            *file = directory.join(&file);
        }
    }

    /// What is meant; `None` where there is to be no endpoint.
    ///
    /// # Errors
    /// With the option, the file, and what would be right.
    pub(super) fn check(
        self,
        origin: &Origin,
        open: &mut Vec<OpenFile>,
    ) -> Result<Option<SentinelConfig>, Failure> {
        let Some(listen) = self.listen else {
            return match self.first_beside() {
                None => Ok(None),
                Some(key) => Err(usage(format!("{} needs an endpoint", origin.option(key)))
                    .hint(format!("say also where it is to be: {}", origin.option("sentinel")))),
            };
        };
        let variable: Option<SecretString> = said_by_variable(PASSWORD);
        let password = secret(
            origin,
            ("sentinel_username", self.username.is_some()),
            ("sentinel_password_file", self.password_file.as_deref(), &variable),
            open,
        )?;
        let tls = self.tls(origin, open)?;
        let access = Access { username: self.username.clone(), password, tls };
        Ok(Some(SentinelConfig { listen, announce: self.announce.clone(), access, said: self }))
    }

    /// A key that says something of an endpoint.
    fn first_beside(&self) -> Option<&'static str> {
        let said = [
            ("sentinel_announce", self.announce.is_some()),
            ("sentinel_username", self.username.is_some()),
            ("sentinel_password_file", self.password_file.is_some()),
            ("sentinel_tls_cert_file", self.certificate.is_some()),
            ("sentinel_tls_key_file", self.key.is_some()),
            ("sentinel_tls_ca_file", self.clients.is_some()),
        ];
        said.into_iter().find(|(_, said)| *said).map(|(key, _)| key)
    }

    fn tls(&self, origin: &Origin, open: &mut Vec<OpenFile>) -> Result<Option<ServerTls>, Failure> {
        let option = |key: &str| origin.option(key);
        let (certificate, key) = match (&self.certificate, &self.key, &self.clients) {
            (Some(certificate), Some(key), _) => (certificate.clone(), key.clone()),
            (None, None, None) => return Ok(None),
            (None, Some(_), _) => {
                return Err(together(&option("sentinel_tls_key_file"), &option("sentinel_tls_cert_file")));
            }
            (Some(_), None, _) => {
                return Err(together(&option("sentinel_tls_cert_file"), &option("sentinel_tls_key_file")));
            }
            (None, None, Some(_)) => {
                return Err(together(&option("sentinel_tls_ca_file"), &option("sentinel_tls_cert_file")));
            }
        };
        note(&key, "key", open);
        let files = ServerTlsFiles { certificate, key, clients: self.clients.clone() };
        ServerTls::read(&files).map(Some)
    }
}

impl SentinelConfig {
    /// What an operator may not have meant.
    pub(super) fn warning(&self) -> Option<String> {
        let (ip, loopback) = (self.listen.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let open = !ip.is_loopback() && self.access.password.is_none();
        let asks_certificates = self.said.clients.is_some();
        (open && !asks_certificates).then(|| {
            format!(
                "the Sentinel endpoint at {} asks nobody for a password: whoever reaches it can have the master \
                 switched over (give a password, ask for certificates, or use {loopback})",
                self.listen
            )
        })
    }
}
