//! Slots that nobody owns are claimed by the primary of the shard that should have them.
//!
//! A re-created empty node that claims at once would acknowledge writes alone and drop them later (measured). So a claim
//! needs: every member known; answers of a majority of all members, and of the primaries with slots that any of them
//! knows, none of which shows an owner; and nobody of the own shard that holds data which this server has not.

use std::collections::BTreeSet;

use redisnode_proto::layout::Layout;
use redisnode_proto::report::{Report, Running};
use redisnode_proto::topology::{Direction, Health, Role, View, ViewNode};
use redisnode_proto::{ConfigEpoch, NodeId, NodeName, SlotSet, judge};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn claim(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let (Some(layout), Some(shard), Some(me)) = (s.layout(), s.my_shard(), view.myself()) else { return };
    if me.role != Role::Primary || s.primary_of(shard) != &s.me.name || s.stopping {
        return;
    }
    // With a mark a slot is bound to nobody in the own table, whoever claims it (Redis): the mark goes first.
    let arriving = view.open.iter().filter(|open| open.direction == Direction::Importing).map(|open| open.slot);
    let free = shard.slots.difference(&view.covered()).difference(&arriving.collect());
    if free.is_empty() || !knows_everybody(layout, view) {
        return;
    }
    let others: Vec<&NodeName> =
        layout.members.iter().map(|member| &member.member.name).filter(|name| **name != s.me.name).collect();
    ask(out, others.iter().filter(|name| s.fresh(name).is_none()).map(|name| (*name).clone()));
    let heard: Vec<&Running> = others.iter().filter_map(|name| s.fresh(name)?.server.running()).collect();
    let free = heard.iter().fold(free, |free, running| free.difference(&owned(layout, running)));
    if !free.is_empty() && is_witnessed(view, &heard, others.len()) && nobody_else_holds_data(s) {
        out.push(Duty::Claim { slots: free, bump: true });
    }
}

/// A majority of all members has answered, and of the primaries with slots that any of them knows.
fn is_witnessed(view: &View, heard: &[&Running], others: usize) -> bool {
    let views = || heard.iter().map(|running| &running.view).chain([view]);
    let voters: BTreeSet<&NodeId> = views().flat_map(View::voters).map(|voter| &voter.id).collect();
    let present = views().filter(|view| voters.contains(&view.me)).count();
    let all = heard.len() + 1 >= judge::majority(others + 1);
    all && (voters.is_empty() || present >= judge::majority(voters.len()))
}

/// A node that has not met the others yet, or only heard of them, would take its own ignorance for theirs.
pub(super) fn knows_everybody(layout: &Layout, view: &View) -> bool {
    let ids = layout.members.iter().filter(|member| !member.leaving).filter_map(|member| member.node_id.as_ref());
    let mut ids = ids.filter(|id| !layout.forget.contains(id));
    ids.all(|id| view.node(id).is_some_and(|node| !node.handshake && !is_hearsay(node)))
}

/// Others speak of it, but it has not said a word here: whatever it owns, its line shows nothing.
fn is_hearsay(node: &ViewNode) -> bool {
    node.epoch == ConfigEpoch(0) && (!node.connected || node.health != Health::Fine)
}

/// Every mate has answered, and none holds data of the shard while this server holds none.
fn nobody_else_holds_data(s: &Situation<'_>) -> bool {
    let mine = s.running().is_some_and(|running| running.keys > 0);
    s.mates().into_iter().all(|name| s.fresh(name).is_some_and(|report| mine || !holds_data(report)))
}

fn holds_data(report: &Report) -> bool {
    match report.server.running() {
        Some(running) => running.keys > 0,
        None => report.disk.has_data,
    }
}

/// Slots that have an owner in another server's eyes, also one that has failed: it may be cut off, and hold the data. This
/// server may know of it by hearsay only, without a slot (seen on Redis 7.0, 8.6 and Valkey 9.1). Whom the Layout wants
/// forgotten is dead by a majority's word.
fn owned(layout: &Layout, running: &Running) -> SlotSet {
    let owners = running.view.nodes.iter().filter(|node| node.role == Role::Primary);
    let owners = owners.filter(|node| !layout.forget.contains(&node.id));
    owners.fold(SlotSet::new(), |all, node| all.union(&node.slots))
}
