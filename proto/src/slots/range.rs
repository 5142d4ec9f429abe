//! An inclusive range of slots, written `5` or `5-9` as the servers write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{SLOT_COUNT, Slot};

/// A text that is no slot or range of slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no slot or range of slots: slots are 0 to {max}", max = SLOT_COUNT - 1)]
pub struct BadSlots(pub String);

/// An inclusive range of slots; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotRange {
    start: Slot,
    end: Slot,
}

impl SlotRange {
    /// The range from `start` to `end`, both in it; `None` if `end` is before `start`.
    pub fn new(start: Slot, end: Slot) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// Every slot of the cluster.
    pub fn full() -> Self {
        Self { start: Slot::FIRST, end: Slot::LAST }
    }

    /// The first slot.
    pub fn start(self) -> Slot {
        self.start
    }

    /// The last slot, which belongs to the range.
    pub fn end(self) -> Slot {
        self.end
    }

    /// How many slots it has, at least one.
    pub fn count(self) -> u16 {
        self.end.0 - self.start.0 + 1
    }

    /// The slots, in order.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        (self.start.0..=self.end.0).map(Slot)
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end { write!(f, "{}", self.start) } else { write!(f, "{}-{}", self.start, self.end) }
    }
}

impl FromStr for SlotRange {
    type Err = BadSlots;

    fn from_str(text: &str) -> Result<Self, BadSlots> {
        let bad = || BadSlots(text.to_owned());
        let (start, end) = text.split_once('-').unwrap_or((text, text));
        let slot = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten().and_then(|n| Slot::try_from(n).ok()).ok_or_else(bad)
        };
        Self::new(slot(start)?, slot(end)?).ok_or_else(bad)
    }
}

impl From<Slot> for SlotRange {
    fn from(slot: Slot) -> Self {
        Self { start: slot, end: slot }
    }
}

impl TryFrom<String> for SlotRange {
    type Error = BadSlots;

    fn try_from(text: String) -> Result<Self, BadSlots> {
        text.parse()
    }
}

impl From<SlotRange> for String {
    fn from(range: SlotRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["0", "16383", "0-16383", "5-9"] {
            assert_eq!(text.parse::<SlotRange>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_outside_or_backwards() {
        for text in ["", "-", "16384", "9-5", "0-16384", "a", "1-2-3", " 1", "+1", "-1"] {
            assert!(text.parse::<SlotRange>().is_err(), "{text:?}");
        }
    }
}
