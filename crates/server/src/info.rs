//! Reads what Redis says of itself in INFO. It parses text that a foreign server wrote, and never panics on it.

use std::collections::BTreeMap;

use redis_failover_core::plan::MAX_LAG;
use redis_failover_core::{Evidence, History, Link, NodeAddr, ReplId, Role, RunId};

/// The fields of one or more INFO sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info(BTreeMap<String, String>);

/// What an INFO lacks; the server is none that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("INFO has no usable field `{0}`")]
pub(crate) struct InfoError(&'static str);

/// The name that Redis gives to no history.
const NO_HISTORY: char = '0';

impl Info {
    /// Reads the text of a reply; lines that are no fields are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let fields =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    /// Takes in the fields of other sections.
    pub(crate) fn add(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// The life of the process, from the section `server`.
    ///
    /// # Errors
    /// When the section is missing.
    pub(crate) fn run(&self) -> Result<RunId, InfoError> {
        self.text("run_id").map(|run| RunId(run.to_owned()))
    }

    /// What the node is, from the section `replication`.
    ///
    /// # Errors
    /// When the section is missing.
    pub(crate) fn role(&self) -> Result<Role, InfoError> {
        match self.text("role")? {
            "master" => Ok(Role::Master { replicas: self.number("connected_slaves")? }),
            "slave" => {
                let of = format!("{}:{}", self.text("master_host")?, self.text("master_port")?);
                // Older servers do not tell received from applied.
                let received = self.number("slave_read_repl_offset").or_else(|_| self.offset())?;
                Ok(Role::Replica { of: of.parse::<NodeAddr>().ok(), link: self.link()?, received })
            }
            _ => Err(InfoError("role")),
        }
    }

    fn link(&self) -> Result<Link, InfoError> {
        if self.text("master_sync_in_progress")? != "0" {
            return Ok(Link::Syncing);
        }
        match self.text("master_link_status")? {
            "up" => Ok(Link::Up),
            // -1 stands for a link that never was.
            _ => Ok(Link::Down { seconds: self.number("master_link_down_since_seconds").unwrap_or(0) }),
        }
    }

    /// What the node holds, from the section `replication`.
    ///
    /// # Errors
    /// When the section is missing.
    pub(crate) fn history(&self) -> Result<History, InfoError> {
        let replid = ReplId(self.text("master_replid")?.to_owned());
        let previous = self.text("master_replid2")?;
        let known = previous.chars().any(|digit| digit != NO_HISTORY);
        let end = self.number("second_repl_offset").ok().filter(|_| known);
        let previous = end.map(|end| (ReplId(previous.to_owned()), end));
        Ok(History { replid, offset: self.offset()?, previous })
    }

    /// Bytes of its history that the node has applied, which is where it goes on when it is promoted.
    ///
    /// `slave_repl_offset` is the same only while the replica knows a master to go on with. One that has never been in
    /// step says 1 there, and so does one of Redis 6.2 that was promised a whole copy, though it has all that it had.
    fn offset(&self) -> Result<u64, InfoError> {
        self.number("master_repl_offset")
    }

    /// Whether the node keeps no backlog, from the section `replication`: then nothing that it writes moves its offset.
    fn keeps_no_backlog(&self) -> bool {
        self.0.get("repl_backlog_active").is_some_and(|active| active == "0")
    }

    /// Whether the data is still being read from disk, from the section `persistence`: what is counted is not all.
    pub(crate) fn loading(&self) -> bool {
        self.0.get("loading").is_some_and(|loading| loading != "0")
    }

    /// Whether a snapshot is being written, from the section `persistence`.
    pub(crate) fn is_saving(&self) -> bool {
        self.0.get("rdb_bgsave_in_progress").is_some_and(|it| it != "0")
    }

    /// Whether the last snapshot that was begun was written well, from the section `persistence`.
    pub(crate) fn has_saved(&self) -> bool {
        self.0.get("rdb_last_bgsave_status").is_some_and(|status| status == "ok")
    }

    /// How many keys there are in all databases, from the section `keyspace`.
    pub(crate) fn keys(&self) -> u64 {
        let databases = self
            .0
            .iter()
            .filter(|(name, _)| name.strip_prefix("db").is_some_and(|number| number.parse::<u32>().is_ok()));
        let keys = |value: &str| value.strip_prefix("keys=")?.split(',').next()?.parse::<u64>().ok();
        databases.filter_map(|(_, value)| keys(value)).sum()
    }

    /// When the data was last saved in this life of the process, in seconds since 1970, from the sections `server` and
    /// `persistence`. A server that has just started calls its start a save, whatever it loaded.
    pub(crate) fn saved(&self) -> Option<u64> {
        let now = self.number::<u64>("server_time_usec").ok()? / 1_000_000;
        let started = now.checked_sub(self.number("uptime_in_seconds").ok()?)?;
        // The two clocks of the server are a second apart at most.
        self.number("rdb_last_save_time").ok().filter(|saved| *saved > started + 1)
    }

    /// Redis's `replica-priority`; masters do not tell theirs, and keep the server's default.
    pub(crate) fn priority(&self) -> u32 {
        self.number("slave_priority").unwrap_or(100)
    }

    /// Whether a `min-replicas-to-write` above 0 is set: only then a master counts its good replicas.
    pub(crate) fn guarded(&self) -> bool {
        self.0.contains_key("min_slaves_good_slaves")
    }

    /// The replicas that a master feeds, by the addresses that they announced, from the section `replication`.
    ///
    /// One that is still being filled is left out, and so is what announced no port: a program that only reads along.
    pub(crate) fn feeds(&self) -> Vec<NodeAddr> {
        let address = |fields: BTreeMap<&str, &str>| {
            format!("{}:{}", fields.get("ip")?, fields.get("port")?).parse::<NodeAddr>().ok()
        };
        self.online_replicas().filter_map(address).collect()
    }

    /// How many replicas a master counts as good ones, as it does where a `min-replicas-to-write` is set.
    pub(crate) fn good_replicas(&self) -> u32 {
        let lag = |fields: &BTreeMap<&str, &str>| fields.get("lag").and_then(|lag| lag.parse::<u64>().ok());
        let good =
            self.online_replicas().filter(|fields| lag(fields).is_some_and(|lag| lag <= MAX_LAG.as_secs()));
        u32::try_from(good.count()).unwrap_or(u32::MAX)
    }

    /// What a master says of each replica that holds all of a copy.
    fn online_replicas(&self) -> impl Iterator<Item = BTreeMap<&str, &str>> {
        let numbered = |name: &str| name.strip_prefix("slave").is_some_and(|it| it.parse::<u32>().is_ok());
        let listed = self.0.iter().filter(move |(name, _)| numbered(name)).map(|(_, value)| value.as_str());
        let fields = listed.map(|it| it.split(',').filter_map(|field| field.split_once('=')).collect());
        fields.filter(|fields: &BTreeMap<_, _>| fields.get("state") == Some(&"online"))
    }

    /// The value of a field, where the server says one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All fields.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// The server's version, from the section `server`.
    pub(crate) fn version(&self) -> Option<&str> {
        self.0.get("redis_version").map(String::as_str)
    }

    /// The server's make and version.
    fn full_version(&self) -> Option<String> {
        // Valkey also names the Redis that its protocol is that of.
        let valkey = self.field("valkey_version").map(|version| format!("Valkey {version}"));
        valkey.or_else(|| self.version().map(|version| format!("Redis {version}")))
    }

    /// Whether the server keeps an append-only file, from the section `persistence`.
    fn appends(&self) -> Option<bool> {
        self.field("aof_enabled").map(|enabled| enabled == "1")
    }

    fn text(&self, name: &'static str) -> Result<&str, InfoError> {
        self.0.get(name).map(String::as_str).ok_or(InfoError(name))
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, InfoError> {
        self.text(name)?.parse().map_err(|_| InfoError(name))
    }
}

/// Evidence from what a node was before (`before`) and what it said of itself in the same transaction (`now`).
///
/// # Errors
/// When a section is missing.
pub(crate) fn evidence(
    before: &Info,
    now: &Info,
    min_replicas_to_write: Option<u32>,
) -> Result<Evidence, InfoError> {
    Ok(Evidence {
        run: now.run()?,
        role: before.role()?,
        history: now.history()?,
        priority: now.priority(),
        uncounted: now.keeps_no_backlog(),
        keys: now.keys(),
        saved: now.saved(),
        min_replicas_to_write,
        version: now.full_version(),
        appends: now.appends(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICA: &str = "# Replication\r\nrole:slave\r\nmaster_host:::1\r\nmaster_port:6379\r\n\
        master_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\nmaster_sync_in_progress:0\r\n\
        slave_read_repl_offset:120\r\nslave_repl_offset:100\r\nmaster_link_down_since_seconds:7\r\n\
        slave_priority:10\r\nslave_read_only:1\r\nconnected_slaves:0\r\n\
        master_replid:abc\r\nmaster_replid2:def\r\nmaster_repl_offset:100\r\nsecond_repl_offset:51\r\n";

    #[test]
    fn a_replica_with_a_broken_link() {
        let info = Info::parse(REPLICA);
        let link = Link::Down { seconds: 7 };
        let of = Some(NodeAddr::new("::1", 6379));
        assert_eq!(info.role(), Ok(Role::Replica { of, link, received: 120 }));
        let history = info.history().expect("a history");
        assert_eq!(history.offset, 100);
        assert_eq!(history.previous, Some((ReplId("def".into()), 51)));
        assert_eq!(info.priority(), 10);
    }

    #[test]
    fn a_server_without_a_backlog_does_not_count() {
        let active = |line: &str| Info::parse(&format!("{REPLICA}{line}")).keeps_no_backlog();
        assert!(active("repl_backlog_active:0\r\n"));
        assert!(!active("repl_backlog_active:1\r\n") && !active(""));
    }

    #[test]
    fn a_replica_that_was_promised_a_copy_stands_where_it_would_go_on() {
        let text = REPLICA.replace("slave_repl_offset:100", "slave_repl_offset:1");
        assert_eq!(Info::parse(&text).history().expect("a history").offset, 100);
    }

    #[test]
    fn a_replica_in_a_full_sync_is_syncing_whatever_its_link_says() {
        let info = Info::parse(&REPLICA.replace("sync_in_progress:0", "sync_in_progress:1"));
        assert!(matches!(info.role(), Ok(Role::Replica { link: Link::Syncing, .. })));
    }

    #[test]
    fn a_master_without_a_past() {
        let zeros = "0".repeat(40);
        let info = Info::parse(&format!(
            "run_id:r1\r\nrole:master\r\nconnected_slaves:2\r\nmaster_replid:abc\r\nmaster_replid2:{zeros}\r\n\
             master_repl_offset:5\r\nsecond_repl_offset:-1\r\ndb0:keys=3,expires=0\r\ndb11:keys=4,expires=0\r\n"
        ));
        assert_eq!(info.role(), Ok(Role::Master { replicas: 2 }));
        assert_eq!(info.history().expect("a history").previous, None);
        assert_eq!(info.keys(), 7);
        assert!(!info.guarded());
    }

    #[test]
    fn a_master_names_the_replicas_that_it_feeds() {
        let info = Info::parse(
            "role:master\r\nconnected_slaves:4\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0\r\n\
             slave1:ip=::1,port=7000,state=online,offset=1,lag=1\r\n\
             slave2:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
             slave3:ip=10.0.0.4,port=0,state=online,offset=1,lag=0\r\nslave_repl_offset:7\r\n",
        );
        assert_eq!(info.feeds(), [NodeAddr::new("10.0.0.2", 6379), NodeAddr::new("::1", 7000)]);
        assert!(Info::parse(REPLICA).feeds().is_empty());
    }

    #[test]
    fn a_start_is_no_save() {
        let saved = |at: &str| {
            Info::parse(&format!(
                "server_time_usec:1795646620500000\r\nuptime_in_seconds:6\r\nrdb_last_save_time:{at}\r\n"
            ))
            .saved()
        };
        assert_eq!(saved("1795646614"), None);
        assert_eq!(saved("1795646615"), None);
        assert_eq!(saved("1795646618"), Some(1_795_646_618));
        assert_eq!(Info::parse("rdb_last_save_time:7\r\n").saved(), None, "its start is not known");
    }

    #[test]
    fn text_that_is_no_info_is_an_error_that_names_the_field() {
        let error = Info::parse("hello\r\n\r\nrole").role().expect_err("no role");
        assert_eq!(error.to_string(), "INFO has no usable field `role`");
        for odd in ["-3", "x"] {
            let odd = REPLICA.replace("master_repl_offset:100", &format!("master_repl_offset:{odd}"));
            assert!(Info::parse(&odd).history().is_err());
        }
    }
}
