//! The network between nodes: who reaches whom, and how long messages take.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::rngs::StdRng;

use super::clock::Time;

/// The network.
#[derive(Default)]
pub(crate) struct Net {
    /// Nodes that are cut off from all others.
    pub(crate) islands: BTreeSet<usize>,
    /// Pairs that do not reach each other.
    pub(crate) cuts: BTreeSet<(usize, usize)>,
    /// Nodes whose server hears nothing of the bus and of replication, while its agent hears everything.
    pub(crate) deaf: BTreeSet<usize>,
    /// Of a hundred calls between agents (and of a hundred answers), how many are lost.
    pub(crate) lossy: u32,
    /// Now and then a message of the bus takes this much longer.
    pub(crate) slow_bus: Time,
    /// When each node was cut off the last time.
    pub(crate) cut_since: std::collections::BTreeMap<usize, Time>,
    /// When each node was last cut off from anybody.
    pub(crate) last_cut: std::collections::BTreeMap<usize, Time>,
}

impl Net {
    pub(crate) fn reach(&self, a: usize, b: usize) -> bool {
        if a == b {
            return true;
        }
        let island = self.islands.contains(&a) || self.islands.contains(&b);
        !island && !self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// Whether two servers reach each other.
    pub(crate) fn servers_reach(&self, a: usize, b: usize) -> bool {
        self.reach(a, b) && (a == b || !self.deaf.contains(&a) && !self.deaf.contains(&b))
    }

    pub(crate) fn is_cut(&self, node: usize) -> bool {
        self.islands.contains(&node) || self.cuts.iter().any(|(a, b)| *a == node || *b == node)
    }

    pub(crate) fn bus_delay(&self, rng: &mut StdRng) -> Time {
        let slow = self.slow_bus > 0 && rng.random_range(0..40) == 0;
        rng.random_range(0..=2) + if slow { rng.random_range(0..=self.slow_bus) } else { 0 }
    }

    /// How long a call between agents takes one way; absent when it is lost.
    pub(crate) fn call_delay(&self, rng: &mut StdRng) -> Option<Time> {
        let lost = rng.random_range(0..100) < self.lossy;
        let late = self.lossy > 0 && rng.random_range(0..20) == 0;
        (!lost).then(|| rng.random_range(1..=3) + if late { rng.random_range(0..600) } else { 0 })
    }
}
