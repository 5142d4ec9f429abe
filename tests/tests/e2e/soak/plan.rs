//! What a round does, all of it drawn from its seed. Nothing here looks at a server.
//!
//! Six seeds in a row are five kills, one of each party, and one other trouble; 66 in a row have each other trouble once
//! and each party killed eleven times, in both directions.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redisnode_tests::moving::Side::{self, Source, Target};

/// What befalls a party of the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    KillServer(Side),
    KillAgent(Side),
    KillCoordinator,
    /// Its replica becomes the primary.
    Failover(Side),
    /// FLUSHALL.
    Flush(Side),
    /// Neither the server nor its agent can write to their disk.
    FullDisk(Side),
    /// CLIENT PAUSE.
    Pause(Side),
    /// BGSAVE that takes long.
    Save(Side),
    /// BGREWRITEAOF that takes long.
    Rewrite(Side),
}

use Trouble::{Failover, Flush, FullDisk, KillAgent, KillCoordinator, KillServer, Pause, Rewrite, Save};

const KILLS: [Trouble; 5] =
    [KillServer(Source), KillServer(Target), KillAgent(Source), KillAgent(Target), KillCoordinator];
const OTHERS: [Trouble; 11] = [
    Failover(Source),
    Failover(Target),
    Flush(Source),
    Flush(Target),
    FullDisk(Source),
    Pause(Source),
    Pause(Target),
    Save(Source),
    Save(Target),
    Rewrite(Source),
    FullDisk(Target),
];
/// A move at the speed of the rounds takes a little longer.
const MOVE_MS: u64 = 3_500;

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How many primaries there are before, and after.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) trouble: Trouble,
    /// The trouble comes so long after the first slot was seen on its way.
    pub(crate) after: Duration,
    /// How long the trouble lasts, where it is one that ends.
    pub(crate) lasts: Duration,
    /// A choice between two ways of the same trouble.
    pub(crate) other_way: bool,
    /// Whether the nodes of this round need disks of their own.
    pub(crate) own_disks: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (block, place) = (seed / 6, usize::try_from(seed % 6).expect("below six"));
        let other = OTHERS[usize::try_from(block % 11).expect("below eleven")];
        let own_disks = place == KILLS.len() && matches!(other, FullDisk(_));
        // Back and forth by turns, and each block begins the other way round. Nodes that come have no disks of their own.
        let grows = (seed + block).is_multiple_of(2) && !own_disks;
        Self {
            seed,
            from: if grows { 3 } else { 4 },
            to: if grows { 4 } else { 3 },
            trouble: KILLS.get(place).copied().unwrap_or(other),
            after: Duration::from_millis(rng.random_range(0..MOVE_MS)),
            lasts: Duration::from_millis(rng.random_range(1_000..3_000)),
            other_way: rng.random(),
            own_disks,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, {}->{}, {:?} {:?} into the move", self.seed, self.from, self.to, self.trouble, self.after)
    }
}

#[test]
fn seeds_in_a_row_have_every_trouble_and_five_times_as_many_kills() {
    for first in [0, 1, 17] {
        let plans: Vec<Plan> = (first..first + 66).map(Plan::of).collect();
        let times = |trouble| plans.iter().filter(|plan| plan.trouble == trouble).count();
        assert_eq!(KILLS.map(times), [11; 5]);
        assert_eq!(OTHERS.map(times), [1; 11]);
        let grow = |trouble| plans.iter().filter(|plan| plan.trouble == trouble && plan.to > plan.from).count();
        assert!(KILLS.map(grow).iter().all(|times| [5, 6].contains(times)));
    }
}
