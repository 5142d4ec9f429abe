//! How fast slots may move: as fast as leaves clients the latency that the spec promises them, and no faster than the bytes a
//! second that it allows.

use std::collections::VecDeque;
use std::time::Duration;

use redisnode_proto::Millis;

/// Samples of a server's latency that count: those of the last second or so.
const KEPT: usize = 200;
/// Fewer say nothing yet.
const ENOUGH: usize = 20;

/// The newest answers' times of a server that is asked all the while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    newest: VecDeque<Duration>,
}

impl Latencies {
    /// An answer took so long.
    pub fn answered(&mut self, after: Duration) {
        self.newest.push_back(after);
        while self.newest.len() > KEPT {
            self.newest.pop_front();
        }
    }

    /// What 99 of 100 answers did not exceed; unknown while there are few.
    pub fn p99(&self) -> Option<Duration> {
        if self.newest.len() < ENOUGH {
            return None;
        }
        let mut sorted: Vec<Duration> = self.newest.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).or(sorted.last()).copied()
    }
}

/// Thousandths: full speed, and the least, so that every move ends.
const FULL: u64 = 1000;
const LEAST: u64 = 50;

/// Keys of a piece for each millisecond that clients may be held up at p99, and the least: smaller pieces hold clients up for
/// longer, not shorter (see [`Speed::piece`]).
const KEYS_PER_MILLI: u64 = 2_000;
const LEAST_KEYS: u64 = 10_000;

/// The share of the full speed that the latency leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    bound: Option<Duration>,
    share: u64,
}

impl Speed {
    /// Full, as long as nothing is measured. Without a bound it stays so.
    pub fn new(bound: Option<Millis>) -> Self {
        Self { bound: bound.map(|bound| Duration::from_millis(bound.0)), share: FULL }
    }

    /// Another bound holds from now on.
    pub fn set_bound(&mut self, bound: Option<Millis>) {
        let bound = bound.map(|bound| Duration::from_millis(bound.0));
        if bound != self.bound {
            *self = Self { bound, share: FULL };
        }
    }

    /// The latency now. Above the bound the speed falls fast; well below, it rises slowly.
    pub fn look(&mut self, p99: Duration) {
        let Some(bound) = self.bound else { return };
        self.share = if p99 > bound {
            (self.share * 7 / 10).max(LEAST)
        } else if p99 < bound * 7 / 10 {
            (self.share * 11 / 10 + 1).min(FULL)
        } else {
            self.share
        };
    }

    /// For how long a server may be kept busy in one go; `None` if nothing bounds it. (Measured on two cores, Redis 7.0, 3 to 4
    /// primaries: 4 ms gave 69 k keys/s and a client's p99 of 23 ms, 1.5 ms 65 k keys/s and 9.6 ms.)
    pub fn in_one_go(&self) -> Option<Duration> {
        let share = u32::try_from(self.share).unwrap_or(u32::MAX);
        self.bound.map(|bound| bound * 3 / 10 * share / u32::try_from(FULL).unwrap_or(1))
    }

    /// How many keys a piece has that the source deletes in one go once it has gone, `most` at full speed. A piece costs the
    /// servers about a tenth of a second whatever is in it, so it does not become small. (Measured on two cores, Valkey 9.1,
    /// three sources: all at once 344 to 445 k keys/s at p99 185 to 229 ms, ten thousand keys a piece 248 k at 82 ms, half of
    /// that 176 k at 369 ms.)
    pub fn piece(&self, most: u64) -> u64 {
        let Some(bound) = self.bound else { return most };
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        let full = millis.saturating_mul(KEYS_PER_MILLI);
        (full.saturating_mul(self.share) / FULL).max(LEAST_KEYS).min(most)
    }
}

/// A bound in bytes a second, as time to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Until when what was sent already fills the bound.
    paid_until: Duration,
}

/// What was not used is not saved up for longer than this.
const BURST: Duration = Duration::from_millis(100);

impl Throttle {
    /// So many bytes go now (`now` on any clock that does not go back): how long to wait before more may.
    pub fn sent(&mut self, now: Duration, bytes: u64, per_second: Option<u64>) -> Duration {
        let Some(rate) = per_second.filter(|rate| *rate > 0) else { return Duration::ZERO };
        let micros = bytes.saturating_mul(1_000_000) / rate;
        self.paid_until = self.paid_until.max(now.saturating_sub(BURST)) + Duration::from_micros(micros);
        self.paid_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn few_answers_say_nothing_and_one_slow_one_in_a_hundred_does_not_count() {
        let mut latencies = Latencies::default();
        (0..ENOUGH - 1).for_each(|_| latencies.answered(MS(1)));
        assert_eq!(latencies.p99(), None);
        (0..KEPT).for_each(|_| latencies.answered(MS(1)));
        latencies.answered(MS(50));
        assert_eq!(latencies.p99(), Some(MS(1)));
        (0..5).for_each(|_| latencies.answered(MS(50)));
        assert_eq!(latencies.p99(), Some(MS(50)));
    }

    #[test]
    fn slow_answers_slow_the_move_down_but_never_stop_it_and_it_comes_back() {
        let mut speed = Speed::new(Some(Millis(5)));
        let full = speed.in_one_go();
        assert_eq!(full, Some(Duration::from_micros(1500)));
        (0..100).for_each(|_| speed.look(MS(20)));
        assert!(speed.in_one_go() < full && speed.in_one_go() > Some(Duration::ZERO));
        assert_eq!(speed.piece(1_000_000), LEAST_KEYS);
        let slow = speed;
        speed.look(MS(4));
        assert_eq!(speed, slow, "near the bound nothing changes");
        (0..100).for_each(|_| speed.look(MS(1)));
        assert_eq!(speed.in_one_go(), full);
    }

    #[test]
    fn without_a_bound_nothing_slows_it_down() {
        let mut speed = Speed::new(None);
        speed.look(MS(1000));
        assert_eq!((speed.in_one_go(), speed.piece(1_000_000)), (None, 1_000_000));
        speed.set_bound(Some(Millis(50)));
        assert_eq!((speed.in_one_go(), speed.piece(1_000_000)), (Some(MS(15)), 100_000));
    }

    #[test]
    fn so_many_bytes_a_second_and_no_more() {
        let mut throttle = Throttle::default();
        let mut now = Duration::from_secs(100);
        for _ in 0..100 {
            now += throttle.sent(now, 1_000, Some(10_000));
        }
        let took = now.saturating_sub(Duration::from_secs(100));
        assert!(took > MS(9_800) && took <= MS(10_000), "{took:?}");
        assert_eq!(throttle.sent(now, 1 << 30, None), Duration::ZERO);
    }
}
