//! What a client saw: acknowledged writes, errors by kind, latencies from the intended time, gaps by shard.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A window of time, as the client saw it.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Writes that were sent.
    pub sent: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes that were due and not sent, since too many were in flight.
    pub held_back: u64,
    /// Redirects that the client did not follow to the end.
    pub redirects: u64,
    /// Writes without an answer because the client had locked itself up and was replaced (see `client.rs`).
    pub stuck: u64,
    /// Errors that reached the caller, by kind. What the client resolves itself (redirects) is not among them.
    pub errors: BTreeMap<String, u64>,
    /// The first few errors, in full.
    pub first_errors: Vec<String>,
    latencies_us: Vec<u32>,
    gaps: Vec<Gap>,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    last: Instant,
    longest: Duration,
}

impl Stats {
    pub(super) fn new(shards: usize) -> Self {
        let fresh = Gap { last: Instant::now(), longest: Duration::ZERO };
        Self {
            sent: 0,
            acknowledged: 0,
            held_back: 0,
            redirects: 0,
            stuck: 0,
            errors: BTreeMap::new(),
            first_errors: Vec::new(),
            latencies_us: Vec::new(),
            gaps: vec![fresh; shards],
        }
    }

    pub(super) fn shards(&self) -> usize {
        self.gaps.len()
    }

    pub(super) fn acknowledged(&mut self, shard: usize, intended: Instant, at: Instant) {
        self.acknowledged += 1;
        self.latencies_us.push(u32::try_from((at - intended).as_micros()).unwrap_or(u32::MAX));
        if let Some(gap) = self.gaps.get_mut(shard) {
            gap.longest = gap.longest.max(at.saturating_duration_since(gap.last));
            gap.last = gap.last.max(at);
        }
    }

    pub(super) fn failed(&mut self, kind: String, detail: String) {
        *self.errors.entry(kind).or_default() += 1;
        if self.first_errors.len() < 10 {
            self.first_errors.push(detail);
        }
    }

    /// Ends the window: the time since each shard's last acknowledged write counts too.
    pub(super) fn close(&mut self) {
        for gap in &mut self.gaps {
            gap.longest = gap.longest.max(gap.last.elapsed());
        }
    }

    /// The latency, from the time a write was due to its acknowledgement, that this share of writes stays under.
    pub fn latency(&self, share: f64) -> Duration {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        Duration::from_micros(sorted.get(index).copied().unwrap_or(0).into())
    }

    /// The longest time without an acknowledged write, for each shard as they were when the workload began.
    pub fn gaps(&self) -> Vec<Duration> {
        self.gaps.iter().map(|gap| gap.longest).collect()
    }

    /// Panics if any error reached the caller, or a write was held back though no client was stuck. A redirect is no error, but many are: a client
    /// that is sent to a dead node again and again sees nothing else.
    #[track_caller]
    pub fn assert_no_errors(&self) {
        let few_redirects = self.redirects * 1000 <= self.sent;
        let held_back = self.held_back > 0 && self.stuck == 0;
        assert!(self.errors.is_empty() && !held_back && few_redirects, "{self}");
    }
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} writes acknowledged, {} held back, {} redirects, {} stuck with a client, p99 {:?}, max {:?}, errors {:?} {:?}",
            self.acknowledged,
            self.sent,
            self.held_back,
            self.redirects,
            self.stuck,
            self.latency(0.99),
            self.latency(1.0),
            self.errors,
            self.first_errors
        )
    }
}
