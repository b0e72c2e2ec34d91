//! What one writing process was told, write by write, and how it goes from there to who started it. Pure.
//!
//! All times are in microseconds since the load began.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// What stands in the last line, so that nothing that was cut short is taken for all.
const END: &str = "end";

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The number in its key, which no other write has.
    pub number: u64,
    /// When it was to be sent.
    pub due: u64,
    /// When its caller was told.
    pub told: u64,
    /// What its caller was told.
    pub answer: Answer,
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was done.
    Done,
    /// It was done, and not for the first time.
    Again,
    /// An error.
    Failed,
}

/// All writes of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sheet {
    /// One after the other as tasks have it, not in the order of time.
    pub writes: Vec<Write>,
    /// One of the errors, if there were any.
    pub error: Option<String>,
}

impl Write {
    /// Whether its caller was told that it was done.
    pub(super) fn is_acknowledged(self) -> bool {
        self.answer != Answer::Failed
    }
}

impl Sheet {
    /// How many callers were told of an error.
    pub(super) fn errors(&self) -> usize {
        self.writes.iter().filter(|write| !write.is_acknowledged()).count()
    }

    /// How many writes were acknowledged in this time.
    pub(super) fn acknowledged(&self, window: &Range<u64>) -> usize {
        let counts = |write: &&Write| write.is_acknowledged() && window.contains(&write.told);
        self.writes.iter().filter(counts).count()
    }

    /// The longest part of this time in which no write was acknowledged.
    pub(super) fn longest_gap(&self, window: &Range<u64>) -> Duration {
        let told = self.writes.iter().filter(|write| write.is_acknowledged()).map(|write| write.told);
        let mut times: Vec<_> = told.filter(|told| window.contains(told)).collect();
        times.extend([window.start, window.end]);
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        Duration::from_micros(gaps.max().unwrap_or(0))
    }

    /// From when a write was to be sent until it was acknowledged: the worst of those that fall into this time.
    pub(super) fn worst(&self, window: &Range<u64>) -> Duration {
        let touches =
            |write: &&Write| write.is_acknowledged() && write.told >= window.start && write.due < window.end;
        let waits = self.writes.iter().filter(touches).map(|write| write.told.saturating_sub(write.due));
        Duration::from_micros(waits.max().unwrap_or(0))
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Write { number, due, told, answer } in &self.writes {
            let answer = match answer {
                Answer::Done => "done",
                Answer::Again => "again",
                Answer::Failed => "failed",
            };
            writeln!(f, "{number} {due} {told} {answer}")?;
        }
        let error = self.error.as_deref().unwrap_or_default().replace('\n', " ");
        writeln!(f, "{END} {} {error}", self.writes.len())
    }
}

impl std::str::FromStr for Sheet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut writes = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix(END) {
                let (count, error) = rest.trim_start().split_once(' ').ok_or("no count at the end")?;
                if count.parse() != Ok(writes.len()) {
                    return Err(format!("{count} writes should be told, and {} are", writes.len()));
                }
                let error = Some(error.to_owned()).filter(|error| !error.is_empty());
                return Ok(Self { writes, error });
            }
            writes.push(write(line).ok_or_else(|| format!("not a write: {line}"))?);
        }
        Err(format!("it was cut short after {} writes", writes.len()))
    }
}

fn write(line: &str) -> Option<Write> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse().ok();
    let (number, due, told) = (number()?, number()?, number()?);
    let answer = match words.next()? {
        "done" => Answer::Done,
        "again" => Answer::Again,
        "failed" => Answer::Failed,
        _ => return None,
    };
    Some(Write { number, due, told, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(writes: &[(u64, u64, Answer)]) -> Sheet {
        let write = |(number, (due, told, answer)): (u64, &(u64, u64, Answer))| Write {
            number,
            due: *due,
            told: *told,
            answer: *answer,
        };
        Sheet { writes: (0..).zip(writes).map(write).collect(), error: None }
    }

    #[test]
    fn it_goes_over_a_pipe_whole_or_not_at_all() {
        use Answer::{Again, Done, Failed};
        let mut sheet = sheet(&[(0, 5, Done), (10, 90, Failed), (20, 21, Again)]);
        sheet.error = Some("READONLY\nit is a replica".to_owned());
        let text = sheet.to_string();
        let told: Sheet = text.parse().unwrap();
        assert_eq!(told.writes, sheet.writes);
        assert_eq!(told.error.as_deref(), Some("READONLY it is a replica"));
        assert_eq!(Sheet::default().to_string().parse(), Ok(Sheet::default()));
        let cut = text.split_once("end").unwrap().0;
        assert!(cut.parse::<Sheet>().unwrap_err().contains("cut short after 3"));
        let missing = text.split_once('\n').unwrap().1;
        assert!(missing.parse::<Sheet>().unwrap_err().contains("3 writes should be told, and 2 are"));
        assert!("0 1 2 maybe\nend 1 \n".parse::<Sheet>().unwrap_err().contains("maybe"));
    }

    #[test]
    fn a_gap_is_between_acknowledgements_and_reaches_to_the_ends_of_the_time() {
        use Answer::{Done, Failed};
        let sheet = sheet(&[(0, 100, Done), (0, 400, Failed), (0, 500, Done), (0, 560, Done)]);
        let gap = |window| sheet.longest_gap(&window).as_micros();
        assert_eq!(gap(100..600), 400, "an error ends no gap");
        assert_eq!(gap(200..520), 300, "what was before is not in it");
        assert_eq!(gap(500..2_000), 1_440, "and nothing came until the end");
        assert_eq!(sheet.acknowledged(&(100..560)), 2);
        assert_eq!(sheet.errors(), 1);
    }

    #[test]
    fn a_wait_begins_when_the_write_was_due() {
        use Answer::{Done, Failed};
        let sheet = sheet(&[(0, 10, Done), (20, 500, Done), (100, 5_000, Failed), (600, 601, Done)]);
        let worst = |window| sheet.worst(&window).as_micros();
        assert_eq!(worst(0..1_000), 480, "an error is counted, and no wait");
        assert_eq!(worst(400..450), 480, "it was waited for then");
        assert_eq!(worst(550..1_000), 1);
    }
}
