//! The data sets, and how to make them.

use redisnode_tests::measure::fill;
use redisnode_tests::view::{key_in, view};

use redisnode_tests::measure::table::per_second;
use std::time::Duration;

/// Members of the big hash and the big sorted set.
const MEMBERS: usize = 1_000_000;

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// 1 M strings of 100 bytes.
    Small,
    /// 300 k strings of 1 KiB.
    Middle,
    /// 2 k strings of 256 KiB.
    Large,
    /// One hash of 1 M fields.
    Hash,
    /// One sorted set of 1 M members.
    SortedSet,
}

impl Data {
    pub(crate) const ALL: [Self; 5] = [Self::Small, Self::Middle, Self::Large, Self::Hash, Self::SortedSet];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "100B",
            Self::Middle => "1KiB",
            Self::Large => "256KiB",
            Self::Hash => "hash",
            Self::SortedSet => "zset",
        }
    }

    pub(crate) fn is_one_big_key(self) -> bool {
        matches!(self, Self::Hash | Self::SortedSet)
    }

    fn count_and_bytes(self) -> (usize, usize) {
        match self {
            Self::Small => (1_000_000, 100),
            Self::Middle => (300_000, 1024),
            Self::Large => (2_000, 256 * 1024),
            Self::Hash | Self::SortedSet => (0, 0),
        }
    }

    /// Fills the cluster that the node on `port` knows. A big key is made twice, in the first and in the last slot:
    /// redis-cli moves the first slots of each source, the product and the script move the last ones, so each moves one.
    pub(crate) fn fill(self, port: u16) {
        let (count, bytes) = self.count_and_bytes();
        fill::fill(port, part(count), bytes);
        for slot in [0, 16383] {
            match self {
                Self::Hash => fill::hash(port, &key_in("big:", &[slot]), part(MEMBERS)),
                Self::SortedSet => fill::sorted_set(port, &key_in("big:", &[slot]), part(MEMBERS)),
                Self::Small | Self::Middle | Self::Large => {}
            }
        }
    }

    /// How many big keys lie at the node on `port`.
    pub(crate) fn big_keys_at(self, port: u16) -> u64 {
        let view = view(port).expect("the node answers");
        let own = view.nodes.iter().find(|node| node.id == view.myself).expect("a node knows itself");
        if self.is_one_big_key() { [0, 16383].iter().filter(|slot| own.slots.contains(slot)).count() as u64 } else { 0 }
    }

    /// The speed in words: keys or members a second, or mebibytes for large values.
    pub(crate) fn speed(self, keys: u64, big_keys: u64, took: Duration) -> String {
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let bytes = self.count_and_bytes().1 as f64;
        match self {
            Self::Small | Self::Middle => format!("{:.0} k keys/s", per_second(keys, took) / 1e3),
            Self::Large => format!("{:.0} MiB/s", per_second(keys, took) * bytes / f64::from(1 << 20)),
            Self::Hash | Self::SortedSet => {
                format!("{:.2} M members/s", per_second(big_keys * part(MEMBERS) as u64, took) / 1e6)
            }
        }
    }
}

/// `BENCH_PERCENT` of a number.
pub(crate) fn part(whole: usize) -> usize {
    let percent = std::env::var("BENCH_PERCENT").ok().and_then(|percent| percent.parse().ok()).unwrap_or(100);
    whole * percent / 100
}
