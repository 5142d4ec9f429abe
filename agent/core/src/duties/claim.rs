//! Slots that nobody owns are claimed by the primary of the shard that should have them, if a majority of the shards'
//! primaries show them without a living owner. (A re-created empty node that claims at once would acknowledge writes
//! alone and drop them later: measured.)

use redisnode_proto::report::Running;
use redisnode_proto::topology::{Health, Role, View};
use redisnode_proto::{SlotSet, judge};

use super::{Duty, ask};
use crate::situation::Situation;

pub(super) fn claim(s: &Situation<'_>, view: &View, out: &mut Vec<Duty>) {
    let (Some(layout), Some(shard), Some(me)) = (s.layout(), s.my_shard(), view.myself()) else { return };
    if me.role != Role::Primary || s.primary_of(shard) != &s.me.name || s.stopping {
        return;
    }
    let mut free = shard.slots.difference(&view.covered());
    if free.is_empty() {
        return;
    }
    let primaries: Vec<_> = layout.shards.iter().map(|shard| s.primary_of(shard)).collect();
    let mut agreeing = 0;
    let mut unknown = Vec::new();
    for name in &primaries {
        if **name == s.me.name {
            agreeing += 1;
            continue;
        }
        match s.fresh(name).and_then(|report| report.server.running()) {
            Some(running) => {
                free = free.difference(&living(running));
                agreeing += 1;
            }
            None => unknown.push((*name).clone()),
        }
    }
    ask(out, unknown);
    if agreeing >= judge::majority(primaries.len()) && !free.is_empty() {
        out.push(Duty::Claim { slots: free, bump: true });
    }
}

/// Slots that have a living owner in another server's eyes.
fn living(running: &Running) -> SlotSet {
    let alive = running.view.nodes.iter().filter(|n| n.health != Health::Failed && n.role == Role::Primary);
    alive.fold(SlotSet::new(), |all, node| all.union(&node.slots))
}
