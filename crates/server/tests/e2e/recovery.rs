//! Each state that `status` can show is provoked, seen there by its name, and gone once what docs/reference/status.md
//! says was done.
//!
//! Some of it is played where the same trouble is tested anyway: whoever calls [`recovers`] plays a recovery. What is
//! in no other test is in the modules here. None of it judges how fast a recovery is.

mod group;
mod nodes;
mod returns;
mod waits;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use redis_failover_lab::eventually;
use serde_json::Value;

use crate::world::{DEADLINE, Group, Servers};

/// What a look shows: names of states.
pub(crate) type Seen = Result<BTreeSet<String>, String>;

/// Every state that stands in what `status --json` printed, wherever it stands there.
pub(crate) fn states_in(status: &Value) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut all = list(&status["states"]);
    all.push(status["phase"].clone());
    all.extend(list(&status["monitors"]).iter().map(|monitor| monitor["is"].clone()));
    for node in list(&status["nodes"]) {
        all.push(if node["ok"] == true { "OK" } else { "KO" }.into());
        all.extend([&node["role"], &node["diverged"]["is"], &node["waits"]["state"]].map(Value::clone));
        all.extend(list(&node["notes"]));
        all.extend(node["votes"].as_object().into_iter().flat_map(|votes| votes.values().cloned()));
    }
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A look at a group by `status --json`. Where there is no record the command fails, and its message names the state.
pub(crate) fn in_status(servers: &Servers) -> impl Fn(&Group) -> Seen {
    |group| match group.status(servers) {
        Ok(status) => Ok(states_in(&status)),
        Err(error) => {
            let named = error.lines().next().and_then(|line| line.strip_suffix(']')?.rsplit_once('['));
            named.map(|(_, state)| BTreeSet::from([state.to_owned()])).ok_or(error)
        }
    }
}

/// Waits until a `look` shows all `states` at once, does what mends them, and waits until none of them is shown.
#[track_caller]
pub(crate) fn recovers<T>(look: impl Fn(&T) -> Seen, of: &mut T, states: &[&str], mend: impl FnOnce(&mut T)) {
    eventually(DEADLINE, &format!("{states:?} are shown"), || {
        let seen = look(of)?;
        if states.iter().all(|state| seen.contains(*state)) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    mend(of);
    eventually(DEADLINE, &format!("none of {states:?} is shown any more"), || {
        let seen = look(of)?;
        if states.iter().any(|state| seen.contains(*state)) { Err(format!("{seen:?}")) } else { Ok(()) }
    });
}

/// Waits until `status` shows nothing that an operator would have to look at.
#[track_caller]
fn await_well(servers: &Servers, group: &Group, master: usize) {
    group.await_steady(servers, master);
    eventually(DEADLINE, "the group is well", || {
        let seen = in_status(servers)(group)?;
        let other: Vec<_> = seen.iter().filter(|state| !WELL.contains(&state.as_str())).collect();
        if other.is_empty() { Ok(()) } else { Err(format!("{other:?}")) }
    });
}

/// States that nobody has to get out of.
const WELL: [&str; 7] = ["steady", "master", "replica", "OK", "up", "leader", "standby"];

/// Reasons that pass by themselves, so that no test could wait for them, each with why.
const PASSING: [(&str, &str); 3] = [
    ("half-synced", "for less than a second, until it is asked again; `returns` finds it in the log"),
    ("not-asked", "a switchover that has come so far has the one that it names: the group waits for nobody"),
    ("out-of-reach", "one that only the leader reaches takes over where nobody else may: then nobody waits"),
];

/// The names of states in the calls of [`recovers`] in a file of tests, or in all files of a directory.
fn played(path: &Path, names: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("it can be read") {
            played(&entry.expect("an entry").path(), names);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).expect("text");
        // What is done about it is a closure, and the last argument.
        let calls = text.split(concat!("recovers", "(")).skip(1).filter_map(|call| call.split('|').next());
        names.extend(calls.flat_map(|call| call.split('"').skip(1).step_by(2)).map(str::to_owned));
    }
}

#[test]
fn a_group_has_recovered_from_each_state_that_is_documented() {
    let page = include_str!("../../../../docs/reference/status.md");
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let documented: BTreeSet<_> = headings.map(str::to_owned).collect();
    let mut names = BTreeSet::new();
    played(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e"), &mut names);
    let excepted = WELL.into_iter().chain(PASSING.map(|(state, _)| state)).map(str::to_owned);
    assert_eq!(names.iter().cloned().chain(excepted).collect::<BTreeSet<_>>(), documented);
    let needless: Vec<_> = PASSING.iter().filter(|(state, _)| names.contains(*state)).collect();
    assert!(needless.is_empty(), "played all the same: {needless:?}");
}
