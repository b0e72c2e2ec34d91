//! The page on all keys, for people. It says what the list says.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{KEYS, Key, Place};

/// The page on all keys, in Markdown.
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "A file for `redis-failover run --config FILE`, in TOML. Keys at the top are the process's, those under \
         `[defaults]` count for all groups, and each `[[group]]` is one group. Files named `*.toml` in the directory \
         `conf.d` beside the file are read after it, in the order of their names; they hold `[[group]]` only.\n\n\
         A *time* is text: a whole number with `ms`, `s`, `m`, `h` or `d`, such as `\"500ms\"`; `365d` at most. \
         A *size* is text: a whole number with `KiB`, `MiB` or `GiB` (of 1024), such as `\"16MiB\"`.\n",
    );
    let sections = [
        (Place::Top, "At the top"),
        (Place::Group, "In `[[group]]`"),
        (Place::Shared, "In `[[group]]`, or for all groups in `[defaults]`"),
    ];
    for (place, title) in sections {
        write!(page, "\n## {title}\n\n| key | value | default | |\n|---|---|---|---|\n").expect(GROWS);
        for key in KEYS.iter().filter(|key| key.place == place) {
            let default = key.default.map_or_else(str::to_owned, |value| format!("`{value}`"));
            writeln!(page, "| `{}` | {} | {default} | {} |", key.name, key.kind, key.about).expect(GROWS);
        }
    }
    page
}

/// All keys for programs: an array of objects.
pub(crate) fn keys() -> Value {
    let places = |place: Place| match place {
        Place::Top => json!(["top"]),
        Place::Group => json!(["group"]),
        Place::Shared => json!(["group", "defaults"]),
    };
    let key = |key: &Key| {
        json!({
            "key": key.name,
            "stands_in": places(key.place),
            "value": key.kind,
            "default": key.default.unwrap_or_else(|words| words),
            "about": key.about,
        })
    };
    KEYS.iter().map(key).collect()
}

const GROWS: &str = "a string takes everything";
