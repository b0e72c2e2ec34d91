//! Where a group is, as a command is told it, so that what is advised can be typed as it stands. It holds no secret:
//! who needs a user or certificates for ZooKeeper says them beside it, or in the environment.

use redis_failover_store::{ConnectString, GroupPath};

/// The servers and the group's path.
#[derive(Clone, Debug)]
pub(super) struct Place {
    zkhosts: String,
    path: String,
}

impl Place {
    /// The group at `path` on these servers.
    pub(super) fn new(zkhosts: &ConnectString, path: &GroupPath) -> Self {
        Self { zkhosts: zkhosts.to_string(), path: path.to_string() }
    }

    /// The group's path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A command on this group with what else it is told, as it is typed.
    pub(super) fn command(&self, command: &str, more: &[&str]) -> String {
        let (zkhosts, path) = (quoted(&self.zkhosts), quoted(&self.path));
        let mut typed = format!("redis-failover {command} -z {zkhosts} -p {path}");
        for word in more {
            typed.push(' ');
            typed.push_str(&quoted(word));
        }
        typed
    }
}

/// The word so that a shell leaves it as it is.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_typed_as_it_stands_whatever_is_in_the_names() {
        let place = |zkhosts: &str, path: &str| {
            Place::new(&zkhosts.parse().expect("servers"), &path.parse().expect("a path"))
        };
        let typed = place("zk1,zk2:2182/root", "/redis/orders").command("config set", &["quorum=majority"]);
        assert_eq!(
            typed,
            "redis-failover config set -z zk1:2181,zk2:2182/root -p /redis/orders quorum=majority"
        );
        let typed = place("[::1]:2181", "/it's$HOME").command("node drain", &["--undo", "[::1]:6379"]);
        let words = r"redis-failover node drain -z '[::1]:2181' -p '/it'\''s$HOME' --undo '[::1]:6379'";
        assert_eq!(typed, words);
    }
}
