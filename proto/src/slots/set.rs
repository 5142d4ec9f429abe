//! A set of slots: a bitmap with the set operations that planning needs. Written as ranges.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{SLOT_COUNT, Slot, SlotRange};

const WORDS: usize = SLOT_COUNT as usize / 64;
type Words = [u64; WORDS];
static NO_SLOT: Words = [0; WORDS];

/// A set of slots: 2 KiB on the heap, shared by its clones until one of them changes; none for a set that was always
/// empty. All operations are linear in 256 words.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<SlotRange>", into = "Vec<SlotRange>")]
pub struct SlotSet(Option<Arc<Words>>);

impl SlotSet {
    /// No slot.
    pub fn new() -> Self {
        Self(None)
    }

    /// Every slot of the cluster.
    pub fn full() -> Self {
        Self(Some(Arc::new([u64::MAX; WORDS])))
    }

    /// Adds a slot; true if it was not in the set.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        let Some(word) = self.words_mut().get_mut(word) else { return false };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Takes a slot out; true if it was in the set.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let was = self.contains(slot);
        let (word, bit) = place(slot);
        if let Some(word) = was.then(|| self.words_mut()).and_then(|words| words.get_mut(word)) {
            *word &= !bit;
        }
        was
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.words().get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many slots are in the set, 0 to 16384.
    pub fn len(&self) -> u16 {
        let count = |word: &u64| u16::try_from(word.count_ones()).unwrap_or(u16::MAX);
        self.words().iter().fold(0, |sum, word| sum.saturating_add(count(word)))
    }

    /// Whether no slot is in the set.
    pub fn is_empty(&self) -> bool {
        self.words().iter().all(|word| *word == 0)
    }

    /// Slots in either.
    pub fn union(&self, other: &Self) -> Self {
        if self.0.is_none() {
            return other.clone();
        }
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
        self.words().iter().zip(other.words()).all(|(a, b)| a & !b == 0)
    }

    /// Whether no slot is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.words().iter().zip(other.words()).all(|(a, b)| a & b == 0)
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.words().iter().zip((0..SLOT_COUNT).step_by(64)).flat_map(|(word, first)| {
            let bits = if *word == 0 { 0 } else { 64u16 };
            (0..bits).filter(move |bit| word >> bit & 1 == 1).map(move |bit| Slot(first + bit))
        })
    }

    /// The lowest slot.
    pub fn first(&self) -> Option<Slot> {
        self.find(0, true).map(Slot)
    }

    /// The set as the fewest ranges, in order.
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges = Vec::new();
        let mut from = 0;
        while let Some(start) = self.find(from, true) {
            from = self.find(start, false).unwrap_or(SLOT_COUNT);
            ranges.extend(SlotRange::new(Slot(start), Slot(from.saturating_sub(1))));
        }
        ranges
    }

    /// The first number at or after `from` whose slot is in the set, or is not.
    fn find(&self, from: u16, is_in: bool) -> Option<u16> {
        let words = self.words().iter().zip((0..SLOT_COUNT).step_by(64)).skip(usize::from(from / 64));
        for (word, first) in words {
            let wanted = if is_in { *word } else { !word };
            let wanted = wanted & u64::MAX << from.saturating_sub(first);
            if wanted != 0 {
                return u16::try_from(wanted.trailing_zeros()).ok().map(|bit| first + bit);
            }
        }
        None
    }

    fn words(&self) -> &Words {
        self.0.as_deref().unwrap_or(&NO_SLOT)
    }

    fn words_mut(&mut self) -> &mut Words {
        Arc::make_mut(self.0.get_or_insert_with(|| Arc::new(NO_SLOT)))
    }

    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        if self.0.is_none() {
            return Self::new();
        }
        let mut out = *self.words();
        for (mine, theirs) in out.iter_mut().zip(other.words()) {
            *mine = combine(*mine, *theirs);
        }
        if out == NO_SLOT { Self::new() } else { Self(Some(Arc::new(out))) }
    }
}

fn place(slot: Slot) -> (usize, u64) {
    let number = usize::from(slot.number());
    (number / 64, 1 << (number % 64))
}

impl PartialEq for SlotSet {
    fn eq(&self, other: &Self) -> bool {
        let shared = self.0.as_ref().zip(other.0.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        shared || self.words() == other.words()
    }
}

impl Eq for SlotSet {}

impl Hash for SlotSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words().hash(state);
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
        vec![range].into()
    }
}

impl From<Vec<SlotRange>> for SlotSet {
    fn from(ranges: Vec<SlotRange>) -> Self {
        let mut set = Self::new();
        for range in ranges {
            let (start, end) = (range.start().number(), range.end().number());
            let words = set.words_mut().iter_mut().zip((0..SLOT_COUNT).step_by(64));
            for (word, first) in words.filter(|(_, first)| first + 63 >= start && *first <= end) {
                let (low, high) = (start.saturating_sub(first), (end - first).min(63));
                *word |= u64::MAX << low & u64::MAX >> (63 - high);
            }
        }
        set
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
        fn slots_come_in_order_and_are_those_that_were_put_in(set in any_set()) {
            let slots: Vec<Slot> = Slot::all().filter(|slot| set.contains(*slot)).collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), slots.clone());
            prop_assert_eq!(set.first(), slots.first().copied());
            let mut emptied = set.clone();
            prop_assert!(slots.iter().all(|slot| emptied.remove(*slot) && !emptied.remove(*slot)));
            prop_assert_eq!(&emptied, &SlotSet::new());
            prop_assert_eq!(usize::from(set.len()), slots.len(), "a clone that changes leaves the other alone");
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
