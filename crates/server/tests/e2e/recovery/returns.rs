//! Nodes that are filled with a copy, so slowly that it can be seen, and what becomes of what they hold.

use redis_failover_lab::{Redis, Reply, ensure_eq, eventually};

use super::{await_well, in_status, recovers};
use crate::operator::{assert_says, operator};
use crate::returns::go_astray;
use crate::world::{DEADLINE, Group, Servers};

#[test]
fn a_node_that_is_filled_gets_out_of_each_state_on_the_way() {
    let servers = Servers::start();
    let look = in_status(&servers);
    // Each key takes a hundredth of a second to be saved, be it for a copy or for a file.
    let slow = || {
        let builder = Redis::builder().option("enable-protected-configs", "yes");
        builder.option("rdb-key-save-delay", "10000").start()
    };
    let mut group = Group::of("/redis/filled", (0..3).map(|_| slow()).collect());
    group.start_monitors(&servers);
    await_well(&servers, &group, 0);
    let fill = ["EVAL", "for key = 1, 150 do redis.call('SET', key, 'v') end", "0"];
    group.redis[0].command(&fill).and_then(Reply::into_result).expect("it obeys");
    group.await_caught_up(0);

    // Nothing can be done, and nothing has to be: it follows when the copy is there.
    go_astray(&group.redis[2], "v");
    recovers(&look, &mut group, &["discarded", "KO"], |_| ());
    await_well(&servers, &group, 0);

    assert_says(&operator(&servers, &group, &["config", "set", "on_divergence=save", "--yes"]), 0, &["done"]);
    go_astray(&group.redis[2], "v");
    recovers(&look, &mut group, &["due"], |_| ());
    recovers(&look, &mut group, &["saved"], |_| ());
    await_well(&servers, &group, 0);

    // The master goes while it fills the one, and the other is not there.
    group.redis[1].stop();
    group.redis[2].restart_empty();
    eventually(DEADLINE, "it is being filled", || {
        let info = group.redis[2].info("replication")?;
        ensure_eq(info.get("master_sync_in_progress").map(String::as_str), Some("1")).map(drop)
    });
    group.redis[0].stop();
    recovers(&look, &mut group, &["nobody-may-take-over"], |group| {
        // The leader ends that when it asks: from the next time on it finds a node that is empty.
        let half = format!("{}: in the middle of a full sync", group.address(2));
        eventually(DEADLINE, "it was found half synced", || match group.logged(&half) {
            0 => Err("not yet"),
            _ => Ok(()),
        });
        group.redis[1].cont();
    });
    assert_eq!(group.await_successor(&servers, 0), 1);
    group.redis[0].cont();
    await_well(&servers, &group, 1);
}
