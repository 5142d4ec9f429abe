//! Which replica is in sync, and which is the best to promote.

use crate::report::Running;
use crate::topology::Role;
use crate::{NodeId, NodeName, Offset, SlotSet};

/// Whether a running server is a replica with its shard's data: linked, and no full sync under way. The last that was
/// written may still be on its way: enough to take over when nobody has more, not enough to be counted on.
pub fn is_linked(running: &Running) -> bool {
    let replication = &running.replication;
    replication.role == Role::Replica && replication.link_up && !replication.syncing
}

/// Whether it follows `primary` and is linked to it.
pub fn is_linked_to(running: &Running, primary: &NodeId) -> bool {
    let follows = running.view.myself().is_some_and(|me| me.primary.as_ref() == Some(primary));
    follows && is_linked(running)
}

/// Whether its primary may be lost without a loss of what was written up to a moment ago: linked, and what was written
/// while it synced is there, too. (A primary that was killed some milliseconds after its new replica's link had come up took
/// 0.7 s of acknowledged writes along, measured on Valkey 8.1.)
pub fn is_in_sync(running: &Running) -> bool {
    is_linked(running) && !running.replication.catching_up
}

/// Whether its table gives `primary` the same slots as `owned`. A server that is promoted claims what its table gives to the
/// primary that it followed; one that has just met the others gets no vote, and ordered without votes it claims nothing (seen
/// on Redis 7.0: writes stood still for 4 s until it was a replica again).
pub fn knows_slots_of(running: &Running, primary: &NodeId, owned: &SlotSet) -> bool {
    running.view.node(primary).is_some_and(|line| line.slots == *owned)
}

/// A replica that might be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: NodeName,
    /// Its position in the primary's stream.
    pub offset: Offset,
    /// It has the shard's data by a sync in its server's present life.
    pub synced: bool,
}

/// The best of `candidates`: those that synced before those that only hold old data, then the greatest offset, then
/// the smallest name, so that every observer picks the same.
pub fn best_replica(candidates: impl IntoIterator<Item = Candidate>) -> Option<Candidate> {
    candidates
        .into_iter()
        .max_by(|a, b| (a.synced, a.offset).cmp(&(b.synced, b.offset)).then_with(|| b.name.cmp(&a.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SlotRange;
    use crate::report::Replication;
    use crate::topology::{Health, Product, ServerVersion, View, ViewNode};
    use crate::{ConfigEpoch, NodeId};

    fn id(digit: &str) -> NodeId {
        digit.repeat(40).parse().unwrap()
    }

    /// Linked, and in sync.
    fn judged(role: Role, link_up: bool, syncing: bool, catching_up: bool) -> (bool, bool) {
        let mut running = replica(role, link_up, syncing);
        running.replication.catching_up = catching_up;
        (is_linked(&running), is_in_sync(&running))
    }

    fn replica(role: Role, link_up: bool, syncing: bool) -> Running {
        let me = id("a");
        let view =
            View { me, nodes: Vec::new(), open: Vec::new(), state_ok: true, current_epoch: ConfigEpoch::default() };
        let replication = Replication {
            role,
            offset: Offset(5),
            replication_id: String::new(),
            replication_id2: None,
            shared_until: None,
            link_up,
            syncing,
            catching_up: false,
            silent_for_s: None,
            replicas: Vec::new(),
        };
        Running {
            version: ServerVersion { product: Product::Redis, major: 7, minor: 0, patch: 0 },
            run_id: String::new(),
            view,
            replication,
            keys: 0,
            strays: crate::SlotSet::new(),
            used_memory: 0,
            max_memory: 0,
            data_memory: None,
            backlog_growth: None,
            started_empty: false,
            synced_since_start: true,
            writes_paused: false,
            weighed: None,
            primed: false,
        }
    }

    fn line(id: NodeId, role: Role, primary: Option<NodeId>) -> ViewNode {
        ViewNode {
            id,
            ip: "127.0.0.1".to_owned(),
            port: 1,
            bus_port: 2,
            role,
            primary,
            epoch: ConfigEpoch(1),
            health: Health::Fine,
            handshake: false,
            no_address: false,
            connected: true,
            slots: SlotSet::new(),
        }
    }

    #[test]
    fn a_replica_that_has_just_joined_does_not_know_what_it_would_take_over() {
        let (mut new, range) = (replica(Role::Replica, true, false), "0-99".parse::<SlotRange>().unwrap());
        let owned = SlotSet::from(range);
        new.view.nodes = vec![line(id("a"), Role::Replica, Some(id("b"))), line(id("b"), Role::Primary, None)];
        assert!(is_linked_to(&new, &id("b")) && !is_linked_to(&new, &id("c")));
        assert!(!knows_slots_of(&new, &id("b"), &owned) && !knows_slots_of(&new, &id("c"), &owned));
        new.view.nodes[1].slots = owned.clone();
        assert!(knows_slots_of(&new, &id("b"), &owned));
    }

    #[test]
    fn only_a_linked_replica_outside_a_full_sync_that_has_caught_up_is_in_sync() {
        assert_eq!(judged(Role::Replica, true, false, false), (true, true));
        assert_eq!(judged(Role::Replica, true, false, true), (true, false));
        assert_eq!(judged(Role::Replica, false, false, false), (false, false));
        assert_eq!(judged(Role::Replica, true, true, false), (false, false));
        assert_eq!(judged(Role::Primary, true, false, false), (false, false));
    }

    fn candidate(name: &str, offset: u64, synced: bool) -> Candidate {
        Candidate { name: name.parse().unwrap(), offset: Offset(offset), synced }
    }

    fn best(candidates: &[Candidate]) -> Option<String> {
        let forwards = best_replica(candidates.to_vec());
        assert_eq!(forwards, best_replica(candidates.iter().rev().cloned()), "the order must not matter");
        forwards.map(|candidate| candidate.name.to_string())
    }

    #[test]
    fn old_data_never_beats_a_sync_of_this_life() {
        let candidates = [candidate("r-1", 900, false), candidate("r-2", 100, true)];
        assert_eq!(best(&candidates).as_deref(), Some("r-2"));
    }

    #[test]
    fn the_greatest_offset_wins_and_the_smallest_name_at_equal_offsets() {
        let candidates = [candidate("r-1", 100, true), candidate("r-2", 200, true), candidate("r-3", 200, true)];
        assert_eq!(best(&candidates).as_deref(), Some("r-2"));
    }

    #[test]
    fn without_candidates_there_is_no_best() {
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[candidate("r-9", 0, false)]).as_deref(), Some("r-9"));
    }
}
