//! Shares out slots by weight: every shard comes to weigh about the same, and no more weight moves than somebody has too much.
//! It knows sets and numbers only, neither members nor servers.

use std::cmp::Reverse;

use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::{Slot, SlotRange, SlotSet};

use crate::weights::Weights;

/// A slot that weighs so many times as much as the mean one is chosen by its weight; others by their neighbours.
const HEAVY: u64 = 4;
/// All shares together may be off by one part in so many: so no slot is cut out of a range for a trifle.
const TRIFLE: u64 = 25;
/// Shares are even within one part in so many, or half of the heaviest slot.
const EVEN: u64 = 20;

/// What each of the shards should own, from what each holds now; slots that none of them holds are given out too. Every
/// slot is somebody's, and nobody is left without. `held` must be disjoint.
pub(crate) fn share_out(held: &[SlotSet], weights: &Weights) -> Vec<SlotSet> {
    let (share, hot) = weights.share(held.len());
    let shards = u64::try_from(held.len()).unwrap_or(u64::MAX).max(1);
    let sums = held.iter().map(|set| weights.sum(set)).collect();
    let mut draft = Draft {
        weights,
        share,
        trifle: share / TRIFLE / shards,
        sets: held.to_vec(),
        sums,
        sides: vec![None; held.len()],
    };
    draft.move_heavy();
    if draft.is_even(&hot) {
        return draft.sets;
    }
    let loose = draft.give();
    draft.hand_out(loose);
    draft.leave_nobody_empty();
    draft.sets
}

/// Shares in the making.
struct Draft<'w> {
    weights: &'w Weights,
    /// An even one.
    share: u64,
    trifle: u64,
    sets: Vec<SlotSet>,
    /// What each of them weighs.
    sums: Vec<u64>,
    /// What each of them does. Nobody does both: agents of two shards that send slots to each other at the same time get in
    /// each other's way (seen: slots that nobody claimed any more).
    sides: Vec<Option<Side>>,
}

/// What a shard does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Gives,
    Takes,
}

impl Draft<'_> {
    /// Sends heavy slots from who has too much to who has room for them, the heaviest first: so the fewest slots move.
    fn move_heavy(&mut self) {
        let mut heavy: Vec<(u64, Slot, usize)> = Vec::new();
        let mut excess: Vec<u64> = Vec::new();
        for (from, (set, sum)) in self.sets.iter().zip(&self.sums).enumerate() {
            let too_much = sum.saturating_sub(self.weights.bound(set, self.share));
            excess.push(too_much);
            let bound = Self::heavy(set, *sum);
            let found = set.iter().map(|slot| (self.weights.of(slot), slot, from)).filter(|_| too_much > 0);
            heavy.extend(found.filter(|(weight, _, _)| *weight > bound && *weight <= self.share));
        }
        heavy.sort_by_key(|(weight, slot, _)| (Reverse(*weight), *slot));
        for (weight, slot, from) in heavy {
            let Some((to, lightest)) = self.lightest() else { return };
            if self.side(from) == Some(Side::Takes) {
                continue;
            }
            // Nearly is enough: both come nearer to an even share by half of it or more.
            let nearly = weight - weight / 4;
            let room = self.share.saturating_sub(lightest);
            let Some(excess) = excess.get_mut(from).filter(|excess| nearly < **excess && nearly < room) else {
                continue;
            };
            *excess = excess.saturating_sub(weight);
            self.take(from, &SlotRange::from(slot).into());
            self.add(to, &SlotRange::from(slot).into());
        }
    }

    /// Every slot is somebody's, and shares are as even as such slots allow: what few slots would make of it is not worth
    /// many that hold little.
    fn is_even(&self, hot: &[Slot]) -> bool {
        let cool = Slot::all().filter(|slot| !hot.contains(slot)).map(|slot| self.weights.of(slot));
        let bound = (cool.max().unwrap_or_default() / 2).max(self.share / EVEN);
        crate::slots::is_whole(&self.sets) && self.weights.unevenness(&self.sets) <= bound
    }

    /// Takes from each what it has too much.
    fn give(&mut self) -> SlotSet {
        let surplus = |(index, (set, sum)): (usize, (&SlotSet, &u64))| {
            if self.side(index) == Some(Side::Takes) { SlotSet::new() } else { self.surplus(set, *sum) }
        };
        let given: Vec<SlotSet> = self.sets.iter().zip(&self.sums).enumerate().map(surplus).collect();
        for (index, given) in given.iter().enumerate().filter(|(_, given)| !given.is_empty()) {
            self.take(index, given);
        }
        self.sets.iter().fold(SlotSet::full(), |loose, set| loose.difference(set))
    }

    /// What `set` has above its bound: from the ends of its ranges, the shortest first, then heavy slots, the lightest
    /// first. What no slot is light enough for stays, and so does a trifle.
    fn surplus(&self, set: &SlotSet, sum: u64) -> SlotSet {
        let (heavy, bound) = (Self::heavy(set, sum), self.weights.bound(set, self.share));
        let mut excess = sum.saturating_sub(bound);
        let mut ranges = set.ranges();
        ranges.sort_by_key(|range| (range.count(), range.start()));
        let backwards = |range: SlotRange| range.iter().collect::<Vec<_>>().into_iter().rev();
        let mut order: Vec<Slot> = ranges.into_iter().flat_map(backwards).collect();
        order.sort_by_key(|slot| Some(self.weights.of(*slot)).filter(|weight| *weight > heavy));
        let mut given = SlotSet::new();
        for slot in order {
            let weight = self.weights.of(slot);
            let stays_alone = weight == bound && weight > self.share;
            if excess > self.trifle && weight <= excess && !stays_alone {
                excess -= weight;
                given.insert(slot);
            }
        }
        given
    }

    /// Above so much a slot of a shard is heavy.
    fn heavy(set: &SlotSet, sum: u64) -> u64 {
        HEAVY.saturating_mul(sum / u64::from(set.len().max(1)))
    }

    /// Gives the loose slots out: heavy ones one by one, the others in ranges, always to who has the least.
    fn hand_out(&mut self, mut loose: SlotSet) {
        let bound = HEAVY.saturating_mul(self.weights.total() / u64::from(SLOT_COUNT));
        let mut heavy: Vec<Slot> = loose.iter().filter(|slot| self.weights.of(*slot) > bound).collect();
        heavy.sort_by_key(|slot| (Reverse(self.weights.of(*slot)), *slot));
        for slot in heavy {
            let Some((to, _)) = self.lightest() else { return };
            self.add(to, &SlotRange::from(slot).into());
            loose.remove(slot);
        }
        while let Some((to, sum)) = self.lightest().filter(|_| !loose.is_empty()) {
            let lack = self.share.saturating_sub(sum).max(self.trifle);
            let Some(piece) = self.sets.get(to).and_then(|set| self.piece(set, lack, &loose)) else { return };
            self.add(to, &piece.into());
            loose = loose.difference(&piece.into());
        }
    }

    /// The next range for the owner of `set`, which lacks so much: what continues one of its ranges, else of the longest.
    fn piece(&self, set: &SlotSet, lack: u64, loose: &SlotSet) -> Option<SlotRange> {
        let ranges = loose.ranges();
        let has = |slot: Slot, step: i16| {
            let number = slot.number().checked_add_signed(step);
            number.and_then(|number| Slot::try_from(number).ok()).is_some_and(|slot| set.contains(slot))
        };
        if let Some(range) = ranges.iter().find(|range| has(range.start(), -1)) {
            return self.part(range.iter(), lack);
        }
        if let Some(range) = ranges.iter().find(|range| has(range.end(), 1)) {
            return self.part(range.iter().collect::<Vec<_>>().into_iter().rev(), lack);
        }
        let longest = ranges.iter().max_by_key(|range| (range.count(), Reverse(range.start())))?;
        self.part(longest.iter(), lack)
    }

    /// The first of these neighbours, at least one, that come nearest to `lack`.
    fn part(&self, slots: impl Iterator<Item = Slot>, lack: u64) -> Option<SlotRange> {
        let mut part: Option<(Slot, Slot)> = None;
        let mut sum = 0_u64;
        for slot in slots {
            let weight = self.weights.of(slot);
            if part.is_some() && sum.saturating_add(weight / 2) > lack {
                break;
            }
            sum = sum.saturating_add(weight);
            part = Some(part.map_or((slot, slot), |(low, high)| (low.min(slot), high.max(slot))));
        }
        part.and_then(|(low, high)| SlotRange::new(low, high))
    }

    /// A shard without slots would be none.
    fn leave_nobody_empty(&mut self) {
        while let Some(empty) = self.sets.iter().position(SlotSet::is_empty) {
            let may_give = |index: &usize| self.side(*index) != Some(Side::Takes);
            let richest = |index: &usize| (may_give(index), self.sets.get(*index).map(SlotSet::len));
            let Some(from) = (0..self.sets.len())
                .max_by_key(richest)
                .filter(|index| self.sets.get(*index).is_some_and(|set| set.len() > 1))
            else {
                return;
            };
            let slots = self.sets.get(from).into_iter().flat_map(SlotSet::iter);
            let Some(lightest) = slots.min_by_key(|slot| self.weights.of(*slot)) else { return };
            self.take(from, &SlotRange::from(lightest).into());
            self.add(empty, &SlotRange::from(lightest).into());
        }
    }

    /// Who weighs the least of those that give nothing, and how much.
    fn lightest(&self) -> Option<(usize, u64)> {
        let sums = self.sums.iter().copied().enumerate();
        sums.min_by_key(|(index, sum)| (self.side(*index) == Some(Side::Gives), *sum))
    }

    fn side(&self, index: usize) -> Option<Side> {
        self.sides.get(index).copied().flatten()
    }

    fn set_side(&mut self, index: usize, side: Side) {
        if let Some(known) = self.sides.get_mut(index) {
            known.get_or_insert(side);
        }
    }

    fn take(&mut self, from: usize, slots: &SlotSet) {
        self.set_side(from, Side::Gives);
        let weight = self.weights.sum(slots);
        if let Some((set, sum)) = self.sets.get_mut(from).zip(self.sums.get_mut(from)) {
            *set = set.difference(slots);
            *sum = sum.saturating_sub(weight);
        }
    }

    fn add(&mut self, to: usize, slots: &SlotSet) {
        self.set_side(to, Side::Takes);
        let weight = self.weights.sum(slots);
        if let Some((set, sum)) = self.sets.get_mut(to).zip(self.sums.get_mut(to)) {
            *set = set.union(slots);
            *sum = sum.saturating_add(weight);
        }
    }
}

#[cfg(test)]
#[path = "even_tests.rs"]
mod tests;
