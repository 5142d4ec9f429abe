//! A key that looked small enough for one `MIGRATE`, or a few that fill one together, and does not arrive in the time that it
//! may hold up its servers: it is left alone soon, and tried again ever less often, so that clients do not wait for it all the
//! while.

use std::time::Duration;

use redisnode_proto::{Millis, Slot, figures};

use super::outcome::Attempt;
use super::too_large::longest;

/// So often a key may run into its time-out in one job: the second time it gets all the time that there is.
const TIME_OUTS: usize = 2;

/// Whether the keys of a command that goes alone are left alone for now: `MIGRATE` ended with `error` after `took` of the
/// `allowed` time, and it is not the first time. A target to which there is no way got nothing of them, so that is no word on
/// them.
pub fn is_too_slow(error: &str, earlier: &[Attempt], took: Duration, allowed: Duration) -> bool {
    let time_outs = earlier.iter().filter(|attempt| attempt.timed_out).count() + 1;
    time_outs >= TIME_OUTS && took >= allowed && !error.contains("connecting")
}

/// Why a slot stays open: a sentence. `bytes` is what the key and the `others` of its command are thought to have in memory.
pub fn too_slow(slot: Slot, name: &str, others: usize, bytes: u64, node_timeout: Millis) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    let others = if others > 0 { format!(" with {others} more") } else { String::new() };
    format!(
        "slot {slot} stays open: its key {name:?}{others}, about {}, did not arrive within {:.1} s, half of the node time-out ({:.1} s), \
         and its servers do nothing else while it moves; it is tried again ever less often; make it \
         smaller or split it, or raise spec.nodeTimeout, and it is tried at once; if it is small, see why the target is slow",
        figures::bytes(bytes),
        seconds(longest(node_timeout)),
        seconds(Duration::from_millis(node_timeout.0)),
    )
}

/// How long after the first job that held clients up for nothing the next one may begin, and at most.
const FIRST_WAIT: Millis = Millis(5_000);
const LONGEST_WAIT: Millis = Millis(300_000);

/// Jobs in a row that held clients up for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Costly {
    jobs: u32,
    /// The node time-out of the newest: another one allows keys another time.
    under: Millis,
}

impl Costly {
    /// One more, under this node time-out.
    pub(super) fn again(&mut self, node_timeout: Millis) {
        let jobs = if self.under == node_timeout { self.jobs.saturating_add(1) } else { 1 };
        *self = Self { jobs, under: node_timeout };
    }

    /// How long the pair waits after its last job, under this node time-out.
    pub(super) fn wait(&self, node_timeout: Millis) -> Millis {
        if self.jobs == 0 || self.under != node_timeout {
            return Millis(0);
        }
        Millis((FIRST_WAIT.0 << (self.jobs - 1).min(16)).min(LONGEST_WAIT.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_millis(500);
    const READING: &str = "IOERR error or timeout reading to target instance";

    fn timed_out() -> Attempt {
        Attempt { source: "a".repeat(40).parse().unwrap(), timed_out: true, resumed: false }
    }

    #[test]
    fn the_second_time_out_of_a_key_leaves_it_alone() {
        assert!(!is_too_slow(READING, &[], ALLOWED, ALLOWED));
        assert!(is_too_slow(READING, &[timed_out()], ALLOWED, ALLOWED));
        let refused = Attempt { timed_out: false, ..timed_out() };
        assert!(!is_too_slow(READING, &[refused], ALLOWED, ALLOWED), "it has not been sent yet");
    }

    #[test]
    fn a_target_that_is_gone_says_nothing_of_the_key() {
        let soon = ALLOWED / 10;
        assert!(!is_too_slow(READING, &[timed_out()], soon, ALLOWED), "the connection broke");
        let nobody = "IOERR error or timeout connecting to the client";
        assert!(!is_too_slow(nobody, &[timed_out()], ALLOWED, ALLOWED));
    }

    #[test]
    fn clients_are_held_up_ever_less_often_and_a_longer_node_timeout_is_tried_at_once() {
        let (mut costly, timeout) = (Costly::default(), Millis(15_000));
        assert_eq!(costly.wait(timeout), Millis(0));
        let waits: Vec<u64> = std::iter::repeat_with(|| {
            costly.again(timeout);
            costly.wait(timeout).0 / 1000
        })
        .take(9)
        .collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        (0..100).for_each(|_| costly.again(timeout));
        assert_eq!(costly.wait(timeout), LONGEST_WAIT);
        assert_eq!(costly.wait(Millis(30_000)), Millis(0));
        costly.again(Millis(30_000));
        assert_eq!(costly.wait(Millis(30_000)), FIRST_WAIT);
    }

    #[test]
    fn the_reason_names_key_slot_size_and_what_to_do() {
        let reason = too_slow(Slot::FIRST, "users", 0, 3 << 20, Millis(15_000));
        for part in ["slot 0", "\"users\", about 3.0 MiB", "7.5 s", "15.0 s", "raise spec.nodeTimeout"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        let reason = too_slow(Slot::FIRST, "users", 3, 1 << 16, Millis(15_000));
        assert!(reason.contains("\"users\" with 3 more, about 64.0 KiB, did not arrive"), "{reason}");
    }
}
