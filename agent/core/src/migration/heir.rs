//! Whose slot an open slot is after its source was deposed.

use redisnode_proto::topology::{Role, View};
use redisnode_proto::{NodeId, Slot};

/// Whether `source` is a primary that the slot would belong to in this view but for the mark of an open slot, under which
/// a server takes no other owner from the bus: nobody owns it, or another with a lower epoch.
pub fn is_heir(view: &View, source: &NodeId, slot: Slot) -> bool {
    let Some(heir) = view.node(source).filter(|node| node.role == Role::Primary && !node.handshake) else {
        return false;
    };
    view.owner(slot).is_none_or(|owner| owner.id != *source && owner.id != view.me && owner.epoch < heir.epoch)
}

#[cfg(test)]
mod tests {
    use redisnode_proto::ConfigEpoch;

    use super::*;
    use crate::testing::{id, layout, line, slots, view};

    #[test]
    fn an_open_slot_goes_to_a_primary_that_outranks_its_owner_and_to_nobody_else() {
        let slot: Slot = 0.try_into().unwrap();
        let with = |edit: fn(&mut View)| {
            let mut view = view(2, &layout(3, 1));
            (line(&mut view, 3).role, line(&mut view, 3).primary) = (Role::Primary, None);
            line(&mut view, 3).epoch = ConfigEpoch(9);
            edit(&mut view);
            is_heir(&view, &id(3), slot)
        };
        assert!(with(|_| ()), "node 0 was deposed, and still shown as the owner");
        assert!(with(|view| line(view, 0).slots = slots("")), "nobody owns it");
        assert!(!with(|view| line(view, 3).epoch = ConfigEpoch(0)), "it does not outrank the owner");
        assert!(!with(|view| line(view, 3).role = Role::Replica));
        assert!(!with(|view| line(view, 3).handshake = true));
        assert!(!with(|view| view.me = id(0)), "this server owns it itself");
        assert!(
            !with(|view| (line(view, 0).slots, line(view, 3).slots) = (slots(""), slots("0-99"))),
            "it has it already"
        );
    }
}
