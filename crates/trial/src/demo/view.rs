//! What is shown while the demo runs, as lines. Pure: it knows no terminal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover::Topology;

use super::traffic::Counts;

/// How far back a rate looks.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// What the demo has done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing: it runs.
    Up,
    /// It was killed and not started again.
    Killed,
    /// It was stopped and stands still.
    Frozen,
}

impl Condition {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Killed => "KILLED",
            Self::Frozen => "FROZEN",
        }
    }
}

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The number of the present step, of how many, and what it is.
    pub step: (usize, usize, String),
    /// When the step began.
    pub step_began: Instant,
    /// When the demo began.
    pub began: Instant,
    /// The servers.
    pub nodes: Vec<(String, Condition)>,
    /// What the client library knows of the group; `None` until it knows anything.
    pub topology: Option<Arc<Topology>>,
    /// The latest counts.
    pub counts: Counts,
    /// Older counts, for the rates.
    samples: VecDeque<(Instant, Counts)>,
}

impl View {
    /// A view before the first of `steps` steps.
    pub(super) fn new(began: Instant, steps: usize) -> Self {
        Self {
            step: (0, steps, String::new()),
            step_began: began,
            began,
            nodes: Vec::new(),
            topology: None,
            counts: Counts::default(),
            samples: VecDeque::new(),
        }
    }

    /// Shows these servers, which are all up.
    pub(super) fn watch(&mut self, nodes: Vec<String>) {
        self.nodes = nodes.into_iter().map(|node| (node, Condition::Up)).collect();
    }

    /// Takes in counts; the rates are of the last second.
    pub(super) fn count(&mut self, now: Instant, counts: Counts) {
        self.counts = counts;
        self.samples.push_back((now, counts));
        while self.samples.len() > 2 && now - self.samples[1].0 >= RATE_WINDOW {
            self.samples.pop_front();
        }
    }

    /// Writes and reads per second.
    fn rates(&self) -> (u64, u64) {
        let (Some((from, before)), Some((to, now))) = (self.samples.front(), self.samples.back()) else {
            return (0, 0);
        };
        let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), *to - *from);
        (rate(now.acknowledged, before.acknowledged), rate(now.reads, before.reads))
    }

    /// The block that is redrawn on a terminal.
    pub(super) fn block(&self, now: Instant) -> Vec<String> {
        let (number, steps, text) = &self.step;
        let (writes, reads) = self.rates();
        let Counts { acknowledged, unknown, read_errors, .. } = self.counts;
        let progress = "■".repeat(*number) + &"□".repeat(steps.saturating_sub(*number));
        let mut lines = vec![
            String::new(),
            format!("  {progress}  step {number} of {steps}, {:.1} s", (now - self.step_began).as_secs_f64()),
            format!("  {text}"),
            String::new(),
        ];
        for (node, condition) in &self.nodes {
            lines.push(format!("  redis    {node:<17} {:<8} {}", condition.word(), self.role(node)));
        }
        lines.push(format!("  group    {}", self.phase()));
        lines.push(format!(
            "  writer   {:>7} writes/s   {} confirmed, {} unknown",
            grouped(writes),
            grouped(acknowledged),
            grouped(unknown)
        ));
        lines.push(format!("  readers  {:>7} reads/s    {} errors", grouped(reads), grouped(read_errors)));
        lines
    }

    /// The same in one line, for an output that is no terminal.
    pub(super) fn line(&self) -> String {
        let (writes, reads) = self.rates();
        format!("{}, {} writes/s, {} reads/s", self.phase(), grouped(writes), grouped(reads))
    }

    /// What the group's record says a node is.
    fn role(&self, node: &str) -> &'static str {
        let Some(topology) = &self.topology else { return "" };
        if topology.master.as_ref().is_some_and(|master| master.to_string() == node) {
            return "master";
        }
        let replica = topology.replicas.iter().find(|replica| replica.addr.to_string() == node);
        match replica {
            Some(replica) if replica.healthy => "replica",
            Some(_) => "out of service",
            None => "",
        }
    }

    /// What the group's record says of the group.
    fn phase(&self) -> String {
        match &self.topology {
            None => "epoch -, nothing is published yet".to_owned(),
            Some(topology) => match &topology.master {
                Some(master) => format!("epoch {}, master {master}", topology.epoch),
                None => format!("epoch {}, no master: a change is under way", topology.epoch),
            },
        }
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    (count * 1_000).checked_div(millis).unwrap_or(0)
}

/// A number with a comma between thousands.
pub(super) fn grouped(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let text = [0_u64, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(text, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_rate_is_of_the_last_second() {
        let start = Instant::now();
        let mut view = View::new(start, 3);
        assert_eq!(view.rates(), (0, 0));
        for tenth in 0..=30_u64 {
            // 100 writes in each tenth of a second, but none in the last half second.
            let counts = Counts { acknowledged: tenth.min(25) * 100, reads: tenth * 10, ..Counts::default() };
            view.count(start + Duration::from_millis(tenth * 100), counts);
        }
        assert_eq!(view.rates(), (500, 100));
    }
}
