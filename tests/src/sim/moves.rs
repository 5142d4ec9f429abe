//! Moves of slots as the shell does them: few slots open at a time, a step at each look, decided by the core from what
//! both servers show.

use std::collections::{BTreeMap, BTreeSet};

use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::migration::Attempt;
use redisnode_proto::job::Job;
use redisnode_proto::ledger::OpenSlots;
use redisnode_proto::message::{ImportReply, ImportRequest};
use redisnode_proto::topology::Direction;
use redisnode_proto::{Generation, Millis, NodeName, Slot, SlotSet};

use super::call::Body;
use super::clock::Time;
use super::data::Key;
use super::ids::Id;
use super::pieces::{Memory, Piece};
use super::world::World;

/// Slots that are open at a time, for one target.
const BATCH: usize = 256;

/// The moves that an agent is the source of.
#[derive(Default)]
pub(crate) struct Moves {
    pub(super) by_target: BTreeMap<NodeName, Move>,
    /// Tries of keys whose end is not known.
    pub(super) attempts: BTreeMap<Key, Vec<Attempt>>,
    /// Slots that stand still for a person to look at.
    pub(super) stopped: BTreeMap<Slot, String>,
    /// What became of the tries of each pair that has slots to move.
    pub(super) memory: BTreeMap<NodeName, Memory>,
    /// When all exports of the own server were cancelled last.
    pub(super) swept_at: Option<Time>,
}

pub(super) struct Move {
    pub(super) send: SendTo,
    /// Slots that the target's agent has opened, and this side has not yet.
    agreed: SlotSet,
    /// Which replicas' agents know of them.
    told: BTreeSet<NodeName>,
    /// The target's agent has opened these, in this life of this agent.
    pub(super) opened: SlotSet,
    /// Of these, the ones that were open before.
    pub(super) resumed: SlotSet,
    /// The life of the target's server in which it opened them: another life starts from its disk and may not know yet
    /// what it has lost, and an epoch of its own would win that back.
    pub(super) target_run: u64,
    /// What the servers themselves move now.
    pub(super) piece: Option<Piece>,
}

impl Moves {
    pub(crate) fn targets(&self) -> Vec<NodeName> {
        self.by_target.keys().cloned().collect()
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        let job = |(target, work): (&NodeName, &Move)| Job {
            target: target.clone(),
            driver: work.piece.as_ref().map_or("migrate", Piece::driver_name).into(),
            remaining: work.send.slots.clone(),
            slots_done: 0,
            keys_done: 0,
            keys_left: None,
            bytes_done: 0,
            running_for: Millis(0),
            stalled: self.stopped.values().next().cloned(),
            tries: self.memory.get(target).map(|memory| memory.tries.shown()).unwrap_or_default(),
        };
        self.by_target.iter().map(job).collect()
    }

    /// Whether a piece is under way.
    pub(crate) fn has_pieces(&self) -> bool {
        self.by_target.values().any(|work| work.piece.is_some())
    }

    /// Whether a piece goes to another target that pulls it: the own server serves one at a time.
    pub(super) fn another_pulls(&self, target: &NodeName) -> bool {
        self.by_target.iter().any(|(other, work)| other != target && work.piece.as_ref().is_some_and(Piece::pulls))
    }

    pub(crate) fn stopped(&self) -> Vec<(Slot, String)> {
        self.stopped.iter().map(|(slot, why)| (*slot, why.clone())).collect()
    }
}

impl World {
    pub(crate) fn run_moves(&mut self, node: usize, sends: &super::act::Sends, hands_off: bool) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let wanted = |target: &NodeName| sends.iter().any(|send| send.target == *target);
        agent.moves.by_target.retain(|target, work| wanted(target) || work.piece.is_some());
        agent.moves.memory.retain(|target, _| wanted(target));
        let ending = agent.moves.by_target.iter().filter(|(target, _)| !wanted(target));
        let ending: Vec<SendTo> = ending.map(|(_, work)| work.send.clone()).collect();
        for send in sends {
            let fresh = || Move {
                send: send.clone(),
                agreed: SlotSet::new(),
                told: BTreeSet::new(),
                opened: SlotSet::new(),
                resumed: SlotSet::new(),
                target_run: 0,
                piece: None,
            };
            let work = agent.moves.by_target.entry(send.target.clone()).or_insert_with(fresh);
            if work.send.target_id != send.target_id {
                *work = Move { piece: work.piece.take(), ..fresh() };
            }
            work.send = send.clone();
        }
        for send in ending {
            self.move_whole(node, &send, true);
        }
        for send in sends {
            if self.move_whole(node, send, hands_off) {
                continue;
            }
            if send.open.is_empty() {
                if !hands_off {
                    self.open_more(node, send);
                }
            } else {
                self.move_open(node, send);
            }
        }
    }

    /// Opens the next few slots: with the consent of the target's agent, then (where the marks would die with the server)
    /// with the knowledge of the replicas' agents, then here.
    fn open_more(&mut self, node: usize, send: &SendTo) {
        let batch = self.next_batch(send);
        let Some(server) = &self.nodes[node].server else { return };
        let (source, mine) = (server.id.node_id(), server.me().slots.clone());
        let Some(work) = self.work(node, &send.target) else { return };
        work.agreed = work.agreed.intersection(&mine).intersection(&send.slots);
        let agreed = work.agreed.clone();
        if agreed.is_empty() {
            let request = ImportRequest {
                generation: self.generation(node),
                source,
                slots: batch.iter().collect(),
                resume: false,
            };
            self.call(node, &send.target, Body::Import(request));
            return;
        }
        let untold = self.untold(node, &send.target);
        if untold.is_empty() {
            self.open_here(node, &send.target, &agreed);
            return;
        }
        let others = self.all_open(node);
        let slots: Vec<_> =
            others.into_iter().chain(agreed.iter().map(|slot| (slot, send.target_id.clone()))).collect();
        let heir = untold[0].clone();
        for name in untold {
            let open = OpenSlots {
                source: source.clone(),
                slots: slots.clone(),
                doubtful: SlotSet::new(),
                heir: heir.clone(),
            };
            self.call(node, &name, Body::OpenSlots(open));
        }
    }

    pub(super) fn generation(&self, node: usize) -> Generation {
        let layout = self.nodes[node].disk.ledger.as_ref().and_then(|ledger| ledger.layout.as_ref());
        layout.map(|layout| layout.generation).unwrap_or_default()
    }

    /// Replicas' agents that do not know yet what is about to be open; nobody where the marks survive.
    fn untold(&self, node: usize, target: &NodeName) -> Vec<NodeName> {
        if self.flavor.marks_survive {
            return Vec::new();
        }
        let work = self.nodes[node].agent.as_ref().and_then(|agent| agent.moves.by_target.get(target));
        let told = |name: &NodeName| work.is_some_and(|work| work.told.contains(name));
        self.replicas_of(node).into_iter().filter(|name| !told(name)).collect()
    }

    /// The source's own mark; from now on keys may go.
    fn open_here(&mut self, node: usize, target: &NodeName, slots: &SlotSet) {
        let Some(run) = self.target_run(node, target) else { return };
        let Some(work) = self.work(node, target) else { return };
        work.opened = if work.target_run == run { work.opened.union(slots) } else { slots.clone() };
        work.target_run = run;
        work.agreed = SlotSet::new();
        work.told = BTreeSet::new();
        let target = Id::of(&work.send.target_id);
        self.with_server(node, |server, _| {
            let mine = slots.intersection(&server.me().slots);
            drop(server.set_migrating(&mine, target));
        });
        self.wake(node, 1);
    }

    /// As many empty slots as fit, or one with keys.
    fn next_batch(&self, send: &SendTo) -> SlotSet {
        let keyed: BTreeSet<Slot> = self.keys.iter().map(|key| key.slot).collect();
        let mut batch = SlotSet::new();
        let mut with_keys = 0;
        for slot in send.slots.iter().take(BATCH) {
            if keyed.contains(&slot) {
                with_keys += 1;
                if with_keys > 3 {
                    break;
                }
            }
            batch.insert(slot);
        }
        batch
    }

    fn all_open(&self, node: usize) -> Vec<(Slot, redisnode_proto::NodeId)> {
        let Some(server) = &self.nodes[node].server else { return Vec::new() };
        let migrating = server.open.iter().filter(|(_, (direction, _))| *direction == Direction::Migrating);
        migrating.map(|(slot, (_, peer))| (*slot, peer.node_id())).collect()
    }

    /// The names of the replicas that the server's own table shows.
    fn replicas_of(&self, node: usize) -> Vec<NodeName> {
        let names = self.judge(node, |s| {
            let Some(view) = s.view() else { return Vec::new() };
            let mine = view.nodes.iter().filter(|n| n.primary.as_ref() == Some(&view.me));
            let alive = mine.filter(|n| n.health != redisnode_proto::topology::Health::Failed);
            alive.filter_map(|n| s.name_of(&n.id)).collect::<Vec<_>>()
        });
        let mut names = names.unwrap_or_default();
        names.sort();
        names
    }

    pub(super) fn work(&mut self, node: usize, target: &NodeName) -> Option<&mut Move> {
        self.nodes[node].agent.as_mut()?.moves.by_target.get_mut(target)
    }

    pub(crate) fn replica_knows(&mut self, node: usize, by: &NodeName, open: &OpenSlots) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let told: SlotSet = open.slots.iter().map(|(slot, _)| *slot).collect();
        for work in agent.moves.by_target.values_mut().filter(|work| !work.agreed.is_empty()) {
            if work.agreed.is_subset(&told) {
                work.told.insert(by.clone());
            }
        }
        self.wake(node, 1);
    }

    /// The target has opened slots. Those that were open here already may go on; what it has nothing of is closed.
    pub(crate) fn opened(&mut self, node: usize, by: &NodeName, request: &ImportRequest, reply: &ImportReply) {
        let opened: SlotSet = reply.opened.iter().copied().collect();
        let unwanted: SlotSet = reply.unwanted.iter().copied().collect();
        if request.resume {
            if let Some(work) = self.work(node, by) {
                work.resumed = work.resumed.union(&opened);
            }
            self.open_here(node, by, &opened);
            self.with_server(node, |server, _| {
                drop(server.set_stable(&unwanted.intersection(&server.me().slots)));
            });
        } else if let Some(work) = self.work(node, by) {
            (work.agreed, work.told) = (opened, BTreeSet::new());
        }
        self.wake(node, 1);
    }
}
