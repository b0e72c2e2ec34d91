//! The example program, on a real `ZooKeeper`.

use std::time::Duration;

use redis_failover_lab::{Process, ZooKeeper};
use redis_failover_store::ZooKeeper as Session;

use crate::world::{LONG, Nodes, example, publish};

#[test]
fn the_blocking_example_runs() {
    let (zookeeper, nodes) = (ZooKeeper::start(1), Nodes::start(1));
    let servers = zookeeper.connect_string().parse().expect("servers");
    let session = Session::connect(servers, Duration::from_secs(2)).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(publish(&session, "/redis/cluster", &nodes));
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let mut command = example("blocking");
    command.arg(format!("redis+zk://{}/redis/cluster", zookeeper.connect_string()));
    let mut process = Process::spawn("example", command, &log);
    let status = process.wait_exit(LONG * 6);
    let text = std::fs::read_to_string(&log).expect("a log");
    assert!(status.success(), "{text}");
    for line in [
        "epoch 1: master ",
        "this is visit 1\n",
        "this is visit 4\n",
        "a replica knows of ",
        "the best day had 4",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
