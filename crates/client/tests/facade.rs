//! The figures that a client hands over to the facade `metrics`. A file of its own, for a program has one recorder.

use std::collections::BTreeMap;
use std::time::Instant;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use redis_failover::redis::{AsyncCommands, RedisResult};
use redis_failover::{Client, ReadFrom};
use redis_failover_lab::Redis;

/// The sum of all counters and gauges of each name, over all groups and nodes; of a histogram the number of values.
fn sums(snapshotter: &metrics_util::debugging::Snapshotter, into: &mut BTreeMap<String, f64>) {
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let sum = into.entry(key.key().name().to_owned()).or_default();
        // Reading empties them all.
        match value {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            DebugValue::Counter(count) => *sum += count as f64,
            DebugValue::Gauge(value) => *sum += value.into_inner(),
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            DebugValue::Histogram(values) => *sum += values.len() as f64,
        }
    }
}

#[tokio::test]
async fn clients_add_up_and_what_has_ended_is_taken_out() -> RedisResult<()> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().expect("the only one");
    let redis = Redis::start();
    let client = || {
        let builder = Client::builder().read_from(ReadFrom::Master);
        builder.build_fixed(&redis.addr(), [""; 0]).expect("an address")
    };
    let clients = [client(), client()];
    for client in &clients {
        let mut con = client.connection();
        for _ in 0..10 {
            let _: () = con.set("a", 1).await?;
        }
    }
    let mut seen = BTreeMap::new();
    let mut until = async |what: &str, holds: &dyn Fn(&BTreeMap<String, f64>) -> bool| {
        let begun = Instant::now();
        loop {
            sums(&snapshotter, &mut seen);
            if holds(&seen) {
                return;
            }
            assert!(begun.elapsed().as_secs() < 20, "{what}: {seen:?}");
            tokio::task::yield_now().await;
        }
    };
    let is = |seen: &BTreeMap<String, f64>, name: &str, value: f64| {
        seen.get(&format!("redis_failover_client_{name}")).is_some_and(|it| (it - value).abs() < 0.1)
    };
    until("both are counted", &|seen| {
        is(seen, "commands_total", 20.0)
            && is(seen, "connects_total", 2.0)
            && is(seen, "connected", 2.0)
            && is(seen, "wait_seconds", 2.0)
            && is(seen, "waiting", 0.0)
    })
    .await;
    // One that does not live for a second is counted, too.
    let short = client();
    let mut con = short.connection();
    for _ in 0..10 {
        let _: () = con.set("a", 1).await?;
    }
    drop((short, con));
    until("it is counted", &|seen| is(seen, "commands_total", 30.0) && is(seen, "connects_total", 3.0)).await;
    drop(clients);
    until("none is connected any more", &|seen| is(seen, "connected", 0.0)).await;
    Ok(())
}
