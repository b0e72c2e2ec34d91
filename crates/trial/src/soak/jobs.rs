//! What a producer was told of the jobs that it pushed, and its worker of those that it took.
//!
//! The queue is in order and the worker alone, so a job that is not there when a later one is taken is missing; one
//! that is taken again shows that the first taking was lost. It reads no clock and asks no server.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

/// The numbered jobs of one producer and its only worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    /// When each was pushed, and whether that was confirmed; of the others nobody knows.
    pushed: Vec<(Instant, bool)>,
    taken: BTreeSet<usize>,
    /// When a job was taken, in order.
    takings: Vec<Instant>,
    /// All before this one were looked for.
    looked_at: usize,
    missing: BTreeSet<usize>,
    again: usize,
    /// How often nobody knows whether a job was taken.
    in_doubt: usize,
    wrongs: Vec<String>,
}

impl Jobs {
    /// The number of the next job, and so how many there were.
    pub(super) fn next(&self) -> usize {
        self.pushed.len()
    }

    /// Enters what the producer was told of the next job: that it was pushed, or that nobody knows.
    pub(super) fn push(&mut self, confirmed: bool, at: Instant) {
        self.pushed.push((at, confirmed));
    }

    /// Enters that the worker took a job. The one under way may be taken before its producer has the reply.
    pub(super) fn take(&mut self, number: usize, at: Instant) {
        if number > self.next() {
            return self.wrongs.push(format!("job {number} was taken, and never pushed"));
        }
        self.takings.push(at);
        self.again += usize::from(!self.taken.insert(number));
        self.missing.remove(&number);
        self.look(number);
    }

    /// How many jobs were pushed behind the last one that was taken: those that wait, and those that were lost since.
    pub(super) fn behind(&self) -> usize {
        self.next().saturating_sub(self.looked_at)
    }

    /// Looks at what should have been taken before this one.
    fn look(&mut self, before: usize) {
        let missing: Vec<_> = self.owed(before).collect();
        self.missing.extend(missing);
        self.looked_at = self.looked_at.max(before);
    }

    /// What should have been taken before this one, was not, and was not looked at yet.
    fn owed(&self, before: usize) -> impl Iterator<Item = usize> {
        (self.looked_at..before).filter(|number| self.pushed[*number].1 && !self.taken.contains(number))
    }

    /// Whether there is nothing left to be taken.
    pub(super) fn is_whole(&self) -> bool {
        self.owed(self.next()).next().is_none()
    }

    /// Enters that none will be taken any more.
    pub(super) fn close(&mut self) {
        self.look(self.next());
    }

    /// Enters that nobody knows whether the worker took a job.
    pub(super) fn doubt(&mut self) {
        self.in_doubt += 1;
    }

    /// Whether this job was taken, or a later one.
    pub(super) fn reached(&self, number: usize) -> bool {
        self.taken.last().is_some_and(|last| *last >= number)
    }

    /// How many pushes were confirmed.
    pub(super) fn confirmed(&self) -> usize {
        self.pushed.iter().filter(|(_, confirmed)| *confirmed).count()
    }

    /// Of how many pushes nobody knows.
    pub(super) fn unknown(&self) -> usize {
        self.next() - self.confirmed()
    }

    /// How often a job was taken.
    pub(super) fn taken(&self) -> usize {
        self.takings.len()
    }

    /// How often nobody knows whether one was.
    pub(super) fn in_doubt(&self) -> usize {
        self.in_doubt
    }

    /// How many confirmed jobs never came.
    pub(super) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// How often a job was taken that had been taken before.
    pub(super) fn again(&self) -> usize {
        self.again
    }

    /// How many pushes were confirmed in this time, and how many jobs were taken.
    pub(super) fn during(&self, window: &Range<Instant>) -> (usize, usize) {
        let pushes = self.pushed.iter().filter(|(at, confirmed)| *confirmed && window.contains(at));
        (pushes.count(), self.takings.iter().filter(|at| window.contains(*at)).count())
    }

    /// What should not have been.
    pub(super) fn wrongs(&self) -> &[String] {
        &self.wrongs
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// So many jobs were pushed, one a second, all of them confirmed but these; and these were taken then.
    fn jobs(count: usize, unknown: &[usize], taken: &[usize]) -> (Jobs, Instant) {
        let began = Instant::now();
        let at = |number| began + Duration::from_secs(u64::try_from(number).unwrap());
        let mut jobs = Jobs::default();
        (0..count).for_each(|number| jobs.push(!unknown.contains(&number), at(number)));
        for number in taken {
            jobs.take(*number, at(count));
        }
        (jobs, began)
    }

    #[test]
    fn a_job_is_missing_when_a_later_one_is_taken_unless_nobody_knows_of_it() {
        let (mut jobs, began) = jobs(5, &[1], &[0, 2]);
        assert_eq!(jobs.missing(), 0);
        jobs.take(4, began);
        assert_eq!((jobs.missing(), jobs.again()), (1, 0), "the fourth");
        jobs.take(3, began);
        assert_eq!((jobs.missing(), jobs.again()), (0, 0), "it was late");
        assert_eq!((jobs.confirmed(), jobs.unknown(), jobs.taken()), (4, 1, 4));
    }

    #[test]
    fn what_is_taken_again_is_counted_each_time() {
        let (mut jobs, began) = jobs(4, &[], &[0, 1, 2]);
        jobs.take(1, began);
        jobs.take(2, began);
        assert_eq!((jobs.again(), jobs.missing(), jobs.in_doubt()), (2, 0, 0));
        jobs.doubt();
        assert_eq!(jobs.in_doubt(), 1);
    }

    #[test]
    fn the_job_under_way_may_be_taken_and_none_that_was_never_pushed() {
        let (mut jobs, began) = jobs(2, &[], &[0, 1, 2]);
        assert_eq!(jobs.wrongs(), [""; 0]);
        assert!(jobs.reached(2) && !jobs.reached(3));
        jobs.take(4, began);
        assert_eq!(jobs.wrongs(), ["job 4 was taken, and never pushed"]);
    }

    #[test]
    fn what_was_lost_keeps_nobody_behind_when_a_later_job_is_taken() {
        let now = Instant::now();
        let mut jobs = Jobs::default();
        for _ in 0..9 {
            jobs.push(true, now);
        }
        assert_eq!(jobs.behind(), 9);
        jobs.take(0, now);
        assert_eq!(jobs.behind(), 9, "the last one that was taken counts until a later one is");
        jobs.take(7, now);
        assert_eq!(jobs.behind(), 2);
        jobs.take(9, now);
        assert_eq!(jobs.behind(), 0, "the one under way was taken");
    }

    #[test]
    fn the_last_jobs_are_to_be_taken_too() {
        let (mut jobs, began) = jobs(3, &[2], &[0]);
        assert!(!jobs.is_whole());
        let mut short = jobs.clone();
        short.close();
        assert_eq!((short.missing(), short.is_whole()), (1, true));
        jobs.take(1, began);
        assert!(jobs.is_whole(), "nobody knows of the last one");
        jobs.close();
        assert_eq!(jobs.missing(), 0);
    }

    #[test]
    fn what_was_done_in_a_time_is_counted() {
        let (jobs, began) = jobs(5, &[1], &[0]);
        let window = began + Duration::from_secs(1)..began + Duration::from_secs(4);
        assert_eq!(jobs.during(&window), (2, 0));
        assert_eq!(jobs.during(&(began..began + Duration::from_secs(9))), (4, 1));
    }
}
