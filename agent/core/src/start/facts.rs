//! What the start check learns from its folder and from other agents, in the form its arms ask for.

use std::collections::BTreeSet;

use redisnode_proto::report::{DiskIdentity, Replication, Report, Running, ServerState};
use redisnode_proto::topology::Role;
use redisnode_proto::{NodeId, NodeName, Offset, SlotSet};

use super::StartSituation;
use crate::config::keeps_nothing;
use crate::situation::Answer;

/// What one mate's agent says of its copy of the shard's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MateSays {
    /// Its server runs and has synced from this shard since its own start, by its agent's word or its server's, or handed
    /// the shard over to the identity.
    HoldsSynced,
    /// Its server runs with data it loaded from its disk.
    HoldsLoaded,
    /// There is data on its disk, or its server loads; it cannot be promoted yet.
    HoldsOnDisk,
    /// It answered, and has nothing.
    Nothing,
    /// It does not answer.
    Silent,
}

/// A mate.
pub(super) struct Mate<'a> {
    pub(super) name: NodeName,
    pub(super) says: MateSays,
    pub(super) report: Option<&'a Report>,
}

/// All of it.
pub(super) struct Facts<'a> {
    s: &'a StartSituation<'a>,
    identity: &'a DiskIdentity,
    mates: Vec<Mate<'a>>,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(s: &'a StartSituation<'a>, identity: &'a DiskIdentity) -> Self {
        let shard = s.ledger.layout.as_ref().and_then(|layout| layout.shard_of(&s.me.name));
        let listed = shard.into_iter().flat_map(redisnode_proto::LayoutShard::nodes);
        // Who leaves may have been of this shard a moment ago, and who follows the dead one is, wherever it is listed.
        let unseated = s.ledger.layout.iter().flat_map(|layout| {
            let names = layout.members.iter().map(|member| &member.member.name);
            names.filter(|name| layout.shard_of(name).is_none())
        });
        let hangs_on_it = |name: &&NodeName| {
            let report = s.peers.get(*name).and_then(|peer| peer.heard_since(s.since));
            report.and_then(|report| report.server.running()).is_some_and(|running| follows(running, &identity.id))
        };
        let names = listed.chain(unseated).chain(s.peers.keys().filter(hangs_on_it));
        let names: BTreeSet<&NodeName> = names.filter(|name| **name != s.me.name).collect();
        let mates = names.into_iter().map(|name| Self::mate(s, identity, name.clone())).collect();
        Self { s, identity, mates }
    }

    fn mate(s: &'a StartSituation<'a>, identity: &DiskIdentity, name: NodeName) -> Mate<'a> {
        let report = s.peers.get(&name).and_then(|peer| peer.heard_since(s.since));
        let says = report.map_or(MateSays::Silent, |report| copy_of(report, identity, &LastLife::of(s, identity)));
        Mate { name, says, report }
    }

    pub(super) fn mates(&self) -> impl Iterator<Item = &Mate<'a>> {
        self.mates.iter()
    }

    pub(super) fn silent(&self) -> Vec<NodeName> {
        self.mates.iter().filter(|m| m.says == MateSays::Silent).map(|m| m.name.clone()).collect()
    }

    /// Mates, and primaries of other shards, that have not been called since the check began.
    pub(super) fn unasked(&self) -> Vec<NodeName> {
        let others = self.s.ledger.layout.iter().flat_map(|l| &l.shards).map(|shard| &shard.primary);
        self.not_asked_of(self.mates.iter().map(|m| &m.name).chain(others))
    }

    /// Members that have not been called since the check began: one that is listed elsewhere may still be a follower.
    pub(super) fn unasked_members(&self) -> Vec<NodeName> {
        self.not_asked_of(self.s.ledger.layout.iter().flat_map(|l| &l.members).map(|member| &member.member.name))
    }

    fn not_asked_of<'n>(&self, names: impl Iterator<Item = &'n NodeName>) -> Vec<NodeName> {
        let names: BTreeSet<&NodeName> =
            names.filter(|name| **name != self.s.me.name && !self.was_asked(name)).collect();
        names.into_iter().cloned().collect()
    }

    pub(super) fn was_asked(&self, name: &NodeName) -> bool {
        self.s.peers.get(name).is_some_and(|peer| match &peer.answer {
            Answer::NeverAsked => false,
            Answer::Silent { .. } => true,
            Answer::Heard { at, .. } => *at >= self.s.since,
        })
    }

    fn heard(&self) -> impl Iterator<Item = &'a Report> {
        let since = self.s.since;
        self.s.peers.values().filter_map(move |peer| peer.heard_since(since))
    }

    /// Whether the agent of `name` certifies that its server is down.
    pub(super) fn is_down(&self, name: &NodeName) -> bool {
        let report = self.s.peers.get(name).and_then(|peer| peer.heard_since(self.s.since));
        report.is_some_and(|report| report.server.is_certainly_down())
    }

    /// Whether all slots of the identity are owned by others at a higher epoch: by the own word of servers that run,
    /// by the node tables of others, or by the folders of servers that are down.
    pub(super) fn owned_elsewhere(&self) -> bool {
        self.identity.slots.is_subset(&self.taken())
    }

    /// Whether `name` has become the primary of some of the slots, by its own server's word.
    pub(super) fn took_over(&self, name: &NodeName) -> bool {
        let report = self.s.peers.get(name).and_then(|peer| peer.heard_since(self.s.since));
        let own = report.and_then(|report| report.server.running()).and_then(|running| running.view.myself());
        own.is_some_and(|own| {
            let newer = own.role == Role::Primary && own.epoch > self.identity.epoch;
            newer && !own.slots.is_disjoint(&self.identity.slots)
        })
    }

    /// Slots of the identity that others own at a higher epoch, see [`Self::owned_elsewhere`].
    pub(super) fn taken(&self) -> SlotSet {
        self.heard().fold(SlotSet::new(), |gone, report| gone.union(&self.taken_by(report)))
    }

    fn taken_by(&self, report: &Report) -> SlotSet {
        let mine = &self.identity.slots;
        let newer = |id: &NodeId, epoch| *id != self.identity.id && epoch > self.identity.epoch;
        let mut taken = SlotSet::new();
        if let Some(running) = report.server.running() {
            for node in running.view.nodes.iter().filter(|n| n.role == Role::Primary && newer(&n.id, n.epoch)) {
                taken = taken.union(&node.slots.intersection(mine));
            }
        } else if let Some(disk) = &report.disk.identity
            && disk.role == Role::Primary
            && newer(&disk.id, disk.epoch)
        {
            taken = taken.union(&disk.slots.intersection(mine));
        }
        taken
    }

    /// Slots that node tables of others still give to the identity.
    pub(super) fn still_shown(&self) -> SlotSet {
        let lines = self.heard().filter_map(|report| report.server.running()?.view.node(&self.identity.id));
        lines.fold(SlotSet::new(), |all, line| all.union(&line.slots))
    }

    pub(super) fn name_of(&self, id: &NodeId) -> Option<NodeName> {
        self.s.ledger.layout.as_ref().and_then(|layout| layout.name_of(id)).cloned()
    }

    pub(super) fn started_empty(&self, name: &NodeName) -> bool {
        let report = self.s.peers.get(name).and_then(|peer| peer.heard_since(self.s.since));
        report.and_then(|report| report.server.running()).is_some_and(|r| r.started_empty && r.keys == 0)
    }
}

/// What the agent saw of the identity's last life as a primary.
struct LastLife<'a> {
    /// The histories of its writes: its own, and the one that it went on with when it was promoted.
    histories: Vec<&'a str>,
    /// The latter, and up to where it had it, if its own writes went to no disk.
    handed_over: Option<(&'a str, Offset)>,
}

impl<'a> LastLife<'a> {
    fn of(s: &StartSituation<'a>, identity: &DiskIdentity) -> Self {
        let known = s.ledger.identity.as_ref().filter(|known| known.id == identity.id);
        let own = known.and_then(|known| known.history.as_deref());
        let former = known.and_then(|known| known.former_history.as_deref());
        let in_memory = s.ledger.configured.as_ref().is_some_and(keeps_nothing);
        let until = known.and_then(|known| known.shared_until).filter(|_| in_memory);
        Self { histories: own.into_iter().chain(former).collect(), handed_over: former.zip(until) }
    }

    /// Whether it has been linked since its own start, and to one of these histories: its agent may have missed the sync,
    /// and says that the server has only what it loaded. A dump brings a history back as well, but not the link.
    fn was_linked(&self, replica: &Replication) -> bool {
        let linked_once = replica.silent_for_s.is_some() && !replica.syncing;
        linked_once && self.histories.contains(&replica.replication_id.as_str())
    }

    /// Whether it was the primary before, has all that it handed over, and nothing else yet. The identity's folder has no
    /// more than the dump of its last sync, from before (seen: a server that died a tenth of a second after a handoff, before
    /// the former primary was linked, loaded what was a second older).
    fn was_handed_over_by(&self, replica: &Replication) -> bool {
        let held = (replica.replication_id.as_str(), replica.offset);
        !replica.syncing && self.handed_over.is_some_and(|(history, until)| held.0 == history && held.1 >= until)
    }
}

/// What a mate's Report says of its copy of the identity's data.
fn copy_of(report: &Report, identity: &DiskIdentity, last: &LastLife<'_>) -> MateSays {
    let id = &identity.id;
    match &report.server {
        ServerState::Running(running) if follows(running, id) => {
            let replica = &running.replication;
            let has_it = running.keys > 0 && (last.was_linked(replica) || last.was_handed_over_by(replica));
            if running.synced_since_start || has_it {
                MateSays::HoldsSynced
            } else if running.keys > 0 {
                MateSays::HoldsLoaded
            } else {
                MateSays::Nothing
            }
        }
        // It is the primary that it was before, and is about to see that it must follow.
        ServerState::Running(running) if running.keys > 0 && is_former_primary(running, identity) => {
            MateSays::HoldsOnDisk
        }
        // A server that lives and does not answer may hold anything, and newer than its folder.
        ServerState::Unknown { .. } => MateSays::Silent,
        // It serves another shard now, or none: what it has is not of this one.
        ServerState::Running(_) | ServerState::Refused { .. } | ServerState::Retired => MateSays::Nothing,
        ServerState::Waiting { .. } | ServerState::Dead { .. } | ServerState::Starting | ServerState::Loading => {
            if report.disk.has_data && report.disk.identity.as_ref().is_some_and(|d| d.primary.as_ref() == Some(id)) {
                MateSays::HoldsOnDisk
            } else if report.server.is_certainly_down() {
                MateSays::Nothing
            } else {
                MateSays::Silent
            }
        }
    }
}

/// Whether it still calls slots of the identity its own: its agent holds its writes after a start, or it was cut off when
/// the identity was promoted, and has not heard of the newer epoch yet.
fn is_former_primary(running: &Running, identity: &DiskIdentity) -> bool {
    let own = running.view.myself().filter(|me| me.role == Role::Primary);
    own.is_some_and(|me| {
        let old = running.writes_paused || me.epoch < identity.epoch;
        old && !me.slots.is_disjoint(&identity.slots)
    })
}

fn follows(running: &Running, id: &NodeId) -> bool {
    running.view.myself().is_some_and(|me| me.role == Role::Replica && me.primary.as_ref() == Some(id))
}
