//! Who a shard's primary is now, and what a majority is.

use crate::topology::{Role, View};
use crate::{Layout, LayoutShard, NodeId, NodeName};

/// More than half of `count`.
///
/// The servers count every primary with slots, dead ones too (Redis Cluster specification, failover).
pub fn majority(count: usize) -> usize {
    count / 2 + 1
}

/// Who is the primary of `shard` in `view`: of its nodes, the primary with slots; of several the one with most of the
/// shard's slots, then the highest epoch. `None` when none of its nodes owns a slot in this view: then the Layout's
/// word counts.
///
/// `id_of` gives the ids that are known to belong to names; the Layout's own hints are the least of it.
pub fn shard_primary<'a>(
    shard: &'a LayoutShard,
    view: &View,
    id_of: impl Fn(&NodeName) -> Option<NodeId>,
) -> Option<&'a NodeName> {
    let owners = shard.nodes().filter_map(|name| {
        let node = view.node(&id_of(name)?)?;
        let owns = node.role == Role::Primary && !node.slots.is_empty();
        owns.then(|| ((node.slots.intersection(&shard.slots).len(), node.epoch), name))
    });
    owners.max_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

/// [`shard_primary`] with the Layout's hints, and the Layout's own word when nobody owns a slot.
pub fn shard_primary_or_wished<'a>(layout: &'a Layout, shard: &'a LayoutShard, view: &View) -> &'a NodeName {
    let hint = |name: &NodeName| layout.member(name).and_then(|m| m.node_id.clone());
    shard_primary(shard, view, hint).unwrap_or(&shard.primary)
}
