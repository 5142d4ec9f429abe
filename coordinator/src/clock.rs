//! The coordinator's clock: milliseconds since its start for decisions, the wall clock for people.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use redisnode_proto::Millis;

/// Counts from when it was made. Copies count from the same instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now. Never goes back.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// The wall clock, milliseconds since 1970-01-01 UTC. For people only: nothing is decided by it.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
