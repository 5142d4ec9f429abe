//! Instants and durations as plain numbers, so that the pure cores take time as an argument.

use serde::{Deserialize, Serialize};

/// Milliseconds: an instant (since an origin that the caller chose, monotonic within one process) or a duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The time from `earlier` to `self`; zero if `earlier` is later (clocks of two processes may differ).
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// `self` later by `duration`.
    pub fn after(self, duration: Self) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// Twice as long.
    pub fn double(self) -> Self {
        Self(self.0.saturating_mul(2))
    }

    /// Half as long.
    pub fn half(self) -> Self {
        Self(self.0 / 2)
    }
}
