//! A set of slots: a bitmap with the set operations that planning needs. Written as ranges, and kept as ranges for as long as
//! a set that was read does not change: a coordinator keeps several sets of each of its agents.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{SLOT_COUNT, Slot, SlotRange};

const WORDS: usize = SLOT_COUNT as usize / 64;
type Words = [u64; WORDS];
static NO_SLOT: Words = [0; WORDS];
/// More ranges than these are as well kept as the bitmap.
const FEW: usize = 256;

/// A set of slots: ranges or 2 KiB of bits on the heap, shared by its clones until one of them changes; nothing for a set that
/// was always empty. All operations are linear in 256 words.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<SlotRange>", into = "Vec<SlotRange>")]
pub struct SlotSet {
    /// Of a set that was read: the fewest ranges that say it, in order, at least one.
    few: Option<Arc<[SlotRange]>>,
    /// Of any other set that is not empty. Never both.
    many: Option<Arc<Words>>,
}

impl SlotSet {
    /// No slot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every slot of the cluster.
    pub fn full() -> Self {
        SlotRange::full().into()
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
        if let Some(few) = &self.few {
            return few.iter().any(|range| range.start() <= slot && slot <= range.end());
        }
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
        self.few.is_none() && self.words().iter().all(|word| *word == 0)
    }

    /// Slots in either.
    pub fn union(&self, other: &Self) -> Self {
        if self.is_empty() {
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
        self.words().iter().zip(other.words().iter()).all(|(a, b)| a & !b == 0)
    }

    /// Whether no slot is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.words().iter().zip(other.words().iter()).all(|(a, b)| a & b == 0)
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.ranges().into_iter().flat_map(SlotRange::iter)
    }

    /// The lowest slot.
    pub fn first(&self) -> Option<Slot> {
        let of_words = || find(&self.words(), 0, true).map(Slot);
        self.few.as_ref().map_or_else(of_words, |few| few.first().map(|range| range.start()))
    }

    /// The set as the fewest ranges, in order.
    pub fn ranges(&self) -> Vec<SlotRange> {
        self.few.as_ref().map_or_else(|| ranges_of(&self.words()), |few| few.to_vec())
    }

    fn words(&self) -> Cow<'_, Words> {
        match &self.few {
            Some(few) => Cow::Owned(bitmap(few)),
            None => Cow::Borrowed(self.many.as_deref().unwrap_or(&NO_SLOT)),
        }
    }

    fn words_mut(&mut self) -> &mut Words {
        if let Some(few) = self.few.take() {
            self.many = Some(Arc::new(bitmap(&few)));
        }
        Arc::make_mut(self.many.get_or_insert_with(|| Arc::new(NO_SLOT)))
    }

    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        if self.is_empty() {
            return Self::new();
        }
        let mut out = self.words().into_owned();
        for (mine, theirs) in out.iter_mut().zip(other.words().iter()) {
            *mine = combine(*mine, *theirs);
        }
        if out == NO_SLOT { Self::new() } else { Self { few: None, many: Some(Arc::new(out)) } }
    }
}

/// The slots of `ranges`, which may be in any order and overlap.
fn bitmap(ranges: &[SlotRange]) -> Words {
    let mut out = NO_SLOT;
    for range in ranges {
        let (start, end) = (range.start().number(), range.end().number());
        let words = out.iter_mut().zip((0..SLOT_COUNT).step_by(64));
        for (word, first) in words.filter(|(_, first)| first + 63 >= start && *first <= end) {
            let (low, high) = (start.saturating_sub(first), (end - first).min(63));
            *word |= u64::MAX << low & u64::MAX >> (63 - high);
        }
    }
    out
}

fn ranges_of(words: &Words) -> Vec<SlotRange> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while let Some(start) = find(words, from, true) {
        from = find(words, start, false).unwrap_or(SLOT_COUNT);
        ranges.extend(SlotRange::new(Slot(start), Slot(from.saturating_sub(1))));
    }
    ranges
}

/// The first slot at or above `from` that is in the set, or that is not.
fn find(words: &Words, from: u16, is_in: bool) -> Option<u16> {
    let words = words.iter().zip((0..SLOT_COUNT).step_by(64)).skip(usize::from(from / 64));
    for (word, first) in words {
        let wanted = if is_in { *word } else { !word };
        let wanted = wanted & u64::MAX << from.saturating_sub(first);
        if wanted != 0 {
            return u16::try_from(wanted.trailing_zeros()).ok().map(|bit| first + bit);
        }
    }
    None
}

fn place(slot: Slot) -> (usize, u64) {
    let number = usize::from(slot.number());
    (number / 64, 1 << (number % 64))
}

impl PartialEq for SlotSet {
    fn eq(&self, other: &Self) -> bool {
        if let (Some(own), Some(others)) = (&self.few, &other.few) {
            return own == others;
        }
        let shared = self.many.as_ref().zip(other.many.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        shared || self.words() == other.words()
    }
}

impl Eq for SlotSet {}

impl Hash for SlotSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ranges().hash(state);
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
        let words = bitmap(&ranges);
        let ranges = ranges_of(&words);
        match ranges.len() {
            0 => Self::new(),
            1..=FEW => Self { few: Some(ranges.into()), many: None },
            _ => Self { few: None, many: Some(Arc::new(words)) },
        }
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

        #[test]
        fn a_set_that_was_read_is_like_one_that_was_made(a in any_set(), b in any_set(), n in 0u16..SLOT_COUNT) {
            let read = SlotSet::from(a.ranges());
            prop_assert_eq!(read.len(), a.len());
            prop_assert_eq!((read.is_empty(), read.first()), (a.is_empty(), a.first()));
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), a.iter().collect::<Vec<_>>());
            prop_assert_eq!((read.union(&b), b.union(&read)), (a.union(&b), b.union(&a)));
            prop_assert_eq!((read.difference(&b), b.difference(&read)), (a.difference(&b), b.difference(&a)));
            prop_assert_eq!((read.is_subset(&b), b.is_disjoint(&read)), (a.is_subset(&b), b.is_disjoint(&a)));
            let slot = Slot::try_from(n).unwrap();
            prop_assert_eq!(read.contains(slot), a.contains(slot));
            let (mut one, mut other) = (read.clone(), a.clone());
            prop_assert_eq!(one.insert(slot), other.insert(slot));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(one.remove(slot), other.remove(slot));
            prop_assert_eq!((one, read), (other, a), "a clone that changes leaves the other alone");
        }
    }

    #[test]
    fn many_ranges_or_overlapping_ones_in_any_order_say_the_same() {
        let every_other: SlotSet = Slot::all().filter(|slot| slot.number() % 2 == 0).collect();
        assert_eq!(SlotSet::from(every_other.ranges()), every_other);
        let range = |text: &str| text.parse::<SlotRange>().unwrap();
        assert_eq!(SlotSet::from(vec![range("7-9"), range("0-4"), range("3-6")]), range("0-9").into());
        assert_eq!(SlotSet::from(Vec::new()), SlotSet::new());
    }

    #[test]
    fn the_full_set_is_one_range() {
        assert_eq!(SlotSet::full().to_string(), "0-16383");
        assert_eq!(SlotSet::full().len(), SLOT_COUNT);
    }
}
