//! What runs members: processes on this machine, or pods of Kubernetes.

pub mod local;

use std::future::Future;

use redisnode_planner::MachineMember;
use redisnode_proto::NodeName;
use redisnode_proto::event::Problem;

/// Runs members and removes them; has no opinion on which.
pub trait Machine: Send {
    /// Every member that exists: the source of truth for name, incarnation, address and presence.
    fn members(&self) -> Vec<MachineMember>;

    /// Makes the ordinals below `wanted` exist. What stands in the way is in [`Self::problems`] and tried again at the
    /// next call.
    fn ensure(&mut self, wanted: u32) -> impl Future<Output = ()> + Send;

    /// Begins to remove a member for good: its processes and its folder. Does nothing when it has begun already.
    fn remove(&mut self, name: &NodeName) -> impl Future<Output = ()> + Send;

    /// What is wrong now.
    fn problems(&self) -> Vec<Problem>;

    /// Comes back when [`Self::members`] or [`Self::problems`] may have changed. May be dropped at any time.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}
