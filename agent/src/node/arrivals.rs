//! Connections to the own server for what other agents ask of it, kept between the calls of a move: each group of slots is a
//! call of its own, and where `SETSLOT` waits for the replicas it wants many connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redisnode_proto::Millis;

use super::shared::Shared;
use crate::resp::Lanes;

const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Valkey answers SETSLOT only when the replicas have it, at most after 2 s.
const SET_WITHIN: Duration = Duration::from_secs(4);
/// What nobody has used for so long is closed.
const KEPT_FOR: Millis = Millis(5000);

/// What is not in use just now, and since when. Calls of several sources take one each.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<Vec<(Lanes, Millis)>>);

impl Arrivals {
    /// Connections for one call.
    pub(super) fn take(&self, shared: &Shared) -> Lanes {
        let kept = self.idle().pop();
        let fresh = || Lanes::new(shared.address.server(), shared.access(), CONNECT_WITHIN, SET_WITHIN);
        kept.map_or_else(fresh, |(lanes, _)| lanes)
    }

    /// For the next call.
    pub(super) fn put_back(&self, lanes: Lanes, now: Millis) {
        self.idle().push((lanes, now));
    }

    /// Closes what is not needed any more.
    pub(super) fn forget_old(&self, now: Millis) {
        self.idle().retain(|(_, since)| now.since(*since) < KEPT_FOR);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Lanes, Millis)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
