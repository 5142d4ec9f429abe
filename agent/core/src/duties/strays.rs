//! Keys that a primary holds of slots that others own.
//!
//! A replica may be promoted with such keys: its primary had sent them away and died before this server heard of it, or
//! this server came back from an old dump. Clients never see them, but a move that brings the slot here would stop at
//! them, or revive what was deleted since. Servers look for them at a start at most, never at a promotion.
//!
//! Keys that arrived for a move whose mark died with this server's primary look the same, and are nowhere else. So what
//! goes is only what the owner has too, and only while the owner keeps the slot.

use redisnode_proto::SlotSet;
use redisnode_proto::report::Report;
use redisnode_proto::topology::{Role, View, ViewNode};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn strays(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let (Some(running), Some(me)) = (s.running(), view.myself()) else { return };
    let strays = running.strays.difference(&me.slots).difference(&view.open.iter().map(|open| open.slot).collect());
    let wanted = s.my_shard().is_some_and(|shard| *s.primary_of(shard) == s.me.name);
    // Who has no slots and is to have none has all its data moved aside.
    if strays.is_empty() || me.role != Role::Primary || running.writes_paused || (me.slots.is_empty() && !wanted) {
        return;
    }
    for owner in view.nodes.iter().filter(|node| node.id != view.me && node.role == Role::Primary) {
        let slots = strays.intersection(&owner.slots);
        let Some(name) = s.name_of(&owner.id).filter(|_| !slots.is_empty()) else { continue };
        let Some(report) = s.fresh(&name) else {
            ask(out, [name]);
            continue;
        };
        let slots = slots.intersection(&kept(report, owner));
        if !slots.is_empty() {
            out.push(Duty::DropDoubles { slots, owner: name });
        }
    }
}

/// The slots that this owner surely has, and that are on their way nowhere: not by its marks, not by its jobs, and not by
/// what it was told when it was a replica and may not have opened again yet.
fn kept(report: &Report, owner: &ViewNode) -> SlotSet {
    let Some(running) = report.server.running().filter(|running| running.view.me == owner.id) else {
        return SlotSet::new();
    };
    let Some(me) = running.view.myself().filter(|me| me.role == Role::Primary && !running.writes_paused) else {
        return SlotSet::new();
    };
    let told = report.ledger.open_slots.iter().flat_map(|open| &open.slots).map(|(slot, _)| *slot);
    let moving: SlotSet = running.view.open.iter().map(|open| open.slot).chain(told).collect();
    let jobs = report.jobs.iter().fold(moving, |moving, job| moving.union(&job.remaining));
    me.slots.difference(&jobs)
}
