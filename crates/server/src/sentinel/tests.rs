//! Connections without a network, on a clock that jumps: what a client may do to the endpoint, and what it is told. How
//! groups are told is seen end to end.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::clients::Place;
use super::session::Session;
use super::*;

fn endpoint(access: Access) -> Arc<Endpoint> {
    Endpoint::new("m1", NodeAddr::new("127.0.0.1", 26_379), access, Handle::current())
}

/// A client's end of a connection that holds so many bytes each way.
fn connect(endpoint: &Arc<Endpoint>, bytes: usize) -> (DuplexStream, JoinHandle<std::io::Result<()>>) {
    let peer: SocketAddr = "127.0.0.1:1".parse().expect("an address");
    let place = Place::take(endpoint, peer, peer, 8).expect("there is room");
    let (client, server) = duplex(bytes);
    let session = Session::new(Arc::clone(endpoint), place);
    (client, tokio::spawn(listener::converse(session, server)))
}

/// All that the client is told until the connection ends.
async fn rest(mut client: DuplexStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("text");
    text
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_the_connection_ends() {
    let (mut client, served) = connect(&endpoint(Access::default()), 4096);
    client.write_all(b"PING\r\n*1\r\n!4\r\nPING\r\n").await.expect("sent");
    assert_eq!(rest(client).await, "+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    assert!(served.await.expect("it ends").is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_off_and_nothing_is_kept_for_him() {
    let endpoint = endpoint(Access::default());
    let (mut client, served) = connect(&endpoint, 1024);
    let begun = Instant::now();
    // He asks for more than the connection holds, and reads none of it.
    client.write_all(&b"COMMAND\r\n".repeat(50)).await.expect("sent");
    let ended = served.await.expect("it ends").expect_err("he was too slow");
    assert_eq!(ended.kind(), std::io::ErrorKind::TimedOut);
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert_eq!(endpoint.clients.count(), 0);
}

#[tokio::test]
async fn a_subscriber_who_is_too_far_behind_is_cut_off() {
    let endpoint = endpoint(Access::default());
    let (mut client, served) = connect(&endpoint, 4096);
    client.write_all(b"SUBSCRIBE +tilt\r\n").await.expect("sent");
    let subscribed = b"*3\r\n$9\r\nsubscribe\r\n$5\r\n+tilt\r\n:1\r\n";
    let mut told = vec![0; subscribed.len()];
    client.read_exact(&mut told).await.expect("he is told");
    assert_eq!(told, subscribed);
    // All at once, before his task runs again.
    for number in 0..=BEHIND {
        let message = Message { channel: "+tilt", payload: number.to_string() };
        endpoint.messages.send(Arc::new(message)).expect("he listens");
    }
    assert_eq!(rest(client).await, "");
    assert!(served.await.expect("it ends").is_ok());
}

#[tokio::test]
async fn a_subscriber_of_version_2_may_ask_little_and_one_of_version_3_everything() {
    let endpoint = endpoint(Access::default());
    let (mut client, _served) = connect(&endpoint, 4096);
    client
        .write_all(b"PSUBSCRIBE [+-]tilt\r\nROLE\r\nPING\r\nRESET\r\nROLE\r\nQUIT\r\n")
        .await
        .expect("sent");
    let told = rest(client).await;
    let refused = "-ERR Can't execute 'role': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                   allowed in this context\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n+RESET\r\n\
                   *2\r\n$8\r\nsentinel\r\n*0\r\n+OK\r\n";
    assert!(told.ends_with(refused), "{told}");
    let (mut client, _served) = connect(&endpoint, 4096);
    client
        .write_all(b"HELLO 3\r\nPSUBSCRIBE [+-]tilt\r\nROLE\r\nUNSUBSCRIBE\r\nQUIT\r\n")
        .await
        .expect("sent");
    let told = rest(client).await;
    let answered = ">3\r\n$10\r\npsubscribe\r\n$8\r\n[+-]tilt\r\n:1\r\n*2\r\n$8\r\nsentinel\r\n*0\r\n\
                    >3\r\n$11\r\nunsubscribe\r\n_\r\n:1\r\n+OK\r\n";
    assert!(told.ends_with(answered), "{told}");
}

#[tokio::test]
async fn who_has_not_said_who_he_is_may_say_that_and_little_else() {
    let password = Some(SecretString::from("open sesame"));
    let endpoint = endpoint(Access { password, ..Access::default() });
    let (mut client, _served) = connect(&endpoint, 64 << 10);
    client.write_all(b"INFO\r\nAUTH wrong\r\n*11\r\n").await.expect("sent");
    assert_eq!(
        rest(client).await,
        "-NOAUTH Authentication required.\r\n\
         -WRONGPASS invalid username-password pair or user is disabled.\r\n\
         -ERR Protocol error: invalid multibulk length\r\n"
    );
    let (mut client, _served) = connect(&endpoint, 64 << 10);
    client.write_all(b"HELLO 2 AUTH default \"open sesame\"\r\n*11\r\n").await.expect("sent");
    client.write_all(&b"$4\r\nINFO\r\n".repeat(11)).await.expect("sent");
    client.write_all(b"RESET\r\nINFO\r\nQUIT\r\n").await.expect("sent");
    let told = rest(client).await;
    assert!(told.ends_with("+RESET\r\n-NOAUTH Authentication required.\r\n+OK\r\n"), "{told}");
}

#[tokio::test]
async fn clients_are_listed_named_and_ended() {
    let endpoint = endpoint(Access::default());
    let (mut first, _served) = connect(&endpoint, 4096);
    first.write_all(b"CLIENT SETNAME one\r\nCLIENT SETINFO lib-name lib\r\n").await.expect("sent");
    let mut told = [0; 10];
    first.read_exact(&mut told).await.expect("he is told");
    let (mut second, _served) = connect(&endpoint, 4096);
    second.write_all(b"CLIENT LIST\r\nCLIENT KILL ID 1\r\nQUIT\r\n").await.expect("sent");
    let told = rest(second).await;
    assert!(told.contains("id=1 addr=127.0.0.1:1 laddr=127.0.0.1:1 name=one "), "{told}");
    assert!(told.contains(" cmd=client|setinfo user=default lib-name=lib lib-ver= resp=2\n"), "{told}");
    assert!(told.contains("id=2 ") && told.ends_with(":1\r\n+OK\r\n"), "{told}");
    assert_eq!(rest(first).await, "");
}

#[tokio::test]
async fn clients_are_chosen_by_what_they_are_and_nobody_is_ended_by_a_word_that_is_missing() {
    let password = Some(SecretString::from("word"));
    let endpoint = endpoint(Access { username: Some("ali".into()), password, ..Access::default() });
    let (mut first, _served) = connect(&endpoint, 4096);
    first.write_all(b"AUTH word\r\nSUBSCRIBE +tilt\r\n").await.expect("sent");
    let mut told = [0; 39];
    first.read_exact(&mut told).await.expect("he is told");
    let (mut second, _served) = connect(&endpoint, 4096);
    let requests = b"AUTH word\r\nCLIENT KILL\r\nCLIENT KILL USER default\r\nCLIENT LIST TYPE pubsub\r\n\
                     CLIENT LIST ID 2 7\r\nCLIENT LIST NONSENSE\r\nCLIENT KILL USER ali\r\nQUIT\r\n";
    second.write_all(requests).await.expect("sent");
    let told = rest(second).await;
    let ids: Vec<_> = told.split("id=").skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids, ["1", "2"], "{told}");
    assert!(
        told.starts_with("+OK\r\n-ERR wrong number of arguments for 'client|kill' command\r\n:0\r\n"),
        "{told}"
    );
    assert!(told.contains(" user=ali ") && told.ends_with("-ERR syntax error\r\n:1\r\n+OK\r\n"), "{told}");
    assert_eq!(rest(first).await, "");
}

#[tokio::test(start_paused = true)]
async fn who_starts_over_has_the_whole_time_again_to_say_who_he_is() {
    let password = Some(SecretString::from("word"));
    let endpoint = endpoint(Access { password, ..Access::default() });
    let (mut client, _served) = connect(&endpoint, 4096);
    client.write_all(b"AUTH word\r\n").await.expect("sent");
    let mut told = [0; 5];
    client.read_exact(&mut told).await.expect("he is told");
    tokio::time::advance(Duration::from_mins(1)).await;
    client.write_all(b"RESET\r\n").await.expect("sent");
    let mut told = [0; 8];
    client.read_exact(&mut told).await.expect("he is told");
    tokio::time::advance(Duration::from_secs(9)).await;
    client.write_all(b"AUTH word\r\nQUIT\r\n").await.expect("sent");
    assert_eq!(rest(client).await, "+OK\r\n+OK\r\n");
}

#[tokio::test]
async fn unfinished_requests_have_a_bound_together() {
    let endpoint = endpoint(Access::default());
    let all = endpoint.clients.unfinished.take(64 << 20).expect("there is room");
    let (mut client, served) = connect(&endpoint, 4096);
    client.write_all(b"*1\r\n$4\r\nPI").await.expect("sent");
    let ended = served.await.expect("it ends").expect_err("there was no room");
    assert_eq!(ended.kind(), std::io::ErrorKind::OutOfMemory);
    drop(all);
    let (mut client, _served) = connect(&endpoint, 4096);
    client.write_all(b"*1\r\n$4\r\nPI").await.expect("sent");
    tokio::task::yield_now().await;
    client.write_all(b"NG\r\nQUIT\r\n").await.expect("sent");
    assert_eq!(rest(client).await, "+PONG\r\n+OK\r\n");
}
