//! An operator's request and the answer beside it. What it cannot read it hands on by its word, for the leader to
//! refuse: somebody waits for an answer.

use std::time::Duration;

use redis_failover_core::{Answer, Epoch, Failover, Order, Policy, Request, Switchover};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::state::{PolicyV1, millis, policy, policy_of};
use super::{FORMAT, merged};

#[derive(Serialize, Deserialize)]
struct RequestV1 {
    request: String,
    #[serde(default)]
    master: Option<String>,
    #[serde(default)]
    monitor: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    order: Option<String>,
    #[serde(default)]
    priority: Option<u32>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    accept_loss: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    lasts_ms: Option<u64>,
    /// What cannot be read of it makes the request one that nobody knows.
    #[serde(default)]
    before: Option<Value>,
    #[serde(default)]
    after: Option<Value>,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

/// The request as it is written, not yet answered.
pub(crate) fn request_bytes(request: &Request) -> Vec<u8> {
    let (word, subject) = match request {
        Request::Adopt { master } => ("adopt", Some(("master", master.to_string()))),
        Request::Forget { monitor } => ("forget", Some(("monitor", monitor.to_string()))),
        Request::Resync { node } => ("resync", Some(("node", node.to_string()))),
        // An earlier version knows the word alone, and would heed nothing that is said beyond it.
        Request::Failover(Failover { to: None, accept_loss: false, dry_run: false, .. }) => {
            ("failover", None)
        }
        Request::Failover(wanted) => {
            ("failover_as_told", wanted.to.as_ref().map(|node| ("node", node.to_string())))
        }
        Request::Switchover(wanted) => {
            ("switchover", wanted.to.as_ref().map(|node| ("node", node.to_string())))
        }
        Request::Pause { .. } => ("pause", None),
        Request::Resume => ("resume", None),
        Request::Node { node, .. } => ("node", Some(("node", node.to_string()))),
        Request::Configure { .. } => ("configure", None),
        Request::Unknown(word) => (word.as_str(), None),
    };
    let mut object = Map::new();
    object.insert("format".to_owned(), json!(FORMAT));
    object.insert("request".to_owned(), json!(word));
    if let Request::Pause { by, reason, lasts } = request {
        object.insert("by".to_owned(), json!(by));
        object.insert("reason".to_owned(), json!(reason));
        object.extend(lasts.map(|lasts| ("lasts_ms".to_owned(), json!(millis(lasts)))));
    }
    if let Request::Configure { before, after } = request {
        for (key, it) in [("before", before), ("after", after)] {
            object.insert(key.to_owned(), Value::Object(policy(it, None)));
        }
    }
    if let Some((key, value)) = subject {
        object.insert(key.to_owned(), json!(value));
    }
    if let Request::Switchover(Switchover { to: _, epoch, timeout, dry_run }) = request {
        object.insert("epoch".to_owned(), json!(epoch.0));
        object.insert("timeout_ms".to_owned(), json!(millis(*timeout)));
        if *dry_run {
            object.insert("dry_run".to_owned(), json!(true));
        }
    }
    if let Request::Failover(Failover { to: _, epoch, accept_loss, dry_run }) = request {
        object.extend(epoch.map(|epoch| ("epoch".to_owned(), json!(epoch.0))));
        object.extend(accept_loss.then(|| ("accept_loss".to_owned(), json!(true))));
        object.extend(dry_run.then(|| ("dry_run".to_owned(), json!(true))));
    }
    if let Request::Node { order, .. } = request {
        let (word, key) = order_words(order);
        object.insert("order".to_owned(), json!(word));
        object.extend(key.map(|(key, value)| (key.to_owned(), value)));
    }
    Value::Object(object).to_string().into_bytes()
}

/// The word of an order, and what it says beyond that.
fn order_words(order: &Order) -> (&'static str, Option<(&'static str, Value)>) {
    match order {
        Order::Add => ("add", None),
        Order::Remove => ("remove", None),
        Order::Drain(true) => ("drain", None),
        Order::Drain(false) => ("serve", None),
        Order::Priority(priority) => ("priority", priority.map(|priority| ("priority", json!(priority)))),
        Order::Zone(zone) => ("zone", zone.as_ref().map(|zone| ("zone", json!(zone)))),
    }
}

fn order_of(word: &str, priority: Option<u32>, zone: Option<String>) -> Option<Order> {
    Some(match word {
        "add" => Order::Add,
        "remove" => Order::Remove,
        "drain" => Order::Drain(true),
        "serve" => Order::Drain(false),
        "priority" => Order::Priority(priority),
        "zone" => Order::Zone(zone),
        _ => return None,
    })
}

/// The request in `bytes` with its answer.
pub(crate) fn answered_bytes(bytes: &[u8], answer: &Answer) -> Vec<u8> {
    let (word, text) = match answer {
        Answer::Done(text) => ("done", text),
        Answer::Refused(text) => ("refused", text),
    };
    let answer = vec![("answer", Some(json!(word))), ("text", Some(json!(text)))];
    super::bytes(merged(super::base(Some(bytes)), answer))
}

fn policy_in(value: Option<Value>) -> Option<Box<Policy>> {
    let read: PolicyV1 = serde_json::from_value(value?).ok()?;
    policy_of(&read).ok().map(Box::new)
}

/// The request that stands in `bytes`, and its answer, if it has one.
pub(crate) fn parse_request(bytes: &[u8]) -> (Request, Option<Answer>) {
    let unknown = || Request::Unknown(String::from_utf8_lossy(bytes).chars().take(60).collect());
    let Ok(read) = serde_json::from_slice::<RequestV1>(bytes) else { return (unknown(), None) };
    let request = match (read.request.as_str(), read.master.or(read.node), read.monitor) {
        ("switchover", node, _) => switchover(node.as_deref(), (read.epoch, read.timeout_ms), read.dry_run),
        ("resync", Some(node), _) => node.parse().ok().map(|node| Request::Resync { node }),
        ("adopt", Some(master), _) => master.parse().ok().map(|master| Request::Adopt { master }),
        ("forget", _, Some(monitor)) => monitor.parse().ok().map(|monitor| Request::Forget { monitor }),
        ("pause", ..) => read.by.zip(read.reason).map(|(by, reason)| {
            let lasts = read.lasts_ms.map(Duration::from_millis);
            Request::Pause { by, reason, lasts }
        }),
        ("configure", ..) => {
            let configure = |(before, after)| Request::Configure { before, after };
            policy_in(read.before).zip(policy_in(read.after)).map(configure)
        }
        ("node", Some(node), _) => {
            let order = read.order.and_then(|word| order_of(&word, read.priority, read.zone));
            node.parse().ok().zip(order).map(|(node, order)| Request::Node { node, order })
        }
        ("resume", ..) => Some(Request::Resume),
        ("failover" | "failover_as_told", node, _) => {
            let (epoch, accept_loss) = (read.epoch.map(Epoch), read.accept_loss);
            let to = node.map(|node| node.parse()).transpose().ok();
            to.map(|to| Request::Failover(Failover { to, epoch, accept_loss, dry_run: read.dry_run }))
        }
        (word, ..) => Some(Request::Unknown(word.to_owned())),
    };
    let text = read.text.unwrap_or_default();
    let answer =
        read.answer.map(|word| if word == "done" { Answer::Done(text) } else { Answer::Refused(text) });
    (request.unwrap_or_else(unknown), answer)
}

fn switchover(
    node: Option<&str>,
    (epoch, timeout): (Option<u64>, Option<u64>),
    dry_run: bool,
) -> Option<Request> {
    let to = node.map(str::parse).transpose().ok()?;
    let (epoch, timeout) = (Epoch(epoch?), Duration::from_millis(timeout?));
    Some(Request::Switchover(Switchover { to, epoch, timeout, dry_run }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("it is JSON")
    }

    #[test]
    fn requests_and_answers_are_read_as_they_were_written() {
        let adopt = Request::Adopt { master: "[::1]:6379".parse().expect("a node") };
        let forget = Request::Forget { monitor: "m1".parse().expect("an id") };
        assert_eq!(text(&request_bytes(&adopt)), r#"{"format":1,"request":"adopt","master":"[::1]:6379"}"#);
        assert_eq!(text(&request_bytes(&forget)), r#"{"format":1,"request":"forget","monitor":"m1"}"#);
        let resync = Request::Resync { node: "h:6379".parse().expect("a node") };
        assert_eq!(text(&request_bytes(&resync)), r#"{"format":1,"request":"resync","node":"h:6379"}"#);
        let plain = Request::Failover(Failover::default());
        assert_eq!(text(&request_bytes(&plain)), r#"{"format":1,"request":"failover"}"#);
        let (to, epoch) = ("h:1".parse().ok(), Some(Epoch(7)));
        let costly = Request::Failover(Failover { to, epoch, accept_loss: true, dry_run: true });
        assert_eq!(
            text(&request_bytes(&costly)),
            r#"{"format":1,"request":"failover_as_told","node":"h:1","epoch":7,"accept_loss":true,"dry_run":true}"#
        );
        let switchover = |to: Option<&str>, dry_run| {
            let to = to.map(|to| to.parse().expect("a node"));
            Request::Switchover(Switchover { to, epoch: Epoch(7), timeout: Duration::from_secs(9), dry_run })
        };
        assert_eq!(
            text(&request_bytes(&switchover(Some("h:1"), true))),
            r#"{"format":1,"request":"switchover","node":"h:1","epoch":7,"timeout_ms":9000,"dry_run":true}"#
        );
        let switchovers = [switchover(None, false), switchover(Some("h:1"), true)];
        let configure = Request::Configure {
            before: Box::default(),
            after: Box::new(
                Policy::default().with_parallel_syncs(3).with_fencing(redis_failover_core::Fencing::Off),
            ),
        };
        assert_eq!(
            text(&request_bytes(&configure)),
            concat!(
                r#"{"format":1,"request":"configure","#,
                r#""before":{"down_after_ms":1000,"probe_interval_ms":200,"fencing":"replicas"},"#,
                r#""after":{"down_after_ms":1000,"probe_interval_ms":200,"parallel_syncs":3}}"#,
            )
        );
        let pause =
            |lasts| Request::Pause { by: "alice".to_owned(), reason: "new switches".to_owned(), lasts };
        let (brief, open) = (pause(Some(Duration::from_secs(9))), pause(None));
        assert_eq!(
            text(&request_bytes(&brief)),
            r#"{"format":1,"request":"pause","by":"alice","reason":"new switches","lasts_ms":9000}"#
        );
        let node = |order| Request::Node { node: "h:1".parse().expect("a node"), order };
        assert_eq!(
            text(&request_bytes(&node(Order::Priority(Some(5))))),
            r#"{"format":1,"request":"node","node":"h:1","order":"priority","priority":5}"#
        );
        let orders = [Order::Add, Order::Remove, Order::Drain(true), Order::Drain(false)].into_iter();
        let orders = orders.chain([Order::Priority(Some(0)), Order::Priority(None), Order::Zone(None)]);
        let orders = orders.chain([Order::Zone(Some("eu-1".to_owned()))]).map(node);
        let others = [adopt, forget, resync, plain, costly, brief, open, Request::Resume, configure];
        for request in others.into_iter().chain(switchovers).chain(orders) {
            let bytes = request_bytes(&request);
            assert_eq!(parse_request(&bytes), (request.clone(), None));
            for answer in [Answer::Done("so".to_owned()), Answer::Refused("because".to_owned())] {
                let answered = answered_bytes(&bytes, &answer);
                assert_eq!(parse_request(&answered), (request.clone(), Some(answer)));
            }
        }
    }

    #[test]
    fn what_is_no_request_is_one_that_nobody_knows() {
        let word = |word: &str| (Request::Unknown(word.to_owned()), None);
        assert_eq!(parse_request(br#"{"format":9,"request":"dance","with":"m1"}"#), word("dance"));
        assert_eq!(parse_request(b"what?"), word("what?"));
        let later = r#"{"request":"configure","before":{},"after":{}}"#;
        assert_eq!(parse_request(later.as_bytes()), word(&later.chars().take(60).collect::<String>()));
        let odd = r#"{"request":"adopt","master":"nowhere"}"#;
        assert_eq!(parse_request(odd.as_bytes()), word(odd));
        assert!(text(&answered_bytes(b"what?", &Answer::Done(String::new()))).contains("done"));
    }
}
