//! Medians, quartiles, and how sure a median is. Pure; nothing here assumes a distribution.

/// The middle of some measurements and their spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// The lower quartile.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub upper: f64,
}

/// A median and an interval that holds the true one with a confidence of at least 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Confident {
    /// The lower end.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The upper end.
    pub high: f64,
}

/// The fewest measurements that give an interval: with fewer, even the extremes hold the median too rarely.
pub(super) const FEWEST: usize = 6;

/// The quartiles of `values`, interpolated between neighbours.
pub(super) fn spread(values: &[f64]) -> Spread {
    let sorted = sorted(values);
    Spread { lower: quantile(&sorted, 1), median: quantile(&sorted, 2), upper: quantile(&sorted, 3) }
}

/// The median of `values`, at least [`FEWEST`], with its 95 % interval by order statistics.
///
/// How many values lie below the true median is a toss of a coin for each, whatever they are distributed like. So the
/// value of rank `k` and its mirror hold the median unless less than `k` coins, or more than `n - k`, fell on one side.
pub(super) fn confident(values: &[f64]) -> Confident {
    let sorted = sorted(values);
    let outside = rank(sorted.len()) - 1;
    Confident { low: sorted[outside], median: quantile(&sorted, 2), high: sorted[sorted.len() - 1 - outside] }
}

/// The greatest rank, from 1, whose value and its mirror hold the median with 95 %.
fn rank(count: usize) -> usize {
    // The chance of exactly `heads` heads, and of at most so many, beginning with none.
    let mut exactly = 0.5_f64.powf(float(count));
    let mut at_most = exactly;
    let mut heads = 0;
    while at_most <= 0.025 && heads < count {
        exactly *= float(count - heads) / float(heads + 1);
        heads += 1;
        at_most += exactly;
    }
    heads.max(1)
}

/// The value that `quarters` quarters of a sorted list lie below.
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    let place = (sorted.len() - 1) * quarters;
    let (below, rest) = (place / 4, place % 4);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * float(rest) / 4.0
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// A count of things that were measured: few enough to be exact.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        let spread = spread(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.lower, spread.median, spread.upper), (1.75, 2.5, 3.25));
    }

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Distribution-free 95 % intervals of the median, as printed in tables of order statistics.
        let ranks = [6, 10, 20, 30, 40, 50, 100].map(rank);
        assert_eq!(ranks, [1, 2, 6, 10, 14, 18, 40]);
    }

    #[test]
    fn an_interval_holds_the_middle() {
        let values: Vec<_> = (1..=30).map(f64::from).collect();
        let found = confident(&values);
        assert_eq!((found.low, found.median, found.high), (10.0, 15.5, 21.0));
        assert_eq!(confident(&values[..FEWEST]), Confident { low: 1.0, median: 3.5, high: 6.0 });
    }
}
