//! Configuration files: one, and those in `conf.d` beside it. Each reading is whole or an error; nothing is remembered
//! of an earlier one.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use redis_failover_core::{MonitorId, NodeAddr};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::backing;
use super::group::{GroupConfig, Origin};
use super::said::Said;
use super::sentinel::SentinelSaid;
use super::{Config, Identity, keys, usage};
use crate::failure::{Failure, Kind};

/// A configuration file, to be read as often as wanted.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// What the command line says instead of the file.
    identity: Identity,
}

/// What one file holds. Keys that it has not were refused before: see [`keys::check`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    #[serde(deserialize_with = "super::said::text")]
    id: Option<MonitorId>,
    listen: Option<SocketAddr>,
    #[serde(deserialize_with = "super::said::announced")]
    announce: Option<NodeAddr>,
    #[serde(flatten)]
    sentinel: SentinelSaid,
    embedded: bool,
    state_file: Option<PathBuf>,
    defaults: Said,
    group: Vec<Spanned<Said>>,
}

impl ConfigFile {
    /// The file at `path`; what the command line says of `identity` comes first.
    pub(super) fn new(path: PathBuf, identity: Identity) -> Self {
        Self { path, identity }
    }

    /// The file at `path`, as it stands there.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self::new(path, Identity::default())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file and those in `conf.d` beside it.
    ///
    /// # Errors
    /// With the file, the line, and what would be right.
    pub(crate) fn read(&self) -> Result<Config, Failure> {
        let main = Parsed::read(&self.path, false)?;
        let Identity { id, listen, announce, sentinel } = self.identity.clone();
        let identity = Identity {
            id: id.or(main.content.id.clone()),
            listen: listen.or(main.content.listen),
            announce: announce.or(main.content.announce.clone()),
            sentinel: sentinel.or(main.content.sentinel.clone()),
        };
        let defaults = main.content.defaults.clone();
        let state_file = main.state_file()?;
        let mut groups = main.groups(&defaults, state_file.as_deref())?;
        for path in self.more_files()? {
            groups.extend(Parsed::read(&path, true)?.groups(&defaults, state_file.as_deref())?);
        }
        if groups.is_empty() {
            return Err(usage(format!("{}: there is no group", self.path.display())).hint(
                "write a [[group]] with `path` and `redishosts`, here or in a file in conf.d beside it",
            ));
        }
        Config::new(identity, &Origin::File(self.path.clone()), groups)
    }

    /// The files `*.toml` in `conf.d`, without hidden ones, by name.
    fn more_files(&self) -> Result<Vec<PathBuf>, Failure> {
        let directory = self.path.with_file_name("conf.d");
        let failed =
            |error: std::io::Error| Failure::new(Kind::Failed, format!("{}: {error}", directory.display()));
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let is_ours = |path: &PathBuf| {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            !hidden && path.extension().is_some_and(|extension| extension == "toml")
        };
        let mut paths: Vec<_> = paths.map_err(failed)?.into_iter().filter(is_ours).collect();
        paths.sort();
        Ok(paths)
    }
}

/// A file that was read.
struct Parsed {
    path: PathBuf,
    text: String,
    content: Content,
}

impl Parsed {
    fn read(path: &Path, only_groups: bool) -> Result<Self, Failure> {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::new(Kind::Failed, format!("{}: {error}", path.display())))?;
        let place = |at: usize| format!("{}:{}", path.display(), line(&text, at));
        let failed = |error: toml::de::Error| {
            let place = error.span().map_or_else(|| path.display().to_string(), |span| place(span.start));
            usage(format!("{place}: {}", error.message()))
        };
        let table = DeTable::parse(&text).map_err(failed)?;
        if let Some(found) = keys::check(table.get_ref(), only_groups) {
            return Err(usage(format!("{}: {}", place(found.at), found.why)).hint(found.hint));
        }
        let mut content = Content::deserialize(Deserializer::from(table)).map_err(failed)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        content.sentinel.rebase(directory);
        content.defaults.rebase(directory);
        for group in &mut content.group {
            group.get_mut().rebase(directory);
        }
        Ok(Self { path: path.to_owned(), content, text })
    }

    /// The file that keeps the records, in the directory of this one unless it is said in full.
    fn state_file(&self) -> Result<Option<PathBuf>, Failure> {
        let Content { embedded, state_file, .. } = &self.content;
        let directory = self.path.parent().unwrap_or(Path::new(""));
        let file = state_file.as_ref().map(|file| directory.join(file));
        backing::state_file(&Origin::File(self.path.clone()), *embedded, file).map_err(|mut failure| {
            failure.message = format!("{}: {}", self.path.display(), failure.message);
            failure
        })
    }

    /// The file's groups, whose records are kept in `state_file` if there is one; what they do not say `defaults` say.
    fn groups(self, defaults: &Said, state_file: Option<&Path>) -> Result<Vec<GroupConfig>, Failure> {
        let origin = Origin::File(self.path.clone());
        let mut groups = Vec::new();
        for group in self.content.group {
            if group.get_ref().path.is_none() {
                let at = line(&self.text, group.span().start);
                return Err(usage(format!("{}:{at}: this group has no `path`", self.path.display())));
            }
            groups.push(group.into_inner().or(defaults).check(origin.clone(), state_file)?);
        }
        Ok(groups)
    }
}

/// The number of the line that holds the byte `at`, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
