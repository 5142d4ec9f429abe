//! Whether an agent must be sent the Layout now. Pure.

use redisnode_proto::{Generation, Millis, Uid};

const FIRST_PAUSE: Millis = Millis(50);
const LONGEST_PAUSE: Millis = Millis(2000);
/// For so long an agent that has taken the Layout may show the one before in its Report.
const SHOWN_WITHIN: Millis = Millis(2000);

/// What is known of the sending to one agent.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// To which incarnation.
    pub(super) uid: Uid,
    pub(super) in_flight: bool,
    pub(super) taken: Option<(Generation, Millis)>,
    failures: u32,
    again_at: Millis,
}

impl Delivery {
    pub(super) fn new(uid: Uid) -> Self {
        Self { uid, in_flight: false, taken: None, failures: 0, again_at: Millis(0) }
    }

    /// Whether to send `generation` now; the agent's Report shows `shown`.
    pub(super) fn is_due(&self, generation: Generation, shown: Option<Generation>, now: Millis) -> bool {
        let has_it = shown >= Some(generation);
        let will_show_it = self.taken.is_some_and(|(taken, at)| taken >= generation && now.since(at) < SHOWN_WITHIN);
        !self.in_flight && !has_it && !will_show_it && now >= self.again_at
    }

    /// A new Layout: earlier failures do not count.
    pub(super) fn begin_anew(&mut self) {
        (self.failures, self.again_at) = (0, Millis(0));
    }

    pub(super) fn succeeded(&mut self, generation: Generation, now: Millis) {
        self.begin_anew();
        self.taken = Some((generation, now));
    }

    pub(super) fn failed(&mut self, now: Millis) {
        let doubled = FIRST_PAUSE.0.saturating_mul(2_u64.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.again_at = now.after(Millis(doubled).min(LONGEST_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(sequence: u64) -> Generation {
        Generation { term: 1, sequence }
    }

    fn delivery() -> Delivery {
        Delivery::new("u1".parse().unwrap())
    }

    #[test]
    fn an_agent_that_shows_it_or_a_newer_one_is_left_alone() {
        let now = Millis(1000);
        assert!(delivery().is_due(generation(2), None, now));
        assert!(delivery().is_due(generation(2), Some(generation(1)), now));
        assert!(!delivery().is_due(generation(2), Some(generation(2)), now));
        assert!(!delivery().is_due(generation(2), Some(generation(3)), now));
    }

    #[test]
    fn an_agent_that_took_it_and_does_not_show_it_is_sent_it_again() {
        let mut delivery = delivery();
        delivery.succeeded(generation(2), Millis(1000));
        assert!(!delivery.is_due(generation(2), Some(generation(1)), Millis(2999)));
        assert!(delivery.is_due(generation(2), Some(generation(1)), Millis(3000)));
        assert!(delivery.is_due(generation(3), Some(generation(1)), Millis(1001)), "a newer one at once");
    }

    #[test]
    fn failures_make_the_pauses_longer_and_a_new_layout_ends_them() {
        let mut delivery = delivery();
        delivery.failed(Millis(0));
        assert!(!delivery.is_due(generation(2), None, Millis(49)));
        assert!(delivery.is_due(generation(2), None, Millis(50)));
        for _ in 0..20 {
            delivery.failed(Millis(1000));
        }
        assert!(!delivery.is_due(generation(2), None, Millis(2999)));
        assert!(delivery.is_due(generation(2), None, Millis(3000)));
        delivery.begin_anew();
        assert!(delivery.is_due(generation(3), None, Millis(1001)));
    }
}
