//! What goes into the ledger from what was seen, so that the next life of the agent or of the server can decide.

use redisnode_proto::ledger::{Identity, Ledger};
use redisnode_proto::report::Running;
use redisnode_proto::topology::{Direction, Role, ViewNode};
use redisnode_proto::{NodeId, judge};

/// The ledger after looking at the running server; equal to `ledger` when there is nothing new.
pub fn remember(ledger: &Ledger, running: &Running) -> Ledger {
    let mut next = ledger.clone();
    let replication = &running.replication;
    if let Some(me) = running.view.myself() {
        // What was in sync with one primary says nothing of the next: until that sync the data is another's. But after a
        // takeover within the shard it is the shard's, and perhaps the best there is should the new one die too.
        let same = |before: &Identity| before.primary == me.primary || stayed(ledger, before, me.primary.as_ref());
        let before = ledger.identity.as_ref().filter(|before| before.id == me.id && same(before));
        let in_sync = judge::is_linked(running)
            || (replication.role == Role::Replica && !replication.syncing && before.is_some_and(|i| i.in_sync));
        if replication.role == Role::Replica && before.is_none() {
            next.synced_run = None;
        }
        let primary = (replication.role == Role::Primary).then_some(replication);
        next.identity = Some(Identity {
            id: me.id.clone(),
            role: replication.role,
            primary: me.primary.clone(),
            in_sync,
            had_keys: running.keys > 0,
            promoted_from: promoted_from(ledger, replication.role, me),
            history: primary.map(|own| own.replication_id.clone()),
            former_history: primary.and_then(|own| own.replication_id2.clone()),
            shared_until: primary.and_then(|own| own.shared_until),
        });
        settle_promise(&mut next, running);
        settle_start(&mut next, running);
    }
    if judge::is_linked(running) {
        next.synced_run = Some(running.run_id.clone());
    } else if replication.syncing && next.synced_run.as_deref() == Some(running.run_id.as_str()) {
        // A full sync replaces what the server had: until it is over it has nothing to offer.
        next.synced_run = None;
    }
    let healed = running.keys > 0 || judge::is_linked(running);
    if healed {
        next.data_lost = None;
    }
    next
}

/// Whether the primary of before and the one of now are of one shard, by the Layout.
fn stayed(ledger: &Ledger, before: &Identity, now: Option<&NodeId>) -> bool {
    let shard = |id: Option<&NodeId>| {
        let layout = ledger.layout.as_ref()?;
        layout.shard_of(layout.name_of(id?)?).map(|shard| &shard.name)
    };
    let former = shard(before.primary.as_ref());
    former.is_some() && former == shard(now)
}

/// Whom the server followed when it was promoted. A life of the agent that missed it has the ledger's word.
fn promoted_from(ledger: &Ledger, role: Role, me: &ViewNode) -> Option<NodeId> {
    let before = ledger.identity.as_ref().filter(|before| before.id == me.id)?;
    if role == Role::Primary && before.role == Role::Replica {
        return before.primary.clone();
    }
    before.promoted_from.clone().filter(|from| me.primary.as_ref() != Some(from))
}

/// A promise ends when it is known who owns the slots: the server follows that one; or it serves them itself, after it
/// was released; or it lives under another id, and the old one owns nothing any more.
fn settle_promise(ledger: &mut Ledger, running: &Running) {
    let Some(promise) = &ledger.promise else { return };
    let view = &running.view;
    let follows = running.replication.role == Role::Replica;
    let serves = view.me == promise.dead && !running.writes_paused;
    let has_met_others = view.nodes.iter().any(|node| node.id != view.me && !node.handshake);
    let owned = view.node(&promise.dead).is_some_and(|dead| !dead.slots.is_empty());
    let replaced = view.me != promise.dead && has_met_others && !owned;
    if follows || serves || replaced {
        ledger.promise = None;
    }
}

/// What the server has marked by itself at its start is closed, or there was nothing: what is marked later is a move.
fn settle_start(ledger: &mut Ledger, running: &Running) {
    let Some(before) = &ledger.open_at_start else { return };
    let mut made = running.view.open.iter().filter(|open| open.direction == Direction::Importing);
    let left = made.any(|open| !before.contains(open.slot));
    if running.replication.role == Role::Replica || !left {
        ledger.open_at_start = None;
    }
}

#[cfg(test)]
mod tests {
    use redisnode_proto::ConfigEpoch;
    use redisnode_proto::ledger::Promise;

    use super::*;
    use crate::testing::{fail_over, id, layout, ledger, line, mark, name, next_id, running, slots, view};

    /// The ledger and the server of `c-<node>` in a healthy cluster of two shards with a replica each.
    fn look(node: usize) -> (Ledger, Running) {
        let layout = layout(2, 1);
        let server = running(view(node, &layout));
        (remember(&ledger(node, &layout), &server), server)
    }

    fn in_sync(ledger: &Ledger) -> bool {
        ledger.identity.as_ref().unwrap().in_sync
    }

    #[test]
    fn a_second_look_at_the_same_changes_nothing() {
        for node in 0..4 {
            let (ledger, server) = look(node);
            assert_eq!(remember(&ledger, &server), ledger);
        }
    }

    #[test]
    fn a_replica_that_lost_its_primary_stays_known_as_in_sync() {
        let (ledger, mut server) = look(2);
        assert!(in_sync(&ledger) && ledger.synced_run.is_some());
        server.replication.link_up = false;
        let after = remember(&ledger, &server);
        assert!(in_sync(&after) && after.synced_run == ledger.synced_run);
    }

    #[test]
    fn the_history_of_a_primary_is_known_after_its_death() {
        let history = |node| look(node).0.identity.unwrap().history;
        assert_eq!((history(0).as_deref(), history(2)), (Some("history"), None));
        let (ledger, mut promoted) = look(0);
        promoted.replication.replication_id2 = Some("before".into());
        assert_eq!(remember(&ledger, &promoted).identity.unwrap().former_history.as_deref(), Some("before"));
    }

    #[test]
    fn a_full_sync_takes_away_what_the_replica_had() {
        let (ledger, mut server) = look(2);
        (server.replication.link_up, server.replication.syncing) = (false, true);
        let after = remember(&ledger, &server);
        assert!(!in_sync(&after) && after.synced_run.is_none());
    }

    #[test]
    fn a_replica_of_a_new_primary_holds_nothing_of_it_before_the_sync() {
        let (ledger, mut server) = look(2);
        line(&mut server.view, 2).primary = Some(id(1));
        server.replication.link_up = false;
        let after = remember(&ledger, &server);
        assert!(!in_sync(&after), "it would stand for election with another shard's data");
        assert_eq!(after.synced_run, None, "it would be promoted over the primary's own data");
        server.replication.link_up = true;
        let after = remember(&after, &server);
        assert!(in_sync(&after) && after.synced_run.is_some());
    }

    #[test]
    fn a_sibling_of_the_promoted_one_holds_the_shards_data_before_it_is_linked_again() {
        let layout = layout(2, 2);
        let mut server = running(view(2, &layout));
        let ledger = remember(&ledger(2, &layout), &server);
        fail_over(&mut server.view, 0, 3);
        line(&mut server.view, 2).primary = Some(id(3));
        server.replication.link_up = false;
        let after = remember(&ledger, &server);
        assert!(in_sync(&after) && after.synced_run.is_some(), "an old dump of the new primary would win over it");
        server.replication.syncing = true;
        assert_eq!(remember(&after, &server).synced_run, None);
    }

    #[test]
    fn an_emptied_primary_that_becomes_a_replica_has_nothing_before_the_sync() {
        let (ledger, mut server) = look(2);
        fail_over(&mut server.view, 0, 2);
        (server.replication.role, server.replication.link_up) = (Role::Primary, false);
        let promoted = remember(&ledger, &server);
        assert_eq!(promoted.synced_run, ledger.synced_run, "a promoted replica still has its data");
        let me = line(&mut server.view, 2);
        (me.role, me.primary) = (Role::Replica, Some(id(1)));
        server.replication.role = Role::Replica;
        assert_eq!(remember(&promoted, &server).synced_run, None);
    }

    #[test]
    fn a_new_id_in_the_same_run_has_nothing() {
        let (ledger, mut server) = look(2);
        line(&mut server.view, 2).id = next_id(2);
        server.view.me = next_id(2);
        server.replication.link_up = false;
        let after = remember(&ledger, &server);
        assert!(!in_sync(&after) && after.synced_run.is_none());
    }

    #[test]
    fn a_loss_is_said_until_keys_or_a_sync_are_there() {
        let (mut ledger, mut server) = look(0);
        (ledger.data_lost, server.keys) = (Some("lost".into()), 0);
        assert!(remember(&ledger, &server).data_lost.is_some());
        server.keys = 1;
        assert!(remember(&ledger, &server).data_lost.is_none());
    }

    #[test]
    fn whom_a_server_was_promoted_from_is_known_until_it_follows_that_one_again() {
        let from = |ledger: &Ledger| ledger.identity.as_ref().unwrap().promoted_from.clone();
        let (ledger, mut server) = look(2);
        fail_over(&mut server.view, 0, 2);
        server.replication.role = Role::Primary;
        let promoted = remember(&ledger, &server);
        assert_eq!(from(&promoted), Some(id(0)));
        assert_eq!(from(&remember(&promoted, &server)), Some(id(0)));
        let (mut later, again) = (promoted.clone(), running(view(2, ledger.layout.as_ref().unwrap())));
        later.identity.as_mut().unwrap().id = id(9);
        assert_eq!(from(&remember(&later, &server)), None, "another server was");
        assert_eq!(from(&remember(&promoted, &again)), None);
    }

    #[test]
    fn what_was_open_at_the_start_is_remembered_until_the_servers_own_marks_are_closed() {
        let (mut ledger, mut server) = look(0);
        ledger.open_at_start = Some(slots("9000"));
        server.view.open = vec![mark(9000, Direction::Importing, 1), mark(9001, Direction::Importing, 1)];
        assert_eq!(remember(&ledger, &server).open_at_start, Some(slots("9000")), "9001 would pass for a move");
        server.view.open.pop();
        assert_eq!(remember(&ledger, &server).open_at_start, None);
    }

    fn promised(node: usize, dead: redisnode_proto::NodeId) -> (Ledger, Running) {
        let (mut ledger, server) = look(node);
        ledger.promise = Some(Promise { dead, epoch: ConfigEpoch(1), chosen: name(2), chosen_id: id(2) });
        (ledger, server)
    }

    #[test]
    fn a_promise_holds_until_the_server_follows_or_surely_serves_again() {
        let (ledger, mut server) = promised(0, id(0));
        server.writes_paused = true;
        assert!(remember(&ledger, &server).promise.is_some());
        server.writes_paused = false;
        assert!(remember(&ledger, &server).promise.is_none(), "it would bind a later death to an old choice");
        let (ledger, server) = promised(2, id(2));
        assert!(remember(&ledger, &server).promise.is_none());
    }

    #[test]
    fn the_promise_about_a_former_life_holds_while_that_life_owns_slots() {
        let (ledger, mut server) = promised(0, id(0));
        server.view.me = next_id(0);
        let mut new = line(&mut server.view, 0).clone();
        (new.id, new.slots) = (next_id(0), redisnode_proto::SlotSet::new());
        server.view.nodes.push(new);
        assert!(remember(&ledger, &server).promise.is_some(), "another heir would be told beside the first one");
        fail_over(&mut server.view, 0, 2);
        assert!(remember(&ledger, &server).promise.is_none());
        server.view.nodes.retain(|node| node.id == next_id(0));
        assert!(remember(&ledger, &server).promise.is_some(), "who knows nobody has seen nothing");
    }
}
