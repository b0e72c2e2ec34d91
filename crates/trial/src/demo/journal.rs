//! What the monitors say while they work, in words for somebody who sees it for the first time.
//!
//! Monitors in this process are heard through `tracing`, those in processes of their own by following their logs. It
//! repeats only what the leading monitor does, and leaves out what is of no use to a spectator.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::screen::Screen;

/// How often a log is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What all that the monitor logs is marked with.
const MONITOR: &str = "redis_failover_server";

/// Shows on `screen` what the monitors of this process say, from now on and for good.
pub(super) fn listen(screen: Screen) {
    // It fails where somebody listens already, and then there is nothing to do.
    let _ = tracing_subscriber::registry().with(Ear(screen)).try_init();
}

/// Shows on `screen` what the monitor says that logs in JSON to the file `log`. It never ends.
pub(super) async fn follow(log: PathBuf, screen: Screen) {
    let mut reader = None;
    let mut line = String::new();
    loop {
        if reader.is_none() {
            reader = File::open(&log).ok().map(BufReader::new);
        }
        while let Some(Ok(1..)) = reader.as_mut().map(|reader| reader.read_line(&mut line)) {
            // The last line may be half written: the rest comes later.
            if line.ends_with('\n') {
                let said = serde_json::from_str::<Value>(&line).unwrap_or_default();
                let word = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
                show(&screen, &word("event"), &word("message"));
                line.clear();
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Hears the monitors of this process.
struct Ear(Screen);

impl Layer<Registry> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
        if event.metadata().target().starts_with(MONITOR) {
            let mut said = Said::default();
            event.record(&mut said);
            show(&self.0, &said.event, &said.message);
        }
    }
}

#[derive(Default)]
struct Said {
    event: String,
    message: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            value.clone_into(&mut self.event);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

fn show(screen: &Screen, event: &str, message: &str) {
    if let Some(text) = in_words(event, message) {
        screen.event(&format!("monitor  {text}"));
    }
}

/// A line of the monitor's log in plain words; `None` for what a spectator need not see.
fn in_words(event: &str, message: &str) -> Option<String> {
    match event {
        "step" => step_in_words(message),
        "+odown" | "no-master" | "too-few-monitors" | "-failover-abort-no-good-slave" | "record-lost" => {
            Some(message.to_owned())
        }
        "step-failed" => Some(format!("that did not succeed, it goes on: {message}")),
        _ => None,
    }
}

fn step_in_words(step: &str) -> Option<String> {
    let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
    let nodes = rest.replace(' ', ", ");
    let text = match verb {
        "freeze" => format!("tells {nodes} to follow nobody, and asks what they hold"),
        "promote" => format!("makes {nodes} a master: it holds the most"),
        "open" => format!("lets {nodes} take writes"),
        "follow" => {
            let (master, nodes) = rest.split_once(": ")?;
            let (nodes, closes) = nodes.split_once(", ").map_or((nodes, None), |(to, how)| (to, Some(how)));
            let closes = closes.map_or(String::new(), |how| format!(", {how}"));
            format!("makes {} a replica of {master}{closes}", nodes.replace(' ', ", "))
        }
        "commit" => match rest.strip_prefix("epoch ")?.split_once(": ")? {
            (epoch, "open") => format!("writes its choice down before it acts on it: epoch {epoch} begins"),
            (_, purpose) => {
                let master = purpose.strip_prefix("publish ").or_else(|| purpose.strip_prefix("found "))?;
                format!("publishes {master}")
            }
        },
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use redis_failover_core::{Intent, NodeAddr, ReplId, RunId, Step};

    use super::*;

    fn said(step: &Step) -> Option<String> {
        in_words("step", &step.to_string())
    }

    #[test]
    fn steps_are_told_in_words() {
        let [a, b, c] = [1, 2, 3].map(|port| NodeAddr::new("h", port));
        let nodes = vec![b.clone(), c.clone()];
        let freeze = Step::Freeze { nodes: nodes.clone(), awaited: [].into(), cut: None };
        assert_eq!(said(&freeze).unwrap(), "tells h:2, h:3 to follow nobody, and asks what they hold");
        let intent =
            Intent { node: b.clone(), run: RunId("r".into()), replid: ReplId("h".into()), offset: 1 };
        let promote = Step::Promote { intent, closable: true, closes: false };
        assert_eq!(said(&promote).unwrap(), "makes h:2 a master: it holds the most");
        let follow = |closes| {
            let (nodes, master) = (nodes.clone(), a.clone());
            said(&Step::Follow { nodes, master, min_replicas_to_write: 0, fences: true, closes }).unwrap()
        };
        assert_eq!(follow(None), "makes h:2, h:3 a replica of h:1");
        assert_eq!(follow(Some(b)), "makes h:2, h:3 a replica of h:1, cutting off the clients of h:2");
        assert_eq!(said(&Step::Look { nodes: vec![c.clone()] }), None);
        assert_eq!(said(&Step::Persist { nodes: vec![c] }), None);
    }

    #[test]
    fn commits_are_told_in_words() {
        let text = |message| in_words("step", message);
        assert_eq!(text("commit epoch 1: found master h:1").unwrap(), "publishes master h:1");
        assert_eq!(text("commit epoch 2: publish master h:2").unwrap(), "publishes master h:2");
        assert!(text("commit epoch 2: open").unwrap().ends_with("epoch 2 begins"));
        assert_eq!(text("commit epoch 2: refresh"), None);
        assert_eq!(in_words("+sdown", "h:1 is refused for this monitor"), None);
        assert_eq!(in_words("+odown", "h:1 is down").unwrap(), "h:1 is down");
    }
}
