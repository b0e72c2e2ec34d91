//! What monitors say of a node, and how it is said no more.

use redis_failover_lab::Reply;

use super::{await_well, in_status, recovers};
use crate::network::{monitors, replicas};
use crate::world::{Group, Servers};

#[test]
fn a_node_gets_out_of_each_state_that_monitors_find_it_in() {
    let servers = Servers::start();
    let look = in_status(&servers);
    // Where events are looked at more rarely, a server that loads is silent.
    let chatty = ("loading-process-events-interval-bytes", "1024");
    let mut group = Group::linked_with("/redis/nodes", |_, builder| builder.option(chatty.0, chatty.1));
    group.start_monitors(&servers);
    await_well(&servers, &group, 0);

    group.redis[2].link().close();
    group.redis[2].kill();
    recovers(&look, &mut group, &["refused", "KO"], |group| {
        group.redis[2].restart();
        group.redis[2].link().open();
    });
    await_well(&servers, &group, 0);

    group.redis[2].stop();
    recovers(&look, &mut group, &["silent", "KO"], |group| group.redis[2].cont());
    await_well(&servers, &group, 0);

    // Only one says so: it is the network between that one and the master.
    let leader = group.leader(&servers);
    let blind = ["m1", "m2", "m3"].into_iter().find(|id| *id != leader).expect("there are three");
    monitors(&group, &[blind]).hold();
    recovers(&look, &mut group, &["master-down", "silent"], |group| monitors(group, &[blind]).release());
    await_well(&servers, &group, 0);

    // It passes.
    let mut loading = group.redis[2].connect().expect("it answers");
    let fill = ["EVAL", "for key = 1, 2000 do redis.call('SET', key, 'v') end", "0"];
    group.redis[0].command(&fill).and_then(Reply::into_result).expect("it obeys");
    group.await_caught_up(0);
    loading.command(&["CONFIG", "SET", "key-load-delay", "2000"]).expect("it obeys");
    // It takes longer than anybody waits for it here.
    let _ = loading.command(&["DEBUG", "RELOAD"]);
    recovers(&look, &mut group, &["unusable"], |_| ());
    await_well(&servers, &group, 0);

    let mut inside = group.redis[2].connect().expect("it answers");
    let mut obey = |words: &[&str]| inside.command(words).and_then(Reply::into_result).expect("it obeys");
    obey(&["CONFIG", "SET", "requirepass", "changed"]);
    obey(&["CLIENT", "KILL", "TYPE", "normal"]);
    recovers(&look, &mut group, &["unknown"], |group| {
        assert!(group.logged("does not let us in") > 0, "a monitor's log says what is wrong");
        obey(&["CONFIG", "SET", "requirepass", ""]);
    });
    await_well(&servers, &group, 0);

    replicas(&group).cut();
    recovers(&look, &mut group, &["left-behind", "KO"], |group| replicas(group).heal());
    await_well(&servers, &group, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1, "nobody was replaced");
}
