//! A group's policy as keys and values: how `config set` is told what to change, and how `config show` says what is.
//! The keys and their checks are those of a configuration file.

use std::time::Duration;

use redis_failover_core::Policy;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use toml::Table;

use super::keys::{KEYS, nearest};
use super::said::Said;
use super::usage;
use crate::failure::Failure;

/// The word for a quorum that grows with the monitors.
const MAJORITY: &str = "majority";

/// What is to be changed in a policy.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    said: Said,
    /// Whether the quorum is to be the majority again.
    majority: bool,
}

impl Wishes {
    /// Reads `KEY=VALUE` of each text.
    ///
    /// # Errors
    /// With the key that is unknown, said twice, or each monitor's own; or the value that is none.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Failure> {
        let (mut table, mut majority) = (Table::new(), false);
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                return Err(usage(format!("`{text}` changes nothing")).hint("write KEY=VALUE"));
            };
            let (key, value) = (key.trim(), value.trim());
            check_key(key)?;
            if key == "quorum" && value == MAJORITY {
                majority = true;
                continue;
            }
            if table.insert(key.to_owned(), value_of(value)).is_some() {
                return Err(usage(format!("`{key}` is said twice")));
            }
            let alone = Table::from_iter([(key.to_owned(), value_of(value))]);
            Said::deserialize(alone).map_err(|error| usage(format!("{key}={value}: {}", error.message())))?;
        }
        if majority && table.contains_key("quorum") {
            return Err(usage("`quorum` is said twice"));
        }
        let said = Said::deserialize(table).map_err(|error| usage(error.message()))?;
        Ok(Self { said, majority })
    }

    /// `policy` with what is to be changed.
    ///
    /// # Errors
    /// When the settings cannot stand together.
    pub(crate) fn over(&self, policy: &Policy) -> Result<Policy, Failure> {
        let changed = self.said.policy_over(policy)?;
        Ok(if self.majority { changed.with_quorum_of_majority() } else { changed })
    }
}

/// Whether it is a key of the policy, or else which one it may be.
fn check_key(key: &str) -> Result<(), Failure> {
    let settings = Policy::default().settings().map(|(name, _)| name);
    if settings.contains(&key) {
        return Ok(());
    }
    if KEYS.iter().any(|known| known.name == key) {
        return Err(usage(format!("`{key}` is no setting of the group, but each monitor's own"))
            .hint("change it in the monitors' configuration"));
    }
    Err(usage(format!("there is no key `{key}`")).hint(nearest(key, &settings)))
}

/// A value as it would stand in a file, where quotation marks are needed.
fn value_of(text: &str) -> toml::Value {
    let bare = text.trim_matches('"');
    match (text.parse::<i64>(), text.parse::<bool>()) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, Ok(flag)) => toml::Value::Boolean(flag),
        _ => toml::Value::String(bare.to_owned()),
    }
}

/// All settings of a policy in the order of a file, each as a value of JSON.
pub(crate) fn settings(policy: &Policy) -> Map<String, Value> {
    let time = |time: Duration| json!(written(time));
    let value = |key: &str| match key {
        "quorum" => policy.quorum().map_or(json!(MAJORITY), |quorum| json!(quorum)),
        "down_after" => time(policy.down_after()),
        "probe_interval" => time(policy.probe_interval()),
        "misconf_is_unusable" => json!(policy.misconf_is_unusable()),
        "refusal_waits" => json!(policy.refusal_waits()),
        "link_grace" => time(policy.link_grace()),
        "third_failover_waits" => time(policy.third_failover_waits()),
        "discover" => json!(policy.discover().word()),
        "fencing" => json!(policy.fencing().word()),
        "on_divergence" => json!(policy.on_divergence().word()),
        "parallel_syncs" => json!(policy.parallel_syncs()),
        _ => Value::Null,
    };
    policy.settings().into_iter().map(|(key, _)| (key.to_owned(), value(key))).collect()
}

/// A time as a file has it.
pub(crate) fn written(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(texts: &[&str]) -> Result<Wishes, Failure> {
        Wishes::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    /// The error of the first step that refuses it.
    fn refusal(texts: &[&str]) -> String {
        match wishes(texts) {
            Ok(wishes) => wishes.over(&Policy::default()).expect_err("it is refused").to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_setting_that_is_shown_can_be_set() {
        let other = Policy::new(Some(3), Duration::from_millis(1_500), Duration::from_millis(70))
            .expect("it can stand")
            .misconf_unusable(true)
            .patient_with_refusal(true)
            .with_link_grace(Duration::from_secs(7))
            .with_third_failover_waiting(Duration::ZERO)
            .with_discover(redis_failover_core::Discover::Off)
            .with_fencing(redis_failover_core::Fencing::Off)
            .with_on_divergence(redis_failover_core::OnDivergence::Save)
            .with_parallel_syncs(7);
        let shown = settings(&other);
        assert!(shown.values().all(|value| !value.is_null()), "{shown:?}");
        assert!(shown.iter().all(|(key, value)| settings(&Policy::default())[key] != *value), "{shown:?}");
        let bare = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let texts: Vec<_> = shown.iter().map(|(key, value)| format!("{key}={}", bare(value))).collect();
        let set = Wishes::parse(&texts).expect("they are right").over(&Policy::default());
        assert_eq!(set.expect("it can stand"), other);
    }

    #[test]
    fn what_is_not_said_stays_and_the_quorum_can_be_the_majority_again() {
        let three = wishes(&["quorum = 3", "down_after=\"2s\""]).expect("they are right");
        let three = three.over(&Policy::default().with_parallel_syncs(4)).expect("it can stand");
        assert_eq!((three.quorum(), three.parallel_syncs()), (Some(3), 4));
        assert_eq!(three.down_after(), Duration::from_secs(2));
        let majority = wishes(&["quorum=majority"]).expect("it is right").over(&three);
        assert_eq!(majority.map(|policy| policy.quorum()), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (texts, said) in [
            (&["down_afer=1s"][..], "did you mean `down_after`?"),
            (&["down_after"], "KEY=VALUE"),
            (&["sleeptime=7"], "each monitor's own"),
            (&["down_after=soon"], "500ms or 1s"),
            (&["down_after=7"], "down_after=7"),
            (&["discover=maybe"], "none of off, watch and promote"),
            (&["quorum=2", "quorum=3"], "said twice"),
            (&["quorum=2", "quorum=majority"], "said twice"),
            (&["quorum=0"], "quorum 0 is not possible"),
            (&["down_after=100ms"], "does not fit down-after"),
            (&["parallel_syncs=0"], "use 1 or more"),
        ] {
            let refusal = refusal(texts);
            assert!(refusal.contains(said), "{texts:?}: {refusal}");
        }
    }
}
