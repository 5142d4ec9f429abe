//! Slots that nobody owns are claimed by the primary of the shard that should have them.
//!
//! A re-created empty node that claims at once would acknowledge writes alone and drop them later (measured). So a claim
//! needs: every member known; a majority of the primaries with slots, or of all members where nobody has any, that show
//! the slots without a living owner; and nobody of the own shard that holds data which this server does not have.

use redisnode_proto::layout::Layout;
use redisnode_proto::report::{Report, Running};
use redisnode_proto::topology::{Health, Role, View};
use redisnode_proto::{NodeName, SlotSet, judge};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn claim(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let (Some(layout), Some(shard), Some(me)) = (s.layout(), s.my_shard(), view.myself()) else { return };
    if me.role != Role::Primary || s.primary_of(shard) != &s.me.name || s.stopping {
        return;
    }
    let free = shard.slots.difference(&view.covered());
    if free.is_empty() || !knows_everybody(layout, view) {
        return;
    }
    let witnesses = witnesses(s, layout, view);
    let unknown = witnesses.iter().copied().chain(s.mates()).filter(|name| s.fresh(name).is_none()).cloned();
    ask(out, unknown.filter(|name| *name != s.me.name));
    let heard: Vec<&Running> = witnesses.iter().filter_map(|name| s.fresh(name)?.server.running()).collect();
    let free = heard.iter().fold(free, |free, running| free.difference(&living(layout, running)));
    let agreeing = heard.len() + usize::from(witnesses.contains(&&s.me.name));
    if agreeing >= judge::majority(witnesses.len()) && !free.is_empty() && nobody_else_holds_data(s) {
        out.push(Duty::Claim { slots: free, bump: true });
    }
}

/// A node that has not met the others yet would take its own ignorance for theirs.
pub(super) fn knows_everybody(layout: &Layout, view: &View) -> bool {
    let ids = layout.members.iter().filter(|member| !member.leaving).filter_map(|member| member.node_id.as_ref());
    ids.filter(|id| !layout.forget.contains(id)).all(|id| view.node(id).is_some_and(|node| !node.handshake))
}

/// Who must agree: the primaries with slots; where nobody has any, every member.
fn witnesses<'a>(s: &Situation<'a>, layout: &'a Layout, view: &View) -> Vec<&'a NodeName> {
    let names = || layout.members.iter().filter(|member| !member.leaving).map(|member| &member.member.name);
    let votes = |name: &&NodeName| s.id_of(name).is_some_and(|id| view.voters().any(|voter| voter.id == id));
    let voters: Vec<&NodeName> = names().filter(votes).collect();
    if voters.is_empty() { names().collect() } else { voters }
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

/// Slots that have a living owner in another server's eyes. Whom the Layout wants forgotten is dead by a majority's word,
/// also where nobody is left to mark it as failed.
fn living(layout: &Layout, running: &Running) -> SlotSet {
    let alive = running.view.nodes.iter().filter(|n| n.health != Health::Failed && n.role == Role::Primary);
    let alive = alive.filter(|node| !layout.forget.contains(&node.id));
    alive.fold(SlotSet::new(), |all, node| all.union(&node.slots))
}
