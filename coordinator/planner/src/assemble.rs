//! Puts the next Layout together from what was decided, and says what it changes. It decides nothing but which members
//! are listed and under which hint of an id.

use std::collections::BTreeSet;

use redisnode_proto::layout::Settings;
use redisnode_proto::{DOCUMENT_VERSION, Generation, Layout, LayoutMember, NodeId, NodeName, spec};

use crate::decision::PlannedEvent;
use crate::draft::{Shard, Wanted};
use crate::facts::{Facts, Node};
use crate::forget;
use crate::world::Presence;

/// What was decided about members and ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decided {
    pub(crate) shards: Vec<Shard>,
    pub(crate) leaving: BTreeSet<NodeName>,
    pub(crate) forget: BTreeSet<NodeId>,
    pub(crate) founding: Option<Vec<NodeId>>,
}

/// The Layout that says what was decided.
pub(crate) fn layout(facts: &Facts, wanted: &Wanted, decided: &Decided, generation: Generation) -> Layout {
    let nodes = facts.nodes.iter().filter(|node| is_listed(node, wanted, decided));
    Layout {
        version: DOCUMENT_VERSION,
        cluster: facts.world.cluster.clone(),
        generation,
        founding: decided.founding.clone(),
        settings: settings(facts),
        members: nodes.filter_map(|node| line(facts, node, decided)).collect(),
        shards: decided.shards.iter().map(Shard::to_layout).collect(),
        forget: decided.forget.iter().cloned().collect(),
    }
}

/// What every server is configured with, in the containers that are there, and how slots are moved.
pub(crate) fn settings(facts: &Facts) -> Settings {
    let there = facts.world.machine.iter().filter(|member| member.presence != Presence::Gone);
    let mut settings = spec::settings(facts.world.spec, there.map(|member| member.memory));
    settings.migration.pause |= facts.world.moves.are_held();
    settings
}

/// Whoever has a seat, leaves, or was listed and is not gone; and wanted members that were heard, but not in the
/// middle of a founding: it is for its founders.
fn is_listed(node: &Node, wanted: &Wanted, decided: &Decided) -> bool {
    if decided.shards.iter().any(|shard| shard.has(node.name)) {
        return true;
    }
    let joins = decided.founding.is_none() && wanted.has(node.name) && node.is_heard() && node.unusable().is_none();
    !node.is_gone() && (node.listed.is_some() || decided.leaving.contains(node.name) || joins)
}

fn line(facts: &Facts, node: &Node, decided: &Decided) -> Option<LayoutMember> {
    let leaving = decided.leaving.contains(node.name);
    let hint = node.listed.and_then(|listed| listed.node_id.clone());
    let Some(machine) = node.machine.filter(|_| !node.is_gone()) else {
        return node.listed.map(|listed| LayoutMember { leaving, ..listed.clone() });
    };
    let keeps_hint = node.is_retired() || !forget::is_settled(facts, &decided.forget, node);
    Some(LayoutMember {
        member: machine.member.clone(),
        address: machine.address.clone(),
        node_id: if keeps_hint { hint } else { node.id.clone() },
        leaving,
    })
}

/// What `next` changes in the eyes of people, beside what was noted on the way.
pub(crate) fn changes(base: &Layout, next: &Layout) -> Vec<PlannedEvent> {
    let mut events = Vec::new();
    match (base.settings.migration.pause, next.settings.migration.pause) {
        (false, true) => events.push(PlannedEvent::normal("MovesHeld", "no slot begins to move any more")),
        (true, false) => events.push(PlannedEvent::normal("MovesGoOn", "slots may move again")),
        (true, true) | (false, false) => {}
    }
    for shard in &next.shards {
        let Some(before) = base.shard(&shard.name).filter(|before| before.primary != shard.primary) else { continue };
        let (name, old, new) = (&shard.name, &before.primary, &shard.primary);
        let wished = before.handoff.as_ref().is_some_and(|wish| wish.from == *old && wish.to == *new);
        events.push(if wished {
            PlannedEvent::normal("HandoffDone", format!("{new} is the primary of {name} now, after {old} handed off"))
        } else {
            PlannedEvent::warning("FailoverAdopted", format!("{new} is the primary of {name} now, in place of {old}"))
        });
    }
    for member in &next.members {
        let name = &member.member.name;
        match base.member(name) {
            None => events.push(PlannedEvent::normal("MemberJoins", format!("{name} joins"))),
            Some(before) if before.member.uid != member.member.uid => {
                let message = format!("{name} is back as a new incarnation");
                events.push(PlannedEvent::warning("MemberReplaced", message));
            }
            Some(_) => {}
        }
    }
    for member in base.members.iter().filter(|member| next.member(&member.member.name).is_none()) {
        events.push(PlannedEvent::normal("MemberLeft", format!("{} has left", member.member.name)));
    }
    events
}
