//! Which of the own slots go to whom. Every pair at once; open slots are finished whatever the Layout says now, also
//! while moves are paused.

use std::collections::BTreeMap;

use redisnode_proto::layout::Layout;
use redisnode_proto::ledger::Identity;
use redisnode_proto::topology::{Direction, Health, Role, View};
use redisnode_proto::{NodeId, NodeName, Slot, SlotSet};

use super::SendTo;
use crate::situation::Situation;

/// The moves that the own server should be the source of.
pub fn sends(s: &Situation<'_>) -> Vec<SendTo> {
    let (Some(layout), Some(view)) = (s.layout(), s.view()) else { return Vec::new() };
    let Some(me) = view.myself().filter(|me| me.role == Role::Primary) else { return Vec::new() };
    // Its table may be older than its last life: what it still calls its own, and calls empty, may be its heir's.
    if s.running().is_some_and(|running| running.writes_paused) {
        return Vec::new();
    }
    // Equal epochs are settled by the servers first; a bump in the middle of a move could win slots back (simulated).
    let settled = super::follow::has_own_epoch(view, me);
    let begins = settled && !layout.settings.migration.pause;
    let mut targets = if begins { wanted(s, layout, &me.slots) } else { Targets::new() };
    for (slot, name) in open(s, view, &me.slots) {
        for slots in targets.values_mut() {
            slots.0.remove(slot);
            slots.1.remove(slot);
        }
        let entry = targets.entry(name).or_default();
        entry.0.insert(slot);
        entry.1.insert(slot);
    }
    targets.into_iter().filter_map(|(target, (slots, open))| to(s, view, target, slots, open)).collect()
}

type Targets = BTreeMap<NodeName, (SlotSet, SlotSet)>;

fn wanted(s: &Situation<'_>, layout: &Layout, mine: &SlotSet) -> Targets {
    let mut targets = Targets::new();
    for shard in &layout.shards {
        let slots = mine.intersection(&shard.slots);
        let primary = s.primary_of(shard);
        if !slots.is_empty() && *primary != s.me.name {
            targets.insert(primary.clone(), (slots, SlotSet::new()));
        }
    }
    targets
}

/// Slots that are half gone: they go on to whom they are open for, or to who took that one's place.
fn open(s: &Situation<'_>, view: &View, mine: &SlotSet) -> Vec<(Slot, NodeName)> {
    let marked =
        view.open.iter().filter(|open| open.direction == Direction::Migrating).map(|open| (open.slot, &open.peer));
    let asked = s.inbox.resume.iter().map(|(slot, target)| (*slot, target));
    let all = marked.chain(asked).filter(|(slot, _)| mine.contains(*slot));
    all.filter_map(|(slot, target)| Some((slot, heir_of(s, view, target)?))).collect()
}

/// The target while it lives as a primary, else who is the primary of its shard now: that one has the copy of its keys.
/// A target that owns nothing while another one of its shard does was deposed, whatever it calls itself; if that one is
/// this server, only when it was promoted from the target: else the target has the only copy of what arrived.
fn heir_of(s: &Situation<'_>, view: &View, target: &NodeId) -> Option<NodeName> {
    let name = s.name_of(target)?;
    let node = view.node(target).filter(|node| node.role == Role::Primary && node.health != Health::Failed);
    let shard = s.layout()?.shard_of(&name);
    let primary = shard.map(|shard| s.primary_of(shard)).filter(|primary| **primary != name);
    let owns =
        |primary: &NodeName| s.id_of(primary).and_then(|id| view.node(&id)).is_some_and(|node| !node.slots.is_empty());
    let heir = |primary: &NodeName| *primary != s.me.name || was_promoted_from(s.ledger.identity.as_ref(), target);
    let deposed = node.is_some_and(|node| node.slots.is_empty()) && primary.is_some_and(|p| owns(p) && heir(p));
    let heir = if node.is_some() && !deposed { name } else { primary?.clone() };
    Some(heir).filter(|heir| *heir != s.me.name)
}

/// Whether the server of this identity was promoted in the place of `id`.
pub(crate) fn was_promoted_from(identity: Option<&Identity>, id: &NodeId) -> bool {
    identity.is_some_and(|identity| identity.promoted_from.as_ref() == Some(id))
}

fn to(s: &Situation<'_>, view: &View, target: NodeName, slots: SlotSet, open: SlotSet) -> Option<SendTo> {
    let target_id = s.id_of(&target)?;
    let node = view.node(&target_id)?;
    // Nothing new is begun towards an epoch that is not its own alone; what is half there is finished.
    let slots = if super::follow::has_own_epoch(view, node) { slots } else { open.clone() };
    let takes = node.role == Role::Primary && !node.handshake && node.health == Health::Fine;
    (takes && !slots.is_empty()).then_some(SendTo { target, target_id, slots, open })
}
