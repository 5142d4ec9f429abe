//! Which primary the own server should follow, and how it gets there from whatever it is now.

use redisnode_proto::topology::{Health, Role, View};

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
        return;
    }
    // Slots are sent away first; until then this server is the primary of what it has.
    if me.role == Role::Primary && !me.slots.is_empty() {
        return;
    }
    // Keys that have arrived for an open slot are nowhere else: the move is finished or closed first.
    if me.role == Role::Primary && !view.open.is_empty() {
        return;
    }
    let Some(target) = view.node(&id).filter(|node| !node.handshake) else { return };
    if target.role != Role::Primary || target.health == Health::Failed {
        ask(out, [primary.clone()]);
        return;
    }
    if me.role == Role::Primary && running.keys > 0 {
        strays(view, out);
        return;
    }
    if safe_to_leave(view) {
        out.push(Duty::Replicate(id));
    }
}

/// Keys without slots. If every slot has an owner elsewhere they are of no use, but they are kept aside all the same.
fn strays(view: &View, out: &mut Vec<Duty>) {
    if view.covered().len() == redisnode_proto::slots::SLOT_COUNT {
        let reason =
            "this server holds keys of slots that others own; they are moved aside before it becomes a replica";
        out.push(Duty::SetAside { reason: reason.to_owned() });
    }
}

/// The Layout wants an empty primary here, for a shard that has no slots yet.
fn become_primary(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let Some(me) = view.myself().filter(|me| me.role == Role::Replica) else { return };
    let named = s.my_shard().is_some_and(|shard| shard.primary == s.me.name);
    let other_shard = me
        .primary
        .as_ref()
        .and_then(|id| s.name_of(id))
        .is_none_or(|p| s.my_shard().is_some_and(|shard| !shard.has(&p)));
    if named && other_shard && safe_to_leave(view) {
        out.push(Duty::Reset);
    }
}

/// A replica may leave its primary only while that one is well: otherwise its copy may be the only one.
fn safe_to_leave(view: &View) -> bool {
    let Some(me) = view.myself().filter(|me| me.role == Role::Replica) else { return true };
    let primary = me.primary.as_ref().and_then(|id| view.node(id));
    primary.is_none_or(|p| p.slots.is_empty() || (p.connected && p.health == Health::Fine))
}

/// A leaving member gives up when it owns nothing, its primary is well, and nobody copies it.
pub(super) fn leave(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let Some(me) = view.myself() else { return };
    // Marks that a replica shows are its primary's, or left-overs of it.
    let open = (me.role == Role::Primary && !view.open.is_empty()) || !s.jobs.is_empty();
    let copied = view.nodes.iter().any(|node| node.primary.as_ref() == Some(&view.me) && node.health != Health::Failed);
    let has_keys = me.role == Role::Primary && s.running().is_some_and(|r| r.keys > 0);
    if me.slots.is_empty() && !open && !copied && !has_keys && safe_to_leave(view) {
        out.push(Duty::Retire);
    }
}
