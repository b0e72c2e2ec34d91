//! Scripts: what is done to which server, line by line, and what must come of it.
//!
//! A line is `SERVERS VERB …; SERVERS VERB … => OUTCOME`. The outcome is what the commands answered, where it is more
//! than yes, and which resynchronisations the line caused; without an arrow there was neither. `#` is a comment, and
//! `! FLAVOUR: OUTCOME` says what comes of the next line on that version, where it is something else.

use redis_failover_lab::Flavour;

/// What is done to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It starts for the first time, perhaps with an append-only file.
    Start { log: bool },
    /// REPLICAOF; `None` is the refusing address.
    Follow(Option<String>),
    /// REPLICAOF NO ONE.
    Lead,
    /// So many keys are set.
    Write(u32),
    /// WAIT for so many replicas.
    Wait(u32),
    /// SIGKILL.
    Die,
    /// Its process starts again, with what its disk has, or with nothing.
    Return { empty: bool },
    /// SAVE.
    Save,
    /// CONFIG REWRITE.
    Rewrite,
    /// `min-replicas-to-write`.
    Need(u32),
    /// CLIENT PAUSE for writes.
    Pause,
    /// CLIENT UNPAUSE.
    Unpause,
    /// SIGSTOP.
    Hang,
    /// SIGCONT.
    Wake,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// As it was written.
    pub(crate) text: String,
    /// What is done, in order.
    pub(crate) commands: Vec<(String, Verb)>,
    /// What must come of it.
    outcome: String,
    /// What must come of it on versions that do otherwise.
    others: Vec<(Flavour, String)>,
}

impl Line {
    /// What must come of it on this version.
    pub(crate) fn outcome(&self, flavour: Flavour) -> &str {
        let other = self.others.iter().find(|(of, _)| *of == flavour);
        other.map_or(&self.outcome, |(_, outcome)| outcome)
    }
}

/// Reads a script.
pub(crate) fn parse(script: &str) -> Vec<Line> {
    let mut others = Vec::new();
    let mut lines = Vec::new();
    for text in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(mark) = text.strip_prefix("! ") {
            others.push(other(mark));
            continue;
        }
        let (commands, outcome) = text.split_once(" => ").unwrap_or((text, ""));
        lines.push(Line {
            text: text.to_owned(),
            commands: commands.split(';').flat_map(commands_of).collect(),
            outcome: outcome.to_owned(),
            others: std::mem::take(&mut others),
        });
    }
    assert!(others.is_empty(), "a mark without a line after it");
    lines
}

fn other(mark: &str) -> (Flavour, String) {
    let known = [("6.2: ", Flavour::Redis62), ("9.1: ", Flavour::Valkey91)];
    let found =
        known.iter().find_map(|(name, flavour)| Some((*flavour, mark.strip_prefix(name)?.to_owned())));
    found.unwrap_or_else(|| panic!("no flavour and outcome: {mark:?}"))
}

fn commands_of(sentence: &str) -> Vec<(String, Verb)> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("no number: {sentence:?}"));
    let verb = match words[1..] {
        ["starts"] => Verb::Start { log: false },
        ["starts", "with", "a", "log"] => Verb::Start { log: true },
        ["follows", of] => Verb::Follow(Some(of.to_owned())),
        ["freezes"] => Verb::Follow(None),
        ["leads"] => Verb::Lead,
        ["writes", count] => Verb::Write(number(count)),
        ["waits", "for", count] => Verb::Wait(number(count)),
        ["dies"] => Verb::Die,
        ["returns"] => Verb::Return { empty: false },
        ["returns", "empty"] => Verb::Return { empty: true },
        ["saves"] => Verb::Save,
        ["rewrites"] => Verb::Rewrite,
        ["needs", count] => Verb::Need(number(count)),
        ["pauses"] => Verb::Pause,
        ["unpauses"] => Verb::Unpause,
        ["hangs"] => Verb::Hang,
        ["wakes"] => Verb::Wake,
        _ => panic!("not understood: {sentence:?}"),
    };
    words[0].split(',').map(|name| (name.to_owned(), verb.clone())).collect()
}
