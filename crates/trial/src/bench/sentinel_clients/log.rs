//! What one client has said so far: writes, errors and reads, each at its time. Pure; it never decides what is good.

use std::time::Duration;

use serde_json::Value;

/// A time, since 1970: the clients are other processes.
pub(super) type At = Duration;

/// All that a client has said.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// What it calls itself, with its version.
    pub title: Option<String>,
    /// The writes that were confirmed, in order.
    pub writes: Vec<Write>,
    /// Which server took writes, as far as it was asked.
    pub took: Vec<(At, String)>,
    /// What writes failed with.
    pub errors: Vec<(At, String)>,
    /// Reads that were answered.
    pub reads: Vec<Read>,
    /// What reads failed with.
    pub read_errors: Vec<(At, String)>,
}

/// A confirmed write of a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub number: u64,
    pub at: At,
}

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub at: At,
    /// Who answered.
    pub server: String,
    /// Whether that called itself a replica.
    pub of_replica: bool,
}

impl Log {
    /// Enters a line. What is no JSON is of the client's language, and nothing that is counted.
    ///
    /// # Errors
    /// When an event is not what it should be.
    pub(super) fn enter(&mut self, line: &str) -> Result<(), String> {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return Ok(()) };
        let strange = || format!("this is no event: {line}");
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        let millis = event["t"].as_f64().ok_or_else(strange)?;
        let at = Duration::try_from_secs_f64(millis / 1e3).map_err(|_| strange())?;
        if let (Some(client), Some(version)) = (text("client"), text("version")) {
            self.title = Some(format!("{client} {version}"));
        } else if let Some(number) = event["ok"].as_u64() {
            self.writes.push(Write { number, at });
        } else if let Some(server) = text("wrote_at") {
            self.took.push((at, server));
        } else if let Some(error) = text("error") {
            self.errors.push((at, error));
        } else if let (Some(server), Some(role)) = (text("server"), text("role")) {
            self.reads.push(Read { at, server, of_replica: role == "slave" });
        } else if let Some(error) = text("read_error") {
            self.read_errors.push((at, error));
        } else if event["noted"].is_null() {
            return Err(strange());
        }
        Ok(())
    }

    /// When `server` is first known to have taken a write after `since`.
    pub(super) fn arrived(&self, server: &str, since: At) -> Option<At> {
        self.took.iter().find(|(at, took)| *at > since && took == server).map(|(at, _)| *at)
    }

    /// The longest time between two confirmed writes, of which the second came after `since`.
    pub(super) fn pause(&self, since: At) -> Duration {
        let gaps = self.writes.windows(2).filter(|pair| pair[1].at > since);
        gaps.map(|pair| pair[1].at.saturating_sub(pair[0].at)).max().unwrap_or_default()
    }

    /// How many writes were confirmed after `since`.
    pub(super) fn written_after(&self, since: At) -> usize {
        self.writes.iter().filter(|write| write.at > since).count()
    }

    /// How many reads a replica answered after `since`, another server than `master`.
    pub(super) fn read_after(&self, since: At, master: &str) -> usize {
        let of_replica = |read: &&Read| read.at > since && read.of_replica && read.server != master;
        self.reads.iter().filter(of_replica).count()
    }

    /// What writes failed with after `since`.
    pub(super) fn errors_after(&self, since: At) -> impl Iterator<Item = &str> {
        self.errors.iter().filter(move |(at, _)| *at > since).map(|(_, error)| error.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> At = Duration::from_millis;

    fn log(lines: &[&str]) -> Log {
        let mut log = Log::default();
        for line in lines {
            log.enter(line).unwrap();
        }
        log
    }

    #[test]
    fn what_a_client_says_is_counted() {
        let log = log(&[
            r#"{"t":0,"client":"a client","version":"1.2"}"#,
            "Traceback (most recent call last):",
            r#"{"t":10.5,"ok":0}"#,
            r#"{"t":11,"wrote_at":"old"}"#,
            r#"{"t":20,"ok":1}"#,
            r#"{"t":30,"error":"gone"}"#,
            r#"{"t":31,"noted":"mended"}"#,
            r#"{"t":32,"read_error":"gone"}"#,
            r#"{"t":520,"ok":2}"#,
            r#"{"t":521,"wrote_at":"new"}"#,
            r#"{"t":530,"read":"0","server":"other","role":"slave"}"#,
            r#"{"t":540,"read":null,"server":"new","role":"master"}"#,
        ]);
        assert_eq!(log.title.as_deref(), Some("a client 1.2"));
        assert_eq!(log.writes[0], Write { number: 0, at: Duration::from_micros(10_500) });
        assert_eq!(log.arrived("new", AT(25)), Some(AT(521)));
        assert_eq!(log.arrived("old", AT(25)), None, "it took writes before that only");
        assert_eq!(log.errors_after(AT(25)).collect::<Vec<_>>(), ["gone"]);
        assert_eq!((log.written_after(AT(25)), log.read_after(AT(25), "new")), (1, 1));
        assert_eq!(log.read_after(AT(25), "other"), 0, "a master is no replica, whatever it says");
        assert_eq!(log.read_errors.len(), 1);
    }

    #[test]
    fn a_pause_may_begin_before_what_caused_it() {
        let log = log(&[r#"{"t":0,"ok":0}"#, r#"{"t":100,"ok":1}"#, r#"{"t":150,"ok":2}"#]);
        assert_eq!(log.pause(AT(50)), AT(100));
        assert_eq!(log.pause(AT(100)), AT(50));
        assert_eq!(log.pause(AT(150)), Duration::ZERO);
    }

    #[test]
    fn an_event_that_nobody_knows_is_an_error() {
        for line in [r#"{"ok":1}"#, r#"{"t":-1,"ok":1}"#, r#"{"t":1,"well":1}"#] {
            assert!(Log::default().enter(line).unwrap_err().contains(line));
        }
    }
}
