//! Which primary the own server should follow, and how it gets there from whatever it is now.

use redisnode_proto::topology::{Health, Role, View, ViewNode};
use redisnode_proto::{ConfigEpoch, NodeId, NodeName};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn follow(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let (Some(shard), Some(me), Some(running)) = (s.my_shard(), view.myself(), s.running()) else { return };
    let primary = s.primary_of(shard);
    if *primary == s.me.name {
        become_primary(s, view, out);
        return;
    }
    let Some(id) = s.id_of(primary) else {
        ask(out, [primary.clone()]);
        return;
    };
    if me.role == Role::Replica && me.primary.as_ref() == Some(&id) {
        if !running.replication.link_up {
            // Perhaps that server has another id or address by now.
            ask(out, [primary.clone()]);
        }
        return;
    }
    // Slots are sent away first; until then this server is the primary of what it has.
    if me.role == Role::Primary && !me.slots.is_empty() {
        return;
    }
    // Keys that have arrived for an open slot are nowhere else: the move is finished or closed first.
    if me.role == Role::Primary && !view.open.is_empty() {
        superseded(s, view, out);
        return;
    }
    let Some(target) = view.node(&id).filter(|node| !node.handshake) else { return };
    if target.role != Role::Primary || target.health == Health::Failed || !calls_itself_primary(s, primary, &id) {
        // The own table may be behind by half a node time-out: two nodes could become replicas of each other.
        ask(out, [primary.clone()]);
        return;
    }
    if me.role == Role::Primary && !keeps_epochs_apart(s, me, primary) {
        ask(out, [primary.clone()]);
        return;
    }
    if me.role == Role::Primary && running.keys > 0 {
        strays(view, out);
        return;
    }
    if safe_to_leave(s, view, out) {
        out.push(Duty::Replicate(id));
    }
}

/// A replica keeps the epoch that it had as a primary. Were it the very one that its primary dies with, and nobody knew a
/// higher one, a takeover would not rise above it, and no other server would believe it (simulated). So the primary has
/// to be above it, or to know of it: what it takes later is above then.
fn keeps_epochs_apart(s: &Situation<'_>, me: &ViewNode, primary: &NodeName) -> bool {
    let running = s.fresh(primary).and_then(|report| report.server.running());
    let Some(theirs) = running.map(|running| &running.view) else { return false };
    let line = theirs.myself().map(|line| line.epoch).unwrap_or_default();
    me.epoch == ConfigEpoch(0) || line > me.epoch || (line != me.epoch && theirs.current_epoch >= me.epoch)
}

/// By its own word, given a moment ago.
fn calls_itself_primary(s: &Situation<'_>, name: &NodeName, id: &NodeId) -> bool {
    let running = s.fresh(name).and_then(|report| report.server.running());
    running.is_some_and(|running| running.view.me == *id && running.replication.role == Role::Primary)
}

/// Keys of open slots that a deposed target still has. Who was promoted from it has their copy, and what was written
/// there since: the move goes on with that one.
fn superseded(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    if s.running().is_none_or(|running| running.keys == 0) {
        return;
    }
    let others = s.others();
    let heir = |name: &&NodeName| {
        s.fresh(name).is_some_and(|report| super::send::was_promoted_from(report.ledger.identity.as_ref(), &view.me))
    };
    if let Some(heir) = others.iter().find(heir) {
        let reason = format!("{heir} was promoted in this server's place and has its keys; they are moved aside here");
        out.push(Duty::SetAside { reason });
    } else {
        ask(out, others.into_iter().filter(|name| s.fresh(name).is_none()));
    }
}

/// Keys without slots. If every slot has an owner elsewhere they are of no use, but they are kept aside all the same.
fn strays(view: &View, out: &mut Vec<Duty>) {
    if view.covered().len() == redisnode_proto::slots::SLOT_COUNT {
        let reason = "this server holds keys of slots that others own; they are moved aside";
        out.push(Duty::SetAside { reason: reason.to_owned() });
    }
}

/// The Layout wants an empty primary here, for a shard that has no slots yet.
fn become_primary(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let Some(me) = view.myself().filter(|me| me.role == Role::Replica) else {
        distinguish_epoch(s, view, out);
        return;
    };
    let named = s.my_shard().is_some_and(|shard| shard.primary == s.me.name);
    // Whose shard it is must be known: the primary of an unknown name may be a former life of this very shard.
    let followed = me.primary.as_ref().and_then(|id| s.name_of(id));
    let other_shard = followed.is_some_and(|p| s.my_shard().is_some_and(|shard| !shard.has(&p)));
    // A primary without slots, or one that is gone for good, has nothing that a replica of it without keys could lose.
    let empty = |id: &NodeId| view.node(id).is_some_and(|primary| primary.slots.is_empty());
    let of_nothing = me.primary.as_ref().is_some_and(|id| empty(id) || is_to_be_forgotten(s, id))
        && s.running().is_some_and(|running| running.keys == 0);
    if named && (other_shard || of_nothing) && safe_to_leave(s, view, out) {
        out.push(Duty::Reset);
    }
}

/// A fresh primary takes an epoch of its own before slots come to it. Left to the servers' own settling of equal epochs,
/// an old primary could end above the one that takes its slots, and win them back (simulated).
fn distinguish_epoch(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let Some(me) = view.myself().filter(|me| me.slots.is_empty() && !me.handshake) else { return };
    let known = s.layout().is_some_and(|layout| super::claim::knows_everybody(layout, view));
    if known && view.nodes.len() > 1 && !has_own_epoch(view, me) {
        out.push(Duty::BumpEpoch);
    }
}

/// Whether no other primary has the epoch of `node`.
pub(super) fn has_own_epoch(view: &View, node: &ViewNode) -> bool {
    let others = view.nodes.iter().filter(|other| other.id != node.id && !other.handshake);
    node.epoch != ConfigEpoch(0) && !others.filter(|o| o.role == Role::Primary).any(|other| other.epoch == node.epoch)
}

/// A replica may leave its primary only while that one surely serves: otherwise its copy may be the only one. The own
/// table shows a dead one as fine for a while, so its agent is asked. Who has no copy may leave.
fn safe_to_leave(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) -> bool {
    let has_copy = s.running().is_some_and(|running| running.keys > 0 || running.synced_since_start);
    let me = view.myself().filter(|me| has_copy && me.role == Role::Replica);
    let Some(id) = me.and_then(|me| me.primary.as_ref()) else { return true };
    if view.node(id).is_some_and(|primary| primary.slots.is_empty()) || is_to_be_forgotten(s, id) {
        return true;
    }
    let Some(name) = s.name_of(id) else { return false };
    if s.fresh(&name).is_none() {
        ask(out, [name.clone()]);
    }
    let seen = view.node(id).is_some_and(|primary| primary.connected && primary.health == Health::Fine);
    seen && calls_itself_primary(s, &name, id)
}

/// It has left, or is dead by a majority's word: what it owned has gone to others, or is lost and nobody has a copy. The own
/// table may show it with slots for ever, since nobody can forget its own primary.
fn is_to_be_forgotten(s: &Situation<'_>, id: &NodeId) -> bool {
    s.layout().is_some_and(|layout| layout.forget.contains(id))
}

/// A leaving member gives up when it owns nothing and its primary is well. Who still copies it has nothing to lose.
pub(super) fn leave(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let Some(me) = view.myself() else { return };
    // Marks that a replica shows are its primary's, or left-overs of it.
    let open = (me.role == Role::Primary && !view.open.is_empty()) || !s.jobs.is_empty();
    let has_keys = me.role == Role::Primary && s.running().is_some_and(|r| r.keys > 0);
    if me.slots.is_empty() && has_keys {
        if open { superseded(s, view, out) } else { strays(view, out) }
    }
    if me.slots.is_empty() && !open && !has_keys && safe_to_leave(s, view, out) {
        out.push(Duty::Retire);
    }
}
