//! Whether the keys of a file stand where they mean something. It looks at no values but the kinds of sections.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEFAULTS, GROUP, KEYS, Place};

/// What people may take for the key of a password.
const PASSWORDS: [&str; 5] =
    ["redis_password", "zookeeper_password", "password", "requirepass", "masterauth"];

/// A key that may not stand where it stands: where that is, and why.
pub(in super::super) struct Misplaced {
    pub(in super::super) at: usize,
    pub(in super::super) why: String,
    pub(in super::super) hint: String,
}

/// The first key of a file that is unknown or stands in the wrong place. In a file of `conf.d` (`only_groups`) all but
/// groups are in the wrong place.
pub(in super::super) fn check(table: &DeTable<'_>, only_groups: bool) -> Option<Misplaced> {
    for (key, value) in table {
        let found = match (key.get_ref().as_ref(), value.get_ref()) {
            (GROUP, DeValue::Array(groups)) => {
                let tables = groups.iter().filter_map(|group| group.get_ref().as_table());
                tables.flat_map(DeTable::keys).find_map(|key| misplaced(key, &[Place::Group, Place::Shared]))
            }
            (DEFAULTS, DeValue::Table(defaults)) if !only_groups => {
                defaults.keys().find_map(|key| misplaced(key, &[Place::Shared]))
            }
            (GROUP, _) => Some(wrong(key, "`group` is no list", "write [[group]] above each group's keys")),
            (DEFAULTS, _) if !only_groups => {
                Some(wrong(key, "`defaults` is no section", "write [defaults] above its keys"))
            }
            _ if only_groups => {
                Some(wrong(key, "a file in conf.d holds [[group]] only", "say it in the main file"))
            }
            _ => misplaced(key, &[Place::Top]),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn wrong(key: &Spanned<impl AsRef<str>>, why: impl Into<String>, hint: impl Into<String>) -> Misplaced {
    Misplaced { at: key.span().start, why: why.into(), hint: hint.into() }
}

fn misplaced(key: &Spanned<impl AsRef<str>>, places: &[Place]) -> Option<Misplaced> {
    let name = key.get_ref().as_ref();
    match KEYS.iter().find(|known| known.name == name) {
        Some(known) if places.contains(&known.place) => None,
        Some(known) => {
            let place = match known.place {
                Place::Top => "at the top of the file, above the first [section]",
                Place::Shared => "in [defaults] or in a [[group]]",
                Place::Group => "in a [[group]]",
            };
            Some(wrong(key, format!("`{name}` has no meaning here"), format!("it belongs {place}")))
        }
        None if PASSWORDS.contains(&name) => Some(wrong(
            key,
            format!(
                "`{name}` is not accepted: a configuration file is copied, shown and kept in many places"
            ),
            format!(
                "write the password alone into a file, and name that as `{}_password_file`",
                if name == "zookeeper_password" { "zookeeper" } else { "redis" }
            ),
        )),
        None => Some(wrong(key, format!("there is no key `{name}`"), nearest(name, &known_at(places)))),
    }
}

/// The keys and sections that may stand there.
fn known_at(places: &[Place]) -> Vec<&'static str> {
    let sections = if places.contains(&Place::Top) { &[DEFAULTS, GROUP][..] } else { &[] };
    let keys = KEYS.iter().filter(|known| places.contains(&known.place)).map(|known| known.name);
    keys.chain(sections.iter().copied()).collect()
}

/// The one of the `known` keys that is most like `name`, and else all of them.
pub(crate) fn nearest(name: &str, known: &[&str]) -> String {
    match near(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// The one of the `known` names that is most like `name`, if one is.
pub(crate) fn near<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |key: &&&str| strsim::damerau_levenshtein(key, name);
    known.iter().min_by_key(distance).filter(|key| distance(key) <= 3).copied()
}
