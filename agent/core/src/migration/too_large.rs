//! Keys that are too large for one `MIGRATE`: it serves nobody else until the key has gone, and other servers may take that
//! for a death. Found before their slot is opened, so that nothing has to be closed again.

use std::time::Duration;

use redisnode_proto::figures;
use redisnode_proto::{Millis, Slot};

/// Bytes of memory that a server packs, sends and unpacks in a second. Hashes and sorted sets are the slowest: one of a million
/// members, about 100 MB, holds up clients for more than a second (measured on Redis 7.0).
const BYTES_PER_SECOND: u64 = 50_000_000;

/// Sizes from one sample of a collection are wrong where its members differ: a key that they make this large is looked at
/// again, with [`SAMPLES`].
const LOOK_AGAIN_ABOVE: u64 = 4 << 20;

/// Samples of the second look: microseconds, whatever the key's length.
pub const SAMPLES: u32 = 50;

/// Whether a size, bytes, that was guessed from one sample has to be known better.
pub fn look_again(bytes: u64) -> bool {
    bytes >= LOOK_AGAIN_ABOVE
}

/// How long a key of so many bytes of memory holds up its source, and after that its target.
fn holds_up(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND)
}

/// How long one key may hold up a server: the others call it failed after the node time-out without a word, and may ask
/// for one as late as half of it.
pub fn longest(node_timeout: Millis) -> Duration {
    Duration::from_millis(node_timeout.0 / 2)
}

/// The time-out of a `MIGRATE` of one key, which fills a command alone: a quarter of the node time-out, and up to half of it
/// where it needs that, or has run into one before.
pub fn timeout_for_one(bytes: u64, again: bool, node_timeout: Millis) -> Duration {
    if again {
        return longest(node_timeout);
    }
    let quarter = Duration::from_millis(node_timeout.0 / 4);
    (holds_up(bytes) * 2).clamp(quarter, longest(node_timeout))
}

/// A key that does not move, and why: its slot stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Its slot.
    pub slot: Slot,
    /// Its name; what is no text in it is shown as a replacement character.
    pub name: String,
    /// Its size in memory, bytes.
    pub bytes: u64,
}

impl TooLarge {
    /// Whether a key of so many bytes would hold up a server for too long.
    pub fn is(bytes: u64, node_timeout: Millis) -> bool {
        holds_up(bytes) > longest(node_timeout)
    }

    /// What is the matter, and what to do: a sentence.
    pub fn reason(&self, node_timeout: Millis) -> String {
        let seconds = holds_up(self.bytes).as_secs_f64();
        format!(
            "slot {} stays where it is: its key {:?} has {}, and to move it would hold up both servers for about {seconds:.1} s, \
             more than half of the node time-out ({:.1} s); make it smaller or split it, or set spec.nodeTimeout to {:.0} s or more \
             (servers with atomic moves, Redis 8.4 and Valkey 9, have no such limit)",
            self.slot,
            self.name,
            figures::bytes(self.bytes),
            Duration::from_millis(node_timeout.0).as_secs_f64(),
            (seconds * 2.0).ceil().max(1.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_hold_up_a_server_for_half_of_the_node_timeout() {
        let timeout = Millis(15_000);
        assert!(!TooLarge::is(375_000_000, timeout) && TooLarge::is(376_000_000, timeout));
        assert!(TooLarge::is(30_000_000, Millis(1000)), "and for less where others lose patience earlier");
    }

    #[test]
    fn a_large_key_gets_the_time_that_it_needs_and_no_more_than_half_of_the_node_timeout() {
        let timeout = |bytes| timeout_for_one(bytes, false, Millis(15_000)).as_millis();
        assert_eq!(timeout(1000), 3750, "a quarter");
        assert_eq!(timeout(150_000_000), 6000, "twice what it is thought to take");
        assert_eq!(timeout(370_000_000), 7500);
        assert_eq!(timeout_for_one(1000, true, Millis(15_000)).as_millis(), 7500, "it was not so small");
    }

    #[test]
    fn the_reason_names_key_slot_size_and_what_to_do() {
        let key = TooLarge { slot: Slot::FIRST, name: "users".into(), bytes: 512 << 20 };
        let reason = key.reason(Millis(15_000));
        for part in ["slot 0", "\"users\"", "512.0 MiB", "10.7 s", "15.0 s", "spec.nodeTimeout to 22 s"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    }
}
