//! The arithmetic of slots: equal shares within one slot, the fewest slots moved, few and long ranges. It knows sets
//! only, neither members nor servers.

use std::cmp::Reverse;

use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::{Slot, SlotRange, SlotSet};

/// What each of the shards should own, from what each holds now; slots that none of them holds are given out too. The
/// answer covers every slot once, with shares within one slot of each other, and takes from each holder no more
/// than it has too much. `held` must be disjoint.
pub(crate) fn balance(held: &[SlotSet]) -> Vec<SlotSet> {
    let shares = shares(held);
    let mut wanted: Vec<SlotSet> = held.to_vec();
    let mut loose = SlotSet::full();
    for (set, share) in wanted.iter_mut().zip(&shares) {
        let given = surplus(set, *share);
        *set = set.difference(&given);
        loose = loose.difference(set);
    }
    hand_out(&mut wanted, &shares, loose);
    wanted
}

/// `targets`, and the slots of `loose` given to those that have the fewest. Nothing else moves.
pub(crate) fn complete(targets: &[SlotSet], loose: &SlotSet) -> Vec<SlotSet> {
    let mut wanted = targets.to_vec();
    let level = level(targets, loose.len());
    hand_out(&mut wanted, &level, loose.clone());
    wanted
}

/// Whether the sets cover every slot once, and none of them is empty.
pub(crate) fn is_whole(sets: &[SlotSet]) -> bool {
    let total: u32 = sets.iter().map(|set| u32::from(set.len())).sum();
    let union = sets.iter().fold(SlotSet::new(), |all, set| all.union(set));
    total == u32::from(SLOT_COUNT) && union == SlotSet::full() && !sets.iter().any(SlotSet::is_empty)
}

/// Whether the sets cover every slot once, with shares within one slot of each other.
pub(crate) fn is_balanced(sets: &[SlotSet]) -> bool {
    let total: u32 = sets.iter().map(|set| u32::from(set.len())).sum();
    let union = sets.iter().fold(SlotSet::new(), |all, set| all.union(set));
    let (min, max) = (sets.iter().map(SlotSet::len).min(), sets.iter().map(SlotSet::len).max());
    let even = min.zip(max).is_some_and(|(min, max)| max - min <= 1);
    even && total == u32::from(SLOT_COUNT) && union == SlotSet::full()
}

/// How many slots each should own: those that hold the most now get the odd ones, so that the fewest move.
fn shares(held: &[SlotSet]) -> Vec<u16> {
    let count = u16::try_from(held.len()).unwrap_or(u16::MAX).max(1);
    let (share, odd) = (SLOT_COUNT / count, usize::from(SLOT_COUNT % count));
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_by_key(|index| Reverse(held.get(*index).map(SlotSet::len)));
    let rich: Vec<usize> = order.into_iter().take(odd).collect();
    (0..held.len()).map(|index| if rich.contains(&index) { share + 1 } else { share }).collect()
}

/// How many slots each should own when `loose` slots are poured on the smallest.
fn level(targets: &[SlotSet], loose: u16) -> Vec<u16> {
    let mut sizes: Vec<u16> = targets.iter().map(SlotSet::len).collect();
    for _ in 0..loose {
        if let Some(least) = sizes.iter_mut().min() {
            *least += 1;
        }
    }
    sizes
}

/// What `set` has above `share`: whole ranges, the shortest first, so that what stays is in long ones; then the end
/// of one.
fn surplus(set: &SlotSet, share: u16) -> SlotSet {
    let mut excess = set.len().saturating_sub(share);
    let mut ranges = set.ranges();
    ranges.sort_by_key(|range| (range.count(), range.start()));
    let mut given = SlotSet::new();
    for range in ranges {
        if range.count() <= excess {
            excess -= range.count();
            given.extend(range.iter());
        } else {
            given.extend(range.iter().skip(usize::from(range.count() - excess)));
            break;
        }
    }
    given
}

/// Gives the loose slots to those below their share: first what continues a range that one has, then the piece that
/// fits best, the biggest want first.
fn hand_out(wanted: &mut [SlotSet], shares: &[u16], loose: SlotSet) {
    let mut loose = loose;
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|index| {
        let lack = shares.get(*index).zip(wanted.get(*index)).map(|(share, set)| share.saturating_sub(set.len()));
        Reverse(lack)
    });
    for adjacent_only in [true, false] {
        for index in &order {
            let (Some(set), Some(share)) = (wanted.get_mut(*index), shares.get(*index)) else { continue };
            while let Some(taken) = next_piece(set, *share, &loose, adjacent_only) {
                set.extend(taken.iter());
                loose = loose.difference(&SlotSet::from(taken));
            }
        }
    }
}

/// The next range that goes to the owner of `set`, no longer than it lacks.
fn next_piece(set: &SlotSet, share: u16, loose: &SlotSet, adjacent_only: bool) -> Option<SlotRange> {
    let lack = share.checked_sub(set.len()).filter(|lack| *lack > 0)?;
    let pieces = loose.ranges();
    let follows = |piece: &&SlotRange| neighbour(piece.start(), -1).is_some_and(|slot| set.contains(slot));
    let precedes = |piece: &&SlotRange| neighbour(piece.end(), 1).is_some_and(|slot| set.contains(slot));
    if let Some(piece) = pieces.iter().find(follows) {
        return head(*piece, lack);
    }
    if let Some(piece) = pieces.iter().find(precedes) {
        return tail(*piece, lack);
    }
    if adjacent_only {
        return None;
    }
    let fitting = pieces.iter().filter(|piece| piece.count() >= lack).min_by_key(|piece| piece.count());
    let piece = fitting.or_else(|| pieces.iter().max_by_key(|piece| piece.count()))?;
    head(*piece, lack)
}

fn head(range: SlotRange, count: u16) -> Option<SlotRange> {
    let end = range.start().number() + count.min(range.count()) - 1;
    SlotRange::new(range.start(), Slot::try_from(end).ok()?)
}

fn tail(range: SlotRange, count: u16) -> Option<SlotRange> {
    let start = range.end().number() + 1 - count.min(range.count());
    SlotRange::new(Slot::try_from(start).ok()?, range.end())
}

fn neighbour(slot: Slot, step: i16) -> Option<Slot> {
    slot.number().checked_add_signed(step).and_then(|number| Slot::try_from(number).ok())
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
