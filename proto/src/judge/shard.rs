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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfigEpoch;
    use crate::slots::{SlotRange, SlotSet};
    use crate::topology::{Health, ViewNode};

    #[test]
    fn a_majority_is_more_than_half() {
        for (count, more) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (1000, 501)] {
            assert_eq!(majority(count), more, "{count}");
        }
    }

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    /// The id of `r-1` is all ones, and so on; others have none.
    fn id(name: &NodeName) -> Option<NodeId> {
        name.as_str().strip_prefix("r-").map(|digit| digit.repeat(40).parse().unwrap())
    }

    fn shard() -> LayoutShard {
        LayoutShard {
            name: "s-0".parse().unwrap(),
            slots: "0-99".parse::<SlotRange>().unwrap().into(),
            primary: name("r-1"),
            replicas: vec![name("r-2"), name("x-3")],
            handoff: None,
        }
    }

    fn view(owners: &[(&str, Role, u64, &str)]) -> View {
        let line = |(who, role, epoch, slots): &(&str, Role, u64, &str)| ViewNode {
            id: id(&name(who)).unwrap(),
            ip: String::new(),
            port: 1,
            bus_port: 2,
            role: *role,
            primary: None,
            health: Health::Fine,
            handshake: false,
            no_address: false,
            connected: true,
            epoch: ConfigEpoch(*epoch),
            slots: slots.parse::<SlotRange>().map_or_else(|_| SlotSet::new(), SlotSet::from),
        };
        let nodes = owners.iter().map(line).collect();
        View { me: id(&name("r-1")).unwrap(), nodes, open: Vec::new(), state_ok: true, current_epoch: ConfigEpoch(9) }
    }

    #[test]
    fn after_a_failover_the_promoted_replica_is_the_primary_whatever_the_layout_says() {
        let view = view(&[("r-1", Role::Replica, 5, "-"), ("r-2", Role::Primary, 5, "0-99")]);
        assert_eq!(shard_primary(&shard(), &view, id), Some(&name("r-2")));
    }

    #[test]
    fn of_two_owners_the_one_with_more_of_the_shards_slots_counts_then_the_higher_epoch() {
        let more = view(&[("r-1", Role::Primary, 1, "0-59"), ("r-2", Role::Primary, 9, "60-5000")]);
        assert_eq!(shard_primary(&shard(), &more, id), Some(&name("r-1")));
        let newer = view(&[("r-1", Role::Primary, 1, "200-300"), ("r-2", Role::Primary, 9, "5000-5001")]);
        assert_eq!(shard_primary(&shard(), &newer, id), Some(&name("r-2")));
    }

    #[test]
    fn strangers_and_primaries_without_slots_do_not_count() {
        let view = view(&[("r-1", Role::Primary, 8, "-"), ("r-7", Role::Primary, 9, "0-99")]);
        assert_eq!(shard_primary(&shard(), &view, id), None);
    }
}
