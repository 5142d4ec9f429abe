//! A documented loss that no rule of ours can keep: a primary that was stopped or cut off comes back, and of two primaries
//! with one epoch it is the one that takes a new one. It may hear the other one before it hears who was elected in its place
//! meanwhile; then its old claims have the greatest epoch of all, and its successor gives the slots back, with all it has
//! taken (seen on Redis 8.6 and on Valkey 9.1). The servers settle it within one message, before any agent can look.

use redisnode_proto::Slot;

use super::clock::Time;
use super::data::{Data, Key, Value};
use super::ids::Id;
use super::world::World;

/// A server whose old claims have won again.
pub(crate) struct Revived {
    id: Id,
    at: Time,
}

impl World {
    /// A server took a new epoch because another one had its `old` one: what newer owners of its slots have may be lost.
    pub(crate) fn collided(&mut self, node: usize, old: u64) {
        let server = self.nodes[node].server.as_ref().filter(|_| self.is_apart(node) && !self.started_apart(node));
        let Some(server) = server else { return };
        let (id, slots) = (server.id, server.me().slots.clone());
        let newer = self.nodes.iter().filter_map(|node| node.server.as_ref());
        let newer = newer.filter(|other| other.id != id && other.is_primary() && other.me().epoch > old);
        let contested = |owner: &super::server::Server, slot: Slot| owner.owns(slot) && slots.contains(slot);
        let taken: Data = newer
            .flat_map(|owner| owner.data.iter().filter(|(key, _)| contested(owner, key.slot)))
            .map(|(key, value): (&Key, &Value)| (*key, value.clone()))
            .collect();
        self.excuse_difference(&taken, node);
        self.oracle.revived.push(Revived { id, at: self.now });
    }

    /// Whether a server's slot is claimed again by a revived one, of which it has not heard yet.
    pub(crate) fn is_overruled(&self, node: usize, slot: Slot) -> bool {
        let Some(epoch) = self.nodes[node].server.as_ref().map(|server| server.me().epoch) else { return false };
        let lately = self.oracle.revived.iter().filter(|revived| self.now < revived.at + 2 * self.node_timeout);
        let servers = lately.filter_map(|revived| self.nodes[self.node_of(revived.id)?].server.as_ref());
        servers.into_iter().any(|server| server.owns(slot) && server.me().epoch > epoch)
    }
}
