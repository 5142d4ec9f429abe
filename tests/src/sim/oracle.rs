//! What must never happen, by name. The oracle sees everything: it knows each acknowledged write, where its copies are,
//! and which losses are documented (asynchronous replication: a primary that dies alone, or is cut off).

use std::collections::{BTreeMap, VecDeque};

use redisnode_proto::topology::{Direction, Role};
use redisnode_proto::{Generation, Member, Slot};

use super::clock::Time;
use super::data::{Data, Key, Writes, keys_in};
use super::ids::Id;
use super::revived::Revived;
use super::server::Link;
use super::world::World;

/// Lines of the event log that are kept, unless `REDISNODE_SIM_LOG` says otherwise.
const LOG: usize = 600;
/// A line that is among so many last ones is not said again: agents ask again and again.
const REPEATS: usize = 8;

/// The named invariants.
pub mod invariant {
    /// Of two servers, only the one with the greater epoch acknowledges writes to a slot.
    pub const ONE_OWNER: &str = "one owner per slot that acknowledges";
    /// No rule wipes the last copy of an acknowledged write.
    pub const NOT_WIPED: &str = "no acknowledged write on a node that the rules would wipe";
    /// No agent obeys a Layout older than one it obeyed.
    pub const NO_OLDER: &str = "no older generation obeyed";
    /// Every life of a coordinator has a term of its own.
    pub const OWN_TERM: &str = "no two lives of a coordinator with one term";
    /// Once faults stop, the cluster becomes what the spec asks for.
    pub const CONVERGES: &str = "convergence once faults stop";
    /// At the end all servers agree on one owner of each slot.
    pub const ALL_COVERED: &str = "every slot has one owner at the end";
    /// At the end no server has a slot half open.
    pub const ALL_CLOSED: &str = "no slot is left open";
    /// At the end every acknowledged write is where it belongs, once.
    pub const NOTHING_LOST: &str = "no acknowledged write is lost";
    /// What an agent says of a move that is over is what both servers show.
    pub const TRUE_WORDS: &str = "slots are called moved if, and only if, they have moved";
    /// At the end no server holds a key that is not of its shard.
    pub const NOTHING_DOUBLED: &str = "no key is doubled by a migration";
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

struct Acknowledged {
    number: u32,
    key: Key,
    node: usize,
    at: Time,
}

/// The all-seeing judge of one history.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) broken: Option<Broken>,
    pub(crate) lines: VecDeque<(Time, String)>,
    /// How many lines are kept, if not [`LOG`].
    keeps: Option<usize>,
    writes: u32,
    acknowledged: Vec<Acknowledged>,
    /// Writes whose loss is documented.
    excused: Writes,
    /// Who acknowledged last for a slot, and under which epoch.
    owners: BTreeMap<Slot, (u64, Id)>,
    generations: BTreeMap<Member, Generation>,
    terms: BTreeMap<u64, u64>,
    /// Servers whose old claims have won again.
    pub(super) revived: Vec<Revived>,
}

impl Oracle {
    pub(crate) fn keeping(keeps: Option<usize>) -> Self {
        Self { keeps, ..Self::default() }
    }

    pub(crate) fn log(&mut self, now: Time, text: impl FnOnce() -> String) {
        let text = text();
        if self.lines.iter().rev().take(REPEATS).any(|(_, line)| *line == text) {
            return;
        }
        if self.lines.len() >= self.keeps.unwrap_or(LOG) {
            self.lines.pop_front();
        }
        self.lines.push_back((now, text));
    }

    pub(crate) fn next_write(&mut self) -> u32 {
        self.writes += 1;
        self.writes
    }

    pub(crate) fn acknowledged_writes(&self) -> usize {
        self.acknowledged.len()
    }

    pub(crate) fn excused_writes(&self) -> usize {
        self.acknowledged.iter().filter(|write| self.excused.has(write.number)).count()
    }

    pub(crate) fn fail(&mut self, invariant: &'static str, detail: String) {
        self.broken.get_or_insert(Broken { invariant, detail });
    }

    /// These values were put where a person finds them, and it was said.
    pub(crate) fn excuse<'a>(&mut self, values: impl Iterator<Item = &'a super::data::Value>) {
        for number in values.flat_map(|value| value.iter()) {
            self.excused.insert(*number);
        }
    }

    /// A server's identity is gone for good: it owns nothing any more.
    pub(crate) fn buries(&mut self, id: Id) {
        self.owners.retain(|_, (_, owner)| *owner != id);
    }

    /// An agent obeys a Layout of this generation from now on.
    pub(crate) fn obeys(&mut self, member: &Member, generation: Generation) {
        let newest = self.generations.entry(member.clone()).or_default();
        if generation < *newest {
            let detail = format!("{} obeyed {newest} and now obeys {generation}", member.name);
            self.fail(invariant::NO_OLDER, detail);
        } else {
            *newest = generation;
        }
    }

    /// A life of a coordinator publishes under this term.
    pub(crate) fn publishes(&mut self, life: u64, term: u64) {
        let owner = *self.terms.entry(term).or_insert(life);
        if owner != life {
            self.fail(
                invariant::OWN_TERM,
                format!("lives {owner} and {life} of the coordinator both have term {term}"),
            );
        }
    }
}

impl World {
    /// A server acknowledged a write.
    pub(crate) fn acknowledged(&mut self, node: usize, key: Key, number: u32, epoch: Option<u64>) {
        let apart = (self.is_apart(node) && !self.started_apart(node)) || self.is_overruled(node, key.slot);
        self.oracle.acknowledged.push(Acknowledged { number, key, node, at: self.now });
        if apart {
            self.oracle.excused.insert(number);
        }
        let (Some(epoch), Some(server)) = (epoch, &self.nodes[node].server) else { return };
        let id = server.id;
        let last = self.oracle.owners.insert(key.slot, (epoch, id));
        let Some((before, other)) = last.filter(|(before, other)| *other != id && *before >= epoch) else { return };
        if !apart && self.still_claims(other, key, epoch) {
            let name = &self.nodes[node].member.name;
            let detail = format!(
                "{name} ({id}) acknowledged a write to slot {} under epoch {epoch}, after {other} had done so under epoch {before}, which has not let go of it",
                key.slot
            );
            self.oracle.fail(invariant::ONE_OWNER, detail);
        }
    }

    /// Whether a server, running or only its nodes.conf, owns the slot under an epoch that wins, and would serve it.
    fn still_claims(&self, id: Id, key: Key, epoch: u64) -> bool {
        self.nodes.iter().filter(|node| !node.gone).any(|node| match (&node.server, &node.disk.conf) {
            (Some(server), _) => {
                let leaves = matches!(server.open.get(&key.slot), Some((Direction::Migrating, _)));
                server.id == id && server.owns(key.slot) && server.me().epoch >= epoch && !leaves
            }
            (None, Some(conf)) => conf.id == id && conf.me().slots.contains(key.slot) && conf.me().epoch >= epoch,
            (None, None) => false,
        })
    }

    /// Whether what this node does now may be lost by the servers' own rules: it is or was lately cut off, or stopped.
    pub(crate) fn is_apart(&self, node: usize) -> bool {
        let lately = self.net.last_cut.get(&node).is_some_and(|at| self.now < at + 2 * self.node_timeout);
        self.net.is_cut(node) || lately
    }

    /// Whether its server was started while it was cut off: then its agent should hold its writes.
    pub(super) fn started_apart(&self, node: usize) -> bool {
        let since = self.net.cut_since.get(&node).copied();
        let started_at = self.nodes[node].server.as_ref().map(|server| server.started_at);
        self.net.is_cut(node) && started_at > since
    }

    /// The writes that some server has in its memory, or some folder would bring back for certain. An old dump that a
    /// server may have to give up counts only if `old_dumps` do.
    fn copies(&self, old_dumps: bool) -> Writes {
        let certain = self.keeping == super::disk::Keeping::Everything;
        let mut copies = Writes::default();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.gone) {
            if let Some(server) = &node.server {
                if (certain || old_dumps || !self.is_stale(index)) && !self.is_linked(index) {
                    copies.add(&server.data);
                    copies.add(server.staged_of_the_shard());
                }
            } else if let (Some(data), true) = (&node.disk.data, certain) {
                copies.add(data);
            }
        }
        copies
    }

    /// Whether it is a replica that has, or soon will have, exactly what its living primary has.
    fn is_linked(&self, node: usize) -> bool {
        let Some(Link::Up { from, .. }) = self.nodes[node].server.as_ref().map(|server| server.link) else {
            return false;
        };
        self.node_of(from).is_some()
    }

    /// Whether its server has nothing but an old dump yet, which it may have to give up: it waits at its gate, or for its
    /// first sync.
    fn is_stale(&self, node: usize) -> bool {
        let place = &self.nodes[node];
        let gated = place.disk.ledger.as_ref().is_some_and(|ledger| ledger.gated);
        let unsynced = place.server.as_ref().is_some_and(|server| {
            !server.is_primary() && matches!(server.link, Link::Down { since: None } | Link::Syncing { .. })
        });
        gated || unsynced
    }

    /// A rule (not a fault) removed keys from a server: no acknowledged write may have its last copy there.
    pub(crate) fn check_wipe(&mut self, node: usize, before: &Data, why: &str) {
        // What the server that replaces them has is a copy, whatever becomes of it.
        let copies = self.copies(true);
        let lost =
            before.values().flat_map(|value| value.iter()).copied().find(|number| {
                !copies.has(*number) && !self.oracle.excused.has(*number) && self.is_acknowledged(*number)
            });
        if let Some(number) = lost {
            let detail = format!("write {number} had its last copy on {}: {why}", self.name(node));
            self.oracle.fail(invariant::NOT_WIPED, detail);
        }
    }

    fn is_acknowledged(&self, number: u32) -> bool {
        self.oracle.acknowledged.iter().any(|write| write.number == number)
    }

    /// Writes that have no copy left after a fault are lost, and that is documented.
    pub(crate) fn excuse_vanished(&mut self) {
        let copies = self.copies(false);
        for write in self.oracle.acknowledged.iter().filter(|write| !copies.has(write.number)) {
            self.oracle.excused.insert(write.number);
        }
    }

    /// A primary is about to die or to be cut off: what not all of its replicas have may be lost.
    pub(crate) fn excuse_unreplicated(&mut self, node: usize) {
        let Some(primary) = self.nodes[node].server.as_ref().filter(|s| s.is_primary()) else { return };
        let heirs: Vec<Writes> = self
            .nodes
            .iter()
            .filter_map(|n| n.server.as_ref())
            .filter(|s| s.primary() == Some(primary.id))
            .filter(|s| matches!(s.link, Link::Up { .. } | Link::Down { since: Some(_) }))
            .map(|s| Writes::of(&s.data))
            .collect();
        let mine: Vec<u32> = primary.data.values().flat_map(|value| value.iter()).copied().collect();
        for number in mine.into_iter().filter(|number| heirs.iter().any(|heir| !heir.has(*number))) {
            self.oracle.excused.insert(number);
        }
    }

    /// What `lost` holds and `heir` does not may be lost: a documented choice between the two was made.
    pub(crate) fn excuse_difference(&mut self, lost: &Data, heir: usize) {
        let kept = self.nodes[heir].server.as_ref().map(|s| Writes::of(&s.data)).unwrap_or_default();
        let numbers = lost.values().flat_map(|value| value.iter()).copied();
        for number in numbers.filter(|number| !kept.has(*number)) {
            self.oracle.excused.insert(number);
        }
    }

    /// A server became primary: what a primary that is cut off has more than it is lost by the servers' own rules.
    pub(crate) fn promoted(&mut self, node: usize) {
        let Some(heir) = &self.nodes[node].server else { return };
        let slots = heir.me().slots.clone();
        let apart: Vec<Data> = (0..self.nodes.len())
            .filter(|other| *other != node && self.is_apart(*other))
            .filter_map(|other| self.nodes[other].server.as_ref())
            .map(|server| {
                server.data.iter().filter(|(k, _)| slots.contains(k.slot)).map(|(k, v)| (*k, v.clone())).collect()
            })
            .collect();
        for data in apart {
            self.excuse_difference(&data, node);
        }
    }

    /// An agent takes these slots of a piece for moved; those are.
    pub(crate) fn check_truth(
        &mut self,
        node: usize,
        told: &redisnode_proto::SlotSet,
        moved: &redisnode_proto::SlotSet,
    ) {
        if told != moved {
            let detail = format!("{} takes slots {told} of a piece for moved, and {moved} are", self.name(node));
            self.oracle.fail(invariant::TRUE_WORDS, detail);
        }
    }

    /// The end: every write that counts is where it belongs, once, and nothing is anywhere else.
    pub(crate) fn check_data(&mut self) {
        let mut missing = None;
        for write in self.oracle.acknowledged.iter().filter(|write| !self.oracle.excused.has(write.number)) {
            let owner =
                self.nodes.iter().filter_map(|n| n.server.as_ref()).find(|s| s.is_primary() && s.owns(write.key.slot));
            let times = owner
                .and_then(|s| s.data.get(&write.key))
                .map_or(0, |value| value.iter().filter(|number| **number == write.number).count());
            if times != 1 {
                missing = Some(format!(
                    "write {} to slot {}, acknowledged by {} at {} ms, is there {times} times at the end",
                    write.number, write.key.slot, self.nodes[write.node].member.name, write.at
                ));
                break;
            }
        }
        if let Some(detail) = missing {
            self.oracle.fail(invariant::NOTHING_LOST, detail);
        }
        self.check_places();
    }

    fn check_places(&mut self) {
        let mut stray = None;
        for node in self.nodes.iter().filter(|node| !node.gone) {
            let Some(server) = &node.server else { continue };
            let primary = if server.me().role == Role::Primary { Some(server.id) } else { server.primary() };
            let slots = primary.and_then(|id| server.table.get(&id)).map(|peer| peer.slots.clone()).unwrap_or_default();
            let foreign = server.data.keys().find(|key| !slots.contains(key.slot));
            if let Some(key) = foreign {
                stray =
                    Some(format!("{} holds a key of slot {}, which is not its shard's", node.member.name, key.slot));
            }
            if let Some((slot, _)) = server.open.iter().next().filter(|_| server.is_primary()) {
                let keys = keys_in(&server.data, *slot).count();
                let detail = format!("{} has slot {slot} open, with {keys} keys", node.member.name);
                self.oracle.broken.get_or_insert(Broken { invariant: invariant::ALL_CLOSED, detail });
            }
        }
        if let Some(detail) = stray {
            self.oracle.fail(invariant::NOTHING_DOUBLED, detail);
        }
    }
}
