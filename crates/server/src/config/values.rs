//! The values of single options and keys. It knows no option's name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use redis_failover_core::{MonitorId, NodeAddr};
use secrecy::SecretString;

use super::usage;
use crate::failure::{Failure, Kind};

/// The longest time: what is added to the clock's time must stay one.
const LONGEST_DAYS: u64 = 365;

const DAY_MILLIS: u64 = 86_400_000;

/// A number with `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MILLIS,
        _ => 0,
    };
    if millis == 0 || digits.is_empty() {
        return Err(format!(
            "`{text}` is no time: write a whole number with ms, s, m, h or d, for example 500ms or 1s"
        ));
    }
    let time = digits.parse().ok().and_then(|number: u64| number.checked_mul(millis));
    time.filter(|time| *time <= LONGEST_DAYS * DAY_MILLIS)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is too long: use {LONGEST_DAYS}d at most"))
}

/// The smallest journal: a snapshot must fit many times.
const SMALLEST_JOURNAL: u64 = 64 << 10;

/// A number of bytes with `KiB`, `MiB` or `GiB`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    match digits.parse().ok().and_then(|number: u64| number.checked_mul(unit)) {
        Some(0) | None => Err(format!(
            "`{text}` is no size: write a whole number with KiB, MiB or GiB (of 1024), for example 16MiB"
        )),
        Some(size) if size < SMALLEST_JOURNAL => Err(format!("{text} is too little: use 64KiB or more")),
        Some(size) => Ok(size),
    }
}

pub(crate) fn parse_node(text: &str) -> Result<NodeAddr, String> {
    text.trim().parse::<NodeAddr>().map_err(|error| error.to_string())
}

/// An address that others are told; port 0 stands for the one that is taken.
pub(super) fn parse_announced(text: &str) -> Result<NodeAddr, String> {
    match text.trim().strip_suffix(":0") {
        // Any port tells whether the host is one.
        Some(host) => parse_node(&format!("{host}:1")).map(|node| NodeAddr::new(node.host(), 0)),
        None => parse_node(text),
    }
}

/// The host's name; empty where the system says none.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The host's name as this monitor's id.
pub(super) fn default_id() -> Result<MonitorId, Failure> {
    host_name().parse().map_err(|error| {
        usage(format!("the host's name can't be this monitor's id: {error}")).hint("give an id")
    })
}

/// Whether every user of this machine may read the file.
pub(super) fn is_open(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Reads the first line of `file`, which `option` names.
pub(super) fn password(option: &str, file: &Path) -> Result<SecretString, Failure> {
    let failed = |why: String| Failure::new(Kind::Failed, format!("{option} {}: {why}", file.display()));
    let unreadable = |error: std::io::Error| {
        failed(error.to_string()).hint("the file must be readable by the user that runs the monitor")
    };
    let text = fs::read_to_string(file).map_err(unreadable)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.into()),
        None => Err(failed("its first line is empty".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("16MiB"), Ok(16_777_216));
        assert_eq!(parse_size("1GiB"), Ok(1_073_741_824));
        for text in [
            "",
            "5",
            "MiB",
            "-1MiB",
            "16MB",
            "16M",
            "0MiB",
            "99999999999999999999MiB",
            "18446744073709551615GiB",
        ] {
            assert!(parse_size(text).expect_err(text).contains("16MiB"), "{text}");
        }
        assert!(parse_size("63KiB").expect_err("too little").contains("64KiB"));
    }

    #[test]
    fn an_announced_port_may_be_the_one_that_is_taken() {
        assert_eq!(parse_announced("a.example:0"), Ok(NodeAddr::new("a.example", 0)));
        assert_eq!(parse_announced("[::1]:0"), Ok(NodeAddr::new("::1", 0)));
        assert_eq!(parse_announced("10.0.0.1:8080"), Ok(NodeAddr::new("10.0.0.1", 8080)));
        for text in [":0", "a b:0", "a.example", "a.example:65536"] {
            assert!(parse_announced(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("1m"), Ok(Duration::from_mins(1)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(parse_time("365d"), Ok(Duration::from_hours(365 * 24)));
        for text in ["", "5", "s", "-1s", "1w", "1.5s", "1 s"] {
            assert!(parse_time(text).expect_err(text).contains("500ms"), "{text}");
        }
        for text in ["366d", "18446744073709551615s", "18446744073709551615d", "99999999999999999999s"] {
            assert!(parse_time(text).expect_err(text).contains("too long: use 365d at most"), "{text}");
        }
    }
}
