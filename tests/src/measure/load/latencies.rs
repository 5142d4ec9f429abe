//! Latencies of the requests of a window, and what became of those that failed.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a client saw in a window.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    sorted: Vec<Duration>,
    /// Requests without an answer; they count among the latencies with the time they have waited.
    pub unanswered: usize,
    /// Requests that were answered with an error, by its first word. They are not among the latencies.
    pub errors: BTreeMap<String, usize>,
}

impl Latencies {
    pub(super) fn new(answered: Vec<Duration>, waiting: Vec<Duration>, failed: Vec<String>) -> Self {
        let unanswered = waiting.len();
        let mut sorted = answered;
        sorted.extend(waiting);
        sorted.sort_unstable();
        let mut errors = BTreeMap::new();
        for why in failed {
            *errors.entry(why.split_whitespace().next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        Self { sorted, unanswered, errors }
    }

    /// The latency that this share of requests stays under; zero if there were none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    pub fn at(&self, share: f64) -> Duration {
        let index = ((self.sorted.len() as f64 * share) as usize).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(index).copied().unwrap_or_default()
    }

    /// How many requests there were with a latency.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Requests that failed or never got an answer.
    pub fn lost(&self) -> usize {
        self.unanswered + self.errors.values().sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_answer_of_a_hundred_is_the_maximum_and_the_p99() {
        let mut all = vec![Duration::from_millis(1); 99];
        all.push(Duration::from_millis(50));
        let seen = Latencies::new(all, Vec::new(), Vec::new());
        assert_eq!((seen.at(0.5), seen.at(0.99)), (Duration::from_millis(1), Duration::from_millis(50)));
        assert_eq!(seen.at(1.0), Duration::from_millis(50));
    }

    #[test]
    fn a_request_without_an_answer_is_a_latency_and_an_error_is_none() {
        let failed = vec!["CLUSTERDOWN The cluster is down".to_owned()];
        let seen = Latencies::new(vec![Duration::from_millis(1)], vec![Duration::from_secs(3)], failed);
        assert_eq!((seen.count(), seen.lost(), seen.at(1.0)), (2, 2, Duration::from_secs(3)));
        assert_eq!(seen.errors["CLUSTERDOWN"], 1);
    }
}
