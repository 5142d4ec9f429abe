//! How much of a server's time a slot takes, from a counter that is read now and then: the plain average at first, then one
//! in which the past fades.

use redisnode_proto::Millis;

/// The past fades within so long a time.
const FADES_IN: Millis = Millis(300_000);
/// Nanoseconds a second, from microseconds a millisecond.
const UNIT: u128 = 1_000_000;

/// The average of one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    counter: u64,
    first: Millis,
    last: Millis,
    /// Nanoseconds a second.
    average: u64,
}

impl Rate {
    /// After one look at the counter, in microseconds.
    pub(super) fn new(counter: u64, now: Millis) -> Self {
        Self { counter, first: now, last: now, average: 0 }
    }

    /// Takes in another look. A counter that is smaller than before has begun anew.
    pub(super) fn count(&mut self, counter: u64, now: Millis) {
        let since = u128::from(now.since(self.last).0);
        if since == 0 {
            return;
        }
        let grown = counter.checked_sub(self.counter).unwrap_or(counter);
        let span = u128::from(now.since(self.first).0.min(FADES_IN.0)).max(since);
        let average = (u128::from(self.average) * (span - since) + u128::from(grown) * UNIT) / span;
        self.average = u64::try_from(average).unwrap_or(u64::MAX);
        (self.counter, self.last) = (counter, now);
    }

    /// Whether the counter was read twice.
    pub(super) fn is_known(&self) -> bool {
        self.last > self.first
    }

    /// When it was first read.
    pub(super) fn since(&self) -> Millis {
        self.first
    }

    /// The average, nanoseconds a second.
    pub(super) fn nanoseconds(&self) -> u64 {
        self.average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a counter every five seconds that grows by so many microseconds a second.
    fn run(rate: &mut Rate, seconds: u64, growth: u64) {
        let (begin, counter) = (rate.last.0, rate.counter);
        for second in (5..=seconds).step_by(5) {
            rate.count(counter + second * growth, Millis(begin + second * 1000));
        }
    }

    #[test]
    fn is_the_plain_average_at_first_and_forgets_slowly_later() {
        let mut rate = Rate::new(77, Millis(0));
        assert!(!rate.is_known());
        run(&mut rate, 60, 100);
        assert!(rate.is_known());
        assert_eq!(rate.nanoseconds(), 100_000);
        run(&mut rate, 60, 300);
        assert!(rate.nanoseconds().abs_diff(200_000) < 20, "{}", rate.nanoseconds());
        run(&mut rate, 3000, 0);
        assert!(rate.nanoseconds() < 200, "{}", rate.nanoseconds());
        run(&mut rate, 10, 30_000);
        assert!(rate.nanoseconds() < 1_100_000, "a burst of ten seconds is a thirtieth of it: {}", rate.nanoseconds());
    }

    #[test]
    fn a_counter_that_begins_anew_is_counted_from_zero() {
        let mut rate = Rate::new(1_000_000, Millis(0));
        rate.count(500, Millis(5000));
        assert_eq!(rate.nanoseconds(), 100_000);
        rate.count(500, Millis(5000));
        assert_eq!(rate.nanoseconds(), 100_000, "the same moment says nothing");
    }
}
