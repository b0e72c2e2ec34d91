//! What is made of files as Sentinel writes them, and of lines that it would refuse.

use std::time::Duration;

use super::*;

fn file(name: &str, text: &str) -> SentinelFile {
    SentinelFile::read(name, text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &[u8]) -> String {
    SentinelFile::read("s.conf", text).expect_err("it is refused").to_string()
}

fn nodes(group: &Group) -> Vec<String> {
    group.nodes.iter().map(ToString::to_string).collect()
}

/// Each directive without a counterpart, and where it stands.
fn absent(deployment: &Deployment) -> Vec<String> {
    deployment.unmatched.iter().map(ToString::to_string).collect()
}

#[test]
fn a_group_is_the_master_its_replicas_and_its_settings_wherever_they_stand() {
    let file = file(
        "s.conf",
        "sentinel known-replica orders 10.0.0.2 6379\n\
         SENTINEL Monitor orders 10.0.0.1 6379 2\n\
         sentinel known-slave orders ::3 6380\n\
         sentinel known-replica orders 10.0.0.2 6379\n\
         sentinel known-sentinel orders 10.0.1.2 26379 abc\n\
         sentinel known-sentinel orders 10.0.1.3 26379 def\n\
         sentinel down-after-milliseconds orders 5000\n\
         sentinel parallel-syncs orders 3\n\
         sentinel auth-user orders \"fail over\"\n\
         sentinel auth-pass orders 'x y'\n\
         sentinel failover-timeout orders 60000\n\
         sentinel monitor carts redis-1.example 6379 1\n",
    );
    let deployment = Deployment::of(&[file]);
    let [orders, carts] = &deployment.groups[..] else { panic!("{deployment:?}") };
    assert_eq!((&*orders.name, &*carts.name), ("orders", "carts"));
    assert_eq!(nodes(orders), ["10.0.0.1:6379", "10.0.0.2:6379", "[::3]:6380"]);
    assert_eq!(nodes(carts), ["redis-1.example:6379"]);
    assert_eq!((orders.quorum, carts.quorum), ((2, 3), (1, 1)));
    assert_eq!(orders.down_after, (Duration::from_secs(5), true));
    assert_eq!(carts.down_after, (Duration::from_secs(30), false), "Sentinel's default");
    assert_eq!((orders.parallel_syncs, carts.parallel_syncs), (Some(3), None));
    assert_eq!(orders.user.as_deref(), Some("fail over"));
    assert!(matches!(orders.password, Some(Password::Text(_))) && carts.password.is_none());
    assert!(deployment.differences.is_empty() && deployment.tls.is_none(), "{deployment:?}");
    assert_eq!(
        absent(&deployment),
        ["s.conf:5,6 sentinel known-sentinel", "s.conf:11 sentinel failover-timeout"]
    );
}

#[test]
fn of_several_sentinels_the_one_that_knows_of_the_latest_change_counts_and_what_differs_is_named() {
    let text = |master: &str, replica: &str, epoch: u32, more: &str| {
        format!(
            "sentinel monitor m {master} 1 2\nsentinel config-epoch m {epoch}\n\
             sentinel known-replica m {replica} 1\n{more}"
        )
    };
    let files = [
        file(
            "one",
            &text("a", "b", 3, "sentinel down-after-milliseconds m 1000\nsentinel auth-pass m secret-1"),
        ),
        file("two", &text("b", "a", 4, "sentinel auth-pass m secret-2")),
        file("three", &text("b", "c", 4, "sentinel auth-pass m secret-2\nsentinel monitor alone a 1 1")),
    ];
    let deployment = Deployment::of(&files);
    assert_eq!(nodes(&deployment.groups[0]), ["b:1", "a:1", "c:1"]);
    assert_eq!(deployment.groups[0].quorum, (2, 3), "one for each file, where they know of no other");
    assert_eq!(
        deployment.differences,
        [
            "m: the master is a:1 in one, b:1 in two, b:1 in three: b:1 is taken",
            "m: down-after-milliseconds is 1000 in one, 30000 in two, 30000 in three: 30000 is taken",
            "m: auth-pass is not the same in all files",
            "alone: it is not monitored by one, two",
            "a:1 is in m and in alone: take it out of one, or one of them out",
        ]
    );
    assert_eq!(absent(&deployment), ["one:2 two:2 three:2 sentinel config-epoch"]);
    assert!(!format!("{deployment:?}{files:?}").contains("secret"), "no password is shown");
}

#[test]
fn a_line_that_sentinel_would_refuse_is_named_with_what_would_be_right() {
    let monitored = b"sentinel monitor orders a 1 2\n";
    for (line, said) in [
        (&b"dir \"/x"[..], &["s.conf:2: a quotation mark is not closed"][..]),
        (b"sentinel", &["s.conf:2: nothing comes after `sentinel`"]),
        (
            b"Sentinel Parallel-Syncs orders",
            &[
                "`Sentinel Parallel-Syncs`: it has too few values",
                "write `sentinel parallel-syncs NAME NUMBER`",
            ],
        ),
        (
            b"sentinel parallel-syncs order 1",
            &["no master that this file monitors", "did you mean `orders`?"],
        ),
        (b"sentinel parallel-syncs orders 0", &["value 2 is no number"]),
        (b"sentinel parallel-syncs orders many", &["value 2 is no number"]),
        (b"sentinel down-after-milliseconds orders -1", &["value 2 is no number"]),
        (b"sentinel monitor orders b 1 2", &["`orders` is monitored twice"]),
        (b"sentinel monitor other b 0 2", &["values 2 and 3 are no address"]),
        (b"sentinel monitor other b 1 0", &["value 4 is no number"]),
        (
            b"sentinel known-replica orders \xff 1",
            &["value 2 is no text", "`sentinel known-replica NAME HOST PORT`"],
        ),
        (b"sentinel auth-user orders \xff", &["value 2 is no text"]),
    ] {
        let refusal = refusal(&[monitored, line].concat());
        for said in said {
            assert!(refusal.contains(said), "{}: {refusal}", line.escape_ascii());
        }
        assert!(refusal.contains("\nhint: ") || refusal.contains("nothing comes"), "{refusal}");
    }
    // A master and its password in the wrong order.
    let swapped = refusal(&[monitored, &b"sentinel auth-pass hunter2 orders"[..]].concat());
    assert!(swapped.contains("s.conf:2: `sentinel auth-pass`") && !swapped.contains("hunter2"), "{swapped}");
}

#[test]
fn what_is_no_directive_is_told_with_the_one_that_was_meant() {
    let file = file("s.conf", "sentinel down-after-miliseconds m 1\nzzzzzzzzzz 1\nprot 26379\n");
    let deployment = Deployment::of(&[file]);
    let meant = deployment.unmatched.iter().map(|it| it.fate.clone());
    let known = |name: &str| Unknown::NoDirective(Some(name.to_owned()));
    assert_eq!(
        meant.collect::<Vec<_>>(),
        [known("sentinel down-after-milliseconds"), Unknown::NoDirective(None), known("port")]
    );
}

#[test]
fn a_password_that_no_file_can_hold_is_none() {
    for password in [&b"\"two\\nlines\""[..], b"\xff", b"\"\""] {
        let text = [&b"sentinel monitor m a 1 1\nsentinel auth-pass m "[..], password].concat();
        let deployment = Deployment::of(&[SentinelFile::read("s", &text).expect("it is read")]);
        assert!(matches!(deployment.groups[0].password, Some(Password::Other)), "{deployment:?}");
    }
}

#[test]
fn tls_is_what_the_sentinel_called_with() {
    let text = "sentinel monitor m a 1 1\ndir /var/lib/redis\ntls-ca-cert-file ca.pem\ntls-cert-file /s.pem\n\
                tls-key-file /s.key\ntls-client-cert-file \"\"\n";
    let tls = |more: &str| Deployment::of(&[file("s.conf", &format!("{text}{more}"))]).tls;
    assert!(tls("tls-replication no\n").is_none(), "then its files are for its own clients");
    let server = tls("tls-replication YES\n").expect("it is over TLS");
    assert_eq!(server.ca.as_deref(), Some("/var/lib/redis/ca.pem".as_ref()));
    assert_eq!(server.identity, Some(("/s.pem".into(), "/s.key".into())));
    let client = tls("tls-replication yes\ntls-client-cert-file /c.pem\ntls-client-key-file c.key\n");
    let identity = client.and_then(|client| client.identity);
    assert_eq!(identity, Some(("/c.pem".into(), "/var/lib/redis/c.key".into())));
}

#[test]
fn clients_ask_at_the_port_without_tls_if_there_is_one() {
    for (text, port) in [
        ("dir /x", 26_379),
        ("port 5000", 5_000),
        ("port 5000\ntls-port 5001", 5_000),
        ("port 0\ntls-port 5001", 5_001),
        ("port many", 26_379),
    ] {
        assert_eq!(Deployment::of(&[file("s", text)]).port, port, "{text}");
    }
}

#[test]
fn nothing_that_is_cut_off_or_garbled_is_too_much_for_it() {
    let text =
        b"port 26379\nsentinel monitor orders \"10.0.0.1\" 6379 2\nsentinel auth-pass orders 'a\\'b'\n\
                 user default on nopass ~* &* +@all\nsentinel known-sentinel orders ::1 26379 abc\n";
    let (mut read, mut refused) = (0, 0);
    for end in 0..text.len() {
        for byte in [b'"', b'\'', b'\\', b'\n', b' ', 0, 0xff] {
            let mut garbled = text.to_vec();
            garbled[end] = byte;
            for garbled in [&garbled[..], &garbled[..=end]] {
                match SentinelFile::read("s", garbled) {
                    Ok(file) => read += Deployment::of(&[file]).files.len(),
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} {refused}");
}
