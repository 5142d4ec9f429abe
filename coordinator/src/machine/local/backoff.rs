//! How long a process that ended stays down before it is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// A life that long is a good one: the next end counts as the first.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// Counts ends in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    in_a_row: u32,
}

impl Backoff {
    /// How long to wait after a life of `lived`.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= GOOD_LIFE {
            self.in_a_row = 0;
        }
        let doubled = FIRST.saturating_mul(2_u32.saturating_pow(self.in_a_row));
        self.in_a_row = self.in_a_row.saturating_add(1);
        doubled.min(LONGEST)
    }

    /// Ends in a row, each after a short life.
    pub(super) fn in_a_row(self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_five_seconds_and_a_good_life_resets_it() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..9).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.in_a_row(), 9);
        assert_eq!(backoff.after(GOOD_LIFE), FIRST);
        assert_eq!(backoff.in_a_row(), 1);
    }
}
