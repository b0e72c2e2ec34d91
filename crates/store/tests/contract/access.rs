//! Who may call a real `ZooKeeper`, and what belongs to whom there: credentials, and TLS where this is built with it.

use redis_failover_core::{Leadership, Request, Vote};
use redis_failover_store::{Access, Connection, Store, ZooKeeper};

use super::on_zookeeper::OnZooKeeper;
use super::reports::shown;
use super::subject::{Candidate, Shows, Subject};
use super::world::{LONG, SESSION, id, lead, path, record, report, soon};

fn connect(servers: &str, access: &Access) -> ZooKeeper {
    ZooKeeper::connect_with(servers.parse().unwrap(), SESSION, access).unwrap()
}

fn user(password: &str) -> Access {
    Access::default().credentials("monitors", password.into())
}

#[tokio::test]
async fn what_is_made_with_credentials_belongs_to_who_has_them_and_may_be_read_by_all() {
    let subject = OnZooKeeper::start().await;
    let servers = subject.server.connect_string();
    let ours = connect(&servers, &user("secret"));
    let led = lead(ours.group(&path("/redis/g"))).await;
    led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    led.group.publish(report("m1", Vote::Up));
    shown(&led.group, &["m1"]).await;

    let acls = subject.acls("/redis").await;
    let made = |end: &str| acls.iter().any(|(path, _)| path.ends_with(end) || path.contains(end));
    for znode in ["/redis", "/redis/g", "/g/state", "/g/leader/lock-", "/g/monitors/m1"] {
        assert!(made(znode), "{znode} is missing: {acls:?}");
    }
    for (znode, acl) in &acls {
        assert_eq!(acl, "digest:monitors:ALL,world:anyone:READ", "{znode}");
    }

    let same = connect(&servers, &user("secret")).group(&path("/redis/g"));
    for (name, others) in [("none", Access::default()), ("wrong", user("other"))] {
        let group = connect(&servers, &others).group(&path("/redis/g"));
        let snapshot = group.snapshot(LONG).await.unwrap();
        assert!(snapshot.record.is_ok() && snapshot.leader.is_some(), "{name} reads");
        let standing = group.campaign(&id("m9"), None);
        let request = Request::Resync { node: "h1:1".parse().unwrap() };
        let error = soon("it is refused", group.ask(&request)).await.unwrap_err().to_string();
        assert!(error.contains("not authorized") && error.contains("ZooKeeper"), "{error}");
        assert_eq!(Candidate::leadership(&standing).latest(), Leadership::Following, "{name}");
        assert!(
            !subject.acls("/redis/g/leader").await.iter().any(|(_, acl)| acl.contains("world:anyone:ALL"))
        );
    }
    let second = lead_after(&led.campaign, &same).await;
    assert!(second, "who has the same credentials leads next");
}

/// Whether `group` leads once `campaign` has given up the lead.
async fn lead_after(campaign: &impl redis_failover_store::Campaign, group: &impl Store) -> bool {
    let next = group.campaign(&id("m2"), None);
    campaign.resign().await;
    let mut leadership = redis_failover_store::Campaign::leadership(&next);
    let leads = async { while !matches!(leadership.next().await, Leadership::Leading(_)) {} };
    soon("it leads", leads).await;
    true
}

#[tokio::test]
async fn what_was_made_without_credentials_stays_as_it_is_and_is_written_on() {
    let subject = OnZooKeeper::start().await;
    let servers = subject.server.connect_string();
    let before = connect(&servers, &Access::default());
    let led = lead(before.group(&path("/g"))).await;
    led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
    before.close().await;
    let led = lead(connect(&servers, &user("secret")).group(&path("/g"))).await;
    led.campaign.commit(led.term, led.version, &record(2)).await.unwrap();
    let acls = subject.acls("/g").await;
    let of = |znode: &str| acls.iter().find(|(path, _)| path.contains(znode)).unwrap().1.as_str();
    assert_eq!(of("/g/state"), "world:anyone:ALL");
    assert_eq!(of("/g/leader/lock-"), "digest:monitors:ALL,world:anyone:READ");
}

#[cfg(feature = "tls")]
mod over_tls {
    use redis_failover_lab::{self as lab, Authority};
    use redis_failover_store::Tls;

    use super::*;

    async fn server(authority: &Authority, mutual: bool) -> OnZooKeeper {
        let issued = authority.issue(&["127.0.0.1", "localhost"]);
        OnZooKeeper::on(lab::ZooKeeper::builder().tls(authority, &issued, mutual).start(1)).await
    }

    fn trusting(authority: &Authority) -> Tls {
        Tls::new().roots_file(authority.roots())
    }

    async fn failure(zookeeper: &ZooKeeper) -> String {
        let failed = |state: &Connection| match state {
            Connection::Connecting { last_error } => last_error.clone(),
            _ => None,
        };
        zookeeper.state().until("the failure is told", failed).await
    }

    #[tokio::test]
    async fn a_session_goes_on_over_tls_with_a_new_certificate() {
        let authority = Authority::new();
        let mut subject = server(&authority, true).await;
        let stranger = Authority::new();
        let ours = stranger.issue(&["127.0.0.1"]);
        let tls = trusting(&authority).identity_files(&ours.certificate, &ours.key);
        let servers = subject.server.secure_connect_string();
        let zookeeper = connect(&servers, &user("secret").tls(tls));
        let error = failure(&zookeeper).await;
        assert!(error.contains("does not take our certificate") && error.contains(&servers), "{error}");

        authority.issue_into(&ours, &["127.0.0.1"]);
        let led = lead(zookeeper.group(&path("/g"))).await;
        led.campaign.commit(led.term, led.version, &record(1)).await.unwrap();
        let connected = |state: &Connection| matches!(state, Connection::Connected { .. }).then_some(());
        subject.server.restart_all();
        let lost = |state: &Connection| (!matches!(state, Connection::Connected { .. })).then_some(());
        zookeeper.state().until("it is lost", lost).await;
        zookeeper.state().until("it is back", connected).await;
        let snapshot = zookeeper.group(&path("/g")).snapshot(LONG).await.unwrap();
        assert!(snapshot.record.is_ok());
    }

    #[tokio::test]
    async fn a_server_that_is_not_trusted_is_named_with_the_reason() {
        let authority = Authority::new();
        let subject = server(&authority, false).await;
        let servers = subject.server.secure_connect_string();
        let stranger = Authority::new();
        let error = failure(&connect(&servers, &Access::default().tls(trusting(&stranger)))).await;
        assert!(error.contains(&servers) && error.contains("signed by nobody whom we trust"), "{error}");
        // The port without TLS, and TLS without a trusted name.
        let plain = connect(&subject.server.connect_string(), &Access::default().tls(trusting(&authority)));
        let error = failure(&plain).await;
        assert!(!error.is_empty());
        lead(connect(&servers, &Access::default().tls(trusting(&authority))).group(&path("/g"))).await;
    }

    #[test]
    fn what_can_never_be_verified_is_refused_at_once() {
        let authority = Authority::new();
        let refused = |servers: &str, tls: Tls| {
            let access = Access::default().tls(tls);
            ZooKeeper::connect_with(servers.parse().unwrap(), SESSION, &access).unwrap_err().to_string()
        };
        assert!(refused("a..b:2181", trusting(&authority)).contains("`a..b`"));
        assert!(
            refused("h:2181", trusting(&authority).server_name("x")).contains("leave the server name out")
        );
        assert!(refused("h:2181", Tls::new().roots_file("/nowhere")).contains("/nowhere"));
    }
}
