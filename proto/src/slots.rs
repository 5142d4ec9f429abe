//! Hash slots: a slot, a range of them, and a set. A slot cannot hold 16384 or more.

mod range;
mod set;

pub use range::{BadSlots, SlotRange};
pub use set::SlotSet;

use serde::{Deserialize, Serialize};

/// How many slots a cluster has (Redis Cluster specification).
pub const SLOT_COUNT: u16 = 16384;

/// A hash slot, 0 to 16383.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Slot(u16);

impl Slot {
    /// The first slot.
    pub const FIRST: Self = Self(0);
    /// The last slot.
    pub const LAST: Self = Self(SLOT_COUNT - 1);

    /// The slot's number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Every slot, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOT_COUNT).map(Self)
    }
}

impl TryFrom<u16> for Slot {
    type Error = BadSlots;

    fn try_from(number: u16) -> Result<Self, BadSlots> {
        if number < SLOT_COUNT { Ok(Self(number)) } else { Err(BadSlots(number.to_string())) }
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
