//! What runs members: processes on this machine, or pods of Kubernetes.

pub mod local;
pub mod pods;

use std::future::Future;

use redisnode_planner::MachineMember;
use redisnode_proto::event::Problem;
use redisnode_proto::{Member, NodeName};

/// Runs members and removes them; has no opinion on which.
pub trait Machine: Send {
    /// Whether the process ends with one sentence when a first creation cannot succeed, because somebody waits for it.
    const GIVES_UP: bool;

    /// Every member that exists: the source of truth for name, incarnation, address and presence.
    fn members(&self) -> Vec<MachineMember>;

    /// Makes the ordinals below `wanted` exist. What stands in the way is in [`Self::problems`] and tried again at the
    /// next call.
    fn ensure(&mut self, wanted: u32) -> impl Future<Output = ()> + Send;

    /// Begins to remove a member for good: its processes and its folder. Does nothing when it has begun already, or when
    /// [`Self::ensure`] has begun it.
    fn remove(&mut self, name: &NodeName) -> impl Future<Output = ()> + Send;

    /// Runs a member that is [`MachineMember::outdated`] anew, as it is wanted now: it is stopped in order, and keeps its
    /// storage.
    fn renew(&mut self, member: &Member) -> impl Future<Output = ()> + Send;

    /// Why [`Self::members`] may not show yet what the newest wish means for them, a sentence; nothing once they do.
    fn lags(&self) -> Option<String> {
        None
    }

    /// What is wrong now.
    fn problems(&self) -> Vec<Problem>;

    /// Comes back when [`Self::members`] or [`Self::problems`] may have changed. May be dropped at any time.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}
