//! Ids that must not stay: of members that have left, and of former lives. Decided by the coordinator with a majority;
//! here only what would be wrong to forget is held back.

use redisnode_proto::layout::Layout;
use redisnode_proto::topology::{Health, View};

use super::Duty;

pub(super) fn forget(layout: &Layout, view: &View, out: &mut Vec<Duty>) {
    let my_primary = view.myself().and_then(|me| me.primary.as_ref());
    for id in layout.forget.iter().filter(|id| **id != view.me && Some(*id) != my_primary) {
        let Some(node) = view.node(id) else { continue };
        // A live owner of slots is never forgotten: the Layout would be stale, or wrong.
        let alive = node.connected && node.health == Health::Fine;
        if node.slots.is_empty() || !alive {
            out.push(Duty::Forget(id.clone()));
        }
    }
}
