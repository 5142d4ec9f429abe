//! A set of slots: a bitmap with the set operations that planning needs. Written as ranges.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{SLOT_COUNT, Slot, SlotRange};

const WORDS: usize = SLOT_COUNT as usize / 64;

/// A set of slots. 2 KiB on the heap; all operations are linear in 256 words.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<SlotRange>", into = "Vec<SlotRange>")]
pub struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    /// No slot.
    pub fn new() -> Self {
        Self(Box::new([0; WORDS]))
    }

    /// Every slot of the cluster.
    pub fn full() -> Self {
        Self(Box::new([u64::MAX; WORDS]))
    }

    /// Adds a slot; true if it was not in the set.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        let Some(word) = self.0.get_mut(word) else { return false };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Takes a slot out; true if it was in the set.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        let Some(word) = self.0.get_mut(word) else { return false };
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many slots are in the set, 0 to 16384.
    pub fn len(&self) -> u16 {
        self.0.iter().fold(0, |sum, word| sum.saturating_add(u16::try_from(word.count_ones()).unwrap_or(u16::MAX)))
    }

    /// Whether no slot is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Slots in either.
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// Slots in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Slots of `self` that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    /// Whether every slot of `self` is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether no slot is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).is_empty()
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        let words = (0u16..).zip(self.0.iter());
        words.flat_map(|(index, word)| bits(*word).filter_map(move |bit| Slot::try_from(index * 64 + bit).ok()))
    }

    /// The lowest slot.
    pub fn first(&self) -> Option<Slot> {
        self.iter().next()
    }

    /// The set as the fewest ranges, in order.
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (first, last) in (0u16..).zip(self.0.iter()).flat_map(|(index, word)| runs(index * 64, *word)) {
            match ranges.last_mut().filter(|before| before.1 + 1 == first) {
                Some(before) => before.1 = last,
                None => ranges.push((first, last)),
            }
        }
        let slot = |number| Slot::try_from(number).ok();
        ranges.into_iter().filter_map(|(first, last)| SlotRange::new(slot(first)?, slot(last)?)).collect()
    }

    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let mut out = self.clone();
        for (mine, theirs) in out.0.iter_mut().zip(other.0.iter()) {
            *mine = combine(*mine, *theirs);
        }
        out
    }
}

/// The numbers of the bits that are set, in order: empty words cost one step, not 64.
fn bits(mut word: u64) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let bit = u16::try_from(word.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
        word &= word - 1;
        Some(bit)
    })
}

/// The runs of bits that are set, as first and last number, counted from `base`: one step each, not one a slot.
fn runs(base: u16, mut word: u64) -> impl Iterator<Item = (u16, u16)> {
    let mut at = base;
    std::iter::from_fn(move || {
        let gap = word.trailing_zeros();
        word = word.checked_shr(gap)?;
        let length = word.trailing_ones();
        word = word.checked_shr(length).unwrap_or(0);
        let first = at.checked_add(u16::try_from(gap).ok()?)?;
        at = first.checked_add(u16::try_from(length).ok()?)?;
        Some((first, at.checked_sub(1)?))
    })
}

fn place(slot: Slot) -> (usize, u64) {
    let number = usize::from(slot.number());
    (number / 64, 1 << (number % 64))
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::new();
        set.extend(slots);
        set
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

impl From<SlotRange> for SlotSet {
    fn from(range: SlotRange) -> Self {
        range.iter().collect()
    }
}

impl From<Vec<SlotRange>> for SlotSet {
    fn from(ranges: Vec<SlotRange>) -> Self {
        ranges.into_iter().flat_map(SlotRange::iter).collect()
    }
}

impl From<SlotSet> for Vec<SlotRange> {
    fn from(set: SlotSet) -> Self {
        set.ranges()
    }
}

/// `0-5460,7000`, or `-` for the empty set.
impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.ranges();
        if ranges.is_empty() {
            return f.write_str("-");
        }
        for (index, range) in ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            range.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_set() -> impl Strategy<Value = SlotSet> {
        proptest::collection::vec((0u16..SLOT_COUNT, 1u16..500), 0..12).prop_map(|starts| {
            let slots = starts.into_iter().flat_map(|(start, n)| start..start.saturating_add(n).min(SLOT_COUNT));
            slots.filter_map(|n| Slot::try_from(n).ok()).collect()
        })
    }

    proptest! {
        #[test]
        fn ranges_are_the_fewest_and_say_the_same(set in any_set()) {
            let ranges = set.ranges();
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].end().number() + 1 < pair[1].start().number());
            }
            prop_assert_eq!(SlotSet::from(ranges.clone()), set.clone());
            prop_assert_eq!(ranges.iter().map(|r| r.count()).sum::<u16>(), set.len());
        }

        #[test]
        fn difference_and_intersection_split_a_set(a in any_set(), b in any_set()) {
            prop_assert!(a.difference(&b).is_disjoint(&b));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert_eq!(a.difference(&b).len() + a.intersection(&b).len(), a.len());
        }

        #[test]
        fn json_round_trip(a in any_set()) {
            let text = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<SlotSet>(&text).unwrap(), a);
        }
    }

    #[test]
    fn the_full_set_is_one_range() {
        assert_eq!(SlotSet::full().to_string(), "0-16383");
        assert_eq!(SlotSet::full().len(), SLOT_COUNT);
    }
}
