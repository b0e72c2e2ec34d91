//! What the group as a whole and its monitors can be in, and out of it again.

use redis_failover_lab::{Process, eventually};

use super::{await_well, in_status, recovers};
use crate::operator::{assert_says, operator};
use crate::steps::group_behind;
use crate::trap::Trap;
use crate::world::{DEADLINE, Group, Servers};

#[test]
fn a_group_gets_out_of_each_state_that_it_is_in_as_a_whole() {
    let servers = Servers::start();
    let look = in_status(&servers);
    let mut group = Group::fresh("/redis/whole");
    recovers(&look, &mut group, &["nothing-published"], |group| group.start_monitors(&servers));
    await_well(&servers, &group, 0);

    assert_says(&operator(&servers, &group, &["pause", "--reason", "new switches"]), 0, &["done"]);
    recovers(&look, &mut group, &["paused"], |group| {
        assert_says(&operator(&servers, group, &["resume"]), 0, &["done"]);
    });
    await_well(&servers, &group, 0);

    // Something else wrote at the path, which was its own mistake: it takes it back.
    let ours = servers.get(&group.path);
    servers.put(&group.path, "not ours");
    recovers(&look, &mut group, &["unreadable"], |group| servers.put(&group.path, &ours));
    await_well(&servers, &group, 0);

    end_all(&mut group);
    recovers(&look, &mut group, &["gone", "no-quorum", "no-leader"], |group| group.start_monitors(&servers));
    await_well(&servers, &group, 0);

    end_all(&mut group);
    let predecessor = servers.predecessor_in_the_lead();
    group.start_monitors(&servers);
    eventually(DEADLINE, "ours see it", || match group.logged("redis_monitor_lock/lock") {
        3.. => Ok(()),
        some => Err(format!("{some} do")),
    });
    recovers(&look, &mut group, &["predecessor-alive", "no-leader"], |_| predecessor.terminate());
    await_well(&servers, &group, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1, "nobody was replaced");
}

#[test]
fn a_change_that_was_left_half_done_is_finished_when_monitors_are_there_again() {
    let servers = Servers::start();
    let trap = Trap::default();
    let mut group = group_behind(&servers, "/redis/half-done", &trap);
    // What makes it the master is lost with all monitors.
    trap.arm("REPLICAOF\r\n$2\r\nNO\r\n");
    group.redis[0].kill();
    trap.caught();
    group.monitors.values_mut().for_each(Process::kill);
    trap.lose();
    recovers(in_status(&servers), &mut group, &["failing_over", "no-leader", "gone"], |group| {
        group.start_monitors(&servers);
    });
    let master = group.await_successor(&servers, 0);
    group.redis[0].restart();
    await_well(&servers, &group, master);
}

fn end_all(group: &mut Group) {
    group.monitors.values().for_each(Process::terminate);
    for monitor in group.monitors.values_mut() {
        monitor.wait_exit(DEADLINE);
    }
}
