//! TLS and asked credentials, without a runtime of the caller's.

use redis_failover::redis::{Commands, RedisResult};
use redis_failover::{Credentials, Tls};
use redis_failover_lab::{Authority, Redis};

use crate::world::{Nodes, ok};

#[test]
fn a_blocking_program_calls_over_tls_and_says_who_it_is() -> RedisResult<()> {
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"]);
    let nodes = Nodes::start_as(1, || Redis::builder().tls(&authority, &issued, true));
    for node in [&nodes.master, &nodes.replicas[0]] {
        ok(node, &["ACL", "SETUSER", "app", "on", "~*", "+@all", ">secret"]);
    }
    let ours = authority.issue(&["app"]);
    let tls = Tls::new().roots_file(authority.roots()).identity_files(ours.certificate, ours.key);
    let builder = redis_failover::blocking::Client::builder().tls(tls);
    // Nothing of it waits: a future that is ready will do.
    let builder = builder.credentials(|| {
        std::future::ready(Ok::<_, std::io::Error>(Credentials::new("secret").username("app")))
    });
    let mut con = nodes.client(builder).connection();
    let _: () = con.set("a", 1)?;
    assert_eq!(nodes.master.get("a"), Ok(Some("1".into())));
    Ok(())
}
