//! How many `MIGRATE`s wait in the source's server at the same time. It runs all that it has read before it turns to
//! another client, so what waits there is what clients wait for; but with none waiting it stands still until the next
//! one has arrived.

use std::time::Duration;

/// One runs, one waits: fewer would leave the server without work.
const LEAST: usize = 2;
/// How much one measurement counts: an eighth.
const WEIGHT: u32 = 8;

/// The measured pace of one move.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Most commands in flight, at least 1, whatever was measured.
    most: usize,
    took: Option<Duration>,
}

impl Pace {
    /// Nothing measured yet.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), took: None }
    }

    /// A command was answered, so long after the one before it (or after it was sent, if none was waiting).
    pub fn answered(&mut self, after: Duration) {
        self.took = Some(self.took.map_or(after, |took| (took * (WEIGHT - 1) + after) / WEIGHT));
    }

    /// How many commands may be in flight now, if clients may be held up for `budget` by what waits; without one, as many as
    /// there may be at all.
    pub fn in_flight(&self, budget: Option<Duration>) -> usize {
        let Some(budget) = budget else { return self.most };
        let fit = self.took.map_or(LEAST, |took| {
            let fit = budget.as_nanos() / took.as_nanos().max(1);
            usize::try_from(fit).unwrap_or(usize::MAX)
        });
        fit.max(LEAST).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Option<Duration> = Some(Duration::from_micros(1500));

    fn paced(took: Duration) -> usize {
        let mut pace = Pace::new(16);
        (0..100).for_each(|_| pace.answered(took));
        pace.in_flight(BUDGET)
    }

    #[test]
    fn slow_commands_do_not_pile_up_and_fast_ones_keep_the_server_busy() {
        assert_eq!(paced(Duration::from_micros(500)), 3);
        assert_eq!(paced(Duration::from_millis(50)), LEAST);
        assert_eq!(paced(Duration::from_nanos(0)), 16);
    }

    #[test]
    fn it_begins_carefully_and_one_slow_answer_does_not_end_it() {
        let mut pace = Pace::new(16);
        assert_eq!(pace.in_flight(BUDGET), LEAST);
        (0..100).for_each(|_| pace.answered(Duration::from_micros(400)));
        let before = pace.in_flight(BUDGET);
        pace.answered(Duration::from_millis(2));
        assert!(pace.in_flight(BUDGET) > before / 2);
    }

    #[test]
    fn without_a_budget_all_are_on_their_way() {
        assert_eq!(Pace::new(16).in_flight(None), 16);
    }

    #[test]
    fn a_server_that_must_have_only_one_gets_only_one() {
        assert_eq!(Pace::new(1).in_flight(BUDGET), 1);
    }
}
