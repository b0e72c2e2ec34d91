//! Groups that can't be begun at first. The servers that they list are not called.

use std::fs;

use redis_failover_store::Embedded;

use super::*;
use crate::config::ConfigFile;

#[tokio::test]
async fn a_group_that_cannot_be_begun_says_which_it_is_and_begins_when_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let (file, kept) = (directory.path().join("groups.toml"), directory.path().join("records.json"));
    let text = "id = \"m1\"\nembedded = true\nstate_file = \"records.json\"\n\
        [[group]]\npath = \"/orders\"\nredishosts = [\"127.0.0.1:1\"]\n\
        [[group]]\npath = \"/users\"\nredishosts = [\"127.0.0.1:2\"]\n";
    fs::write(&file, text).unwrap();
    let config = ConfigFile::at(file).read().unwrap();
    let others = Embedded::open(&kept).unwrap();
    let mut groups = Groups::new(config.id, None, None, Sessions::default());
    groups.become_these(config.groups).await;
    assert!(groups.running.is_empty());
    for (unbegun, name) in groups.unbegun().iter().zip(["orders: ", "users: "]) {
        let said = &unbegun.failure.message;
        assert!(said.starts_with(name) && said.contains("in use by another process"), "{said}");
    }
    groups.retry().await;
    assert_eq!((groups.running.len(), groups.unbegun().len()), (0, 2));
    drop(others);
    while !groups.unbegun().is_empty() {
        groups.retry().await;
    }
    let running: Vec<_> = groups.running.iter().map(|running| running.config.name.clone()).collect();
    assert_eq!(running, ["orders", "users"]);
    groups.end().await;
}
