//! What slots weigh, what an even share is, and how far shards are from it. It knows sets and numbers only. A slot is never
//! split: one that weighs more than an even share has a shard for itself, and the other shards share the rest.

use std::cmp::Reverse;

use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::weights::Run;
use redisnode_proto::{Slot, SlotSet};

/// Besides its own weight every slot has this part of the mean one: the next key may come there, and where nothing weighs
/// anything shares are even by number.
const EMPTY_PART: u64 = 256;

/// What every slot weighs.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    of: Vec<u64>,
    total: u64,
}

impl Weights {
    /// Slots that are in no run hold nothing: nobody has them.
    pub(crate) fn of_runs<'r>(runs: impl IntoIterator<Item = &'r Run>) -> Self {
        let mut of = vec![0_u64; usize::from(SLOT_COUNT)];
        for run in runs {
            let each = run.weight / u64::from(run.slots.count());
            for slot in run.slots.iter() {
                if let Some(weight) = of.get_mut(usize::from(slot.number())) {
                    *weight = each;
                }
            }
        }
        let sum = of.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        let empty = (sum / u64::from(SLOT_COUNT) / EMPTY_PART).max(1);
        for weight in &mut of {
            *weight = weight.saturating_add(empty);
        }
        let total = of.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        Self { of, total }
    }

    /// What a slot weighs.
    pub(crate) fn of(&self, slot: Slot) -> u64 {
        self.of.get(usize::from(slot.number())).copied().unwrap_or_default()
    }

    /// What slots weigh together.
    pub(crate) fn sum(&self, slots: &SlotSet) -> u64 {
        slots.iter().fold(0, |sum, slot| sum.saturating_add(self.of(slot)))
    }

    /// What all slots weigh together.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The even share of `shards`, and the slots that each weigh more than it. These are left out of it, and so are as many
    /// shards.
    pub(crate) fn share(&self, shards: usize) -> (u64, Vec<Slot>) {
        let (mut rest, mut left) = (self.total, u64::try_from(shards).unwrap_or(u64::MAX).max(1));
        let mut hot: Vec<Slot> = Vec::new();
        let mut order: Vec<Slot> = Vec::new();
        if self.of.iter().any(|weight| *weight > rest / left) {
            order.extend(Slot::all());
            order.sort_by_key(|slot| Reverse(self.of(*slot)));
        }
        for slot in order {
            if left <= 1 || self.of(slot) <= rest / left {
                break;
            }
            rest = rest.saturating_sub(self.of(slot));
            left -= 1;
            hot.push(slot);
        }
        (rest / left, hot)
    }

    /// How far the shards are from even shares: the most that one of them has too much or too little.
    pub(crate) fn unevenness(&self, sets: &[SlotSet]) -> u64 {
        let (share, _) = self.share(sets.len());
        let off = |set: &SlotSet| {
            let weight = self.sum(set);
            weight.saturating_sub(self.bound(set, share)).max(share.saturating_sub(weight))
        };
        sets.iter().map(off).max().unwrap_or_default()
    }

    /// What a shard may weigh: an even share, or its heaviest slot if that is more.
    pub(crate) fn bound(&self, set: &SlotSet, share: u64) -> u64 {
        set.iter().map(|slot| self.of(slot)).max().unwrap_or_default().max(share)
    }
}
