//! What `INFO` says of this process, in the sections that a Sentinel has.

use std::fmt::Write as _;

use super::Endpoint;
use super::instance::others;
use super::view::{Master, View};

/// The version of Redis Sentinel whose answers these are: field for field, they were held against that one's.
pub(super) const SPEAKS: &str = "7.0.15";

/// The sections, in their order.
const SECTIONS: [&str; 4] = ["server", "clients", "stats", "sentinel"];

/// The sections that are asked for; all where none is named.
pub(super) fn text(endpoint: &Endpoint, asked: &[String]) -> String {
    let wanted = |section: &str| {
        let names = |name: &String| {
            let all = ["all", "default", "everything"];
            name.eq_ignore_ascii_case(section) || all.iter().any(|word| name.eq_ignore_ascii_case(word))
        };
        asked.is_empty() || asked.iter().any(names)
    };
    let mut text = String::new();
    for section in SECTIONS.into_iter().filter(|section| wanted(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let lines = match section {
            "server" => server(endpoint),
            "clients" => vec![("connected_clients".to_owned(), endpoint.clients.count().to_string())],
            "stats" => stats(endpoint),
            _ => sentinel(endpoint),
        };
        let title = format!("{}{}", section[..1].to_uppercase(), &section[1..]);
        // Writing into a String does not fail.
        let _ = write!(text, "# {title}\r\n");
        for (name, value) in lines {
            let _ = write!(text, "{name}:{value}\r\n");
        }
    }
    text
}

type Lines = Vec<(String, String)>;

#[expect(clippy::needless_pass_by_value, reason = "texts and numbers alike, as they come")]
fn line(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn server(endpoint: &Endpoint) -> Lines {
    let up = endpoint.begun.elapsed().as_secs();
    vec![
        line("redis_version", SPEAKS),
        line("redis_failover_version", env!("CARGO_PKG_VERSION")),
        line("redis_mode", "sentinel"),
        line("os", std::env::consts::OS),
        line("arch_bits", usize::BITS),
        line("process_id", std::process::id()),
        line("run_id", &endpoint.id),
        line("tcp_port", endpoint.address.port()),
        line("uptime_in_seconds", up),
        line("uptime_in_days", up / 86_400),
    ]
}

fn stats(endpoint: &Endpoint) -> Lines {
    let totals = endpoint.clients.totals();
    let states: Vec<_> = endpoint.clients.present().iter().map(|client| client.state()).collect();
    vec![
        line("total_connections_received", totals.connections),
        line("total_commands_processed", totals.commands),
        line("rejected_connections", totals.rejected),
        line("pubsub_clients", states.iter().filter(|it| it.channels + it.patterns > 0).count()),
    ]
}

fn sentinel(endpoint: &Endpoint) -> Lines {
    let groups = endpoint.groups();
    let cut_off = groups.iter().filter_map(|group| group.since.borrow().cut_off).min();
    let views: Vec<_> = groups.iter().filter_map(|group| View::of(group)).collect();
    let mut lines = vec![
        line("sentinel_masters", views.len()),
        line("sentinel_tilt", u8::from(cut_off.is_some())),
        line("sentinel_tilt_since_seconds", cut_off.map_or(-1, |at| at.elapsed().as_secs().cast_signed())),
        line("sentinel_running_scripts", 0),
        line("sentinel_scripts_queue_length", 0),
        line("sentinel_simulate_failure_flags", 0),
    ];
    for (index, view) in views.iter().enumerate() {
        let status = match view.master() {
            Master::Well | Master::SwitchedOver | Master::Deposed => "ok",
            Master::Down | Master::Replaced => "odown",
        };
        let (name, master) = (&view.name, &view.record.master);
        let (replicas, sentinels) = (view.replicas().count(), others(view, &endpoint.id).count() + 1);
        let value =
            format!("name={name},status={status},address={master},slaves={replicas},sentinels={sentinels}");
        lines.push((format!("master{index}"), value));
    }
    lines
}
