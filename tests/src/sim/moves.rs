//! Moves of slots as the shell does them: few slots open at a time, a step at each look, decided by the core from what
//! both servers show.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::migration::{AfterMigrate, Attempt, CloseStep, Closing, after_migrate};
use redisnode_proto::job::Job;
use redisnode_proto::ledger::OpenSlots;
use redisnode_proto::message::{ImportReply, ImportRequest};
use redisnode_proto::topology::Direction;
use redisnode_proto::{Generation, Millis, NodeName, Slot, SlotSet};

use super::call::Body;
use super::data::{Key, keys_in};
use super::ids::Id;
use super::migrate::{Fate, Moved, migrate};
use super::world::World;

/// Slots that are open at a time, for one target.
const BATCH: usize = 256;
/// Keys that one look moves.
const KEYS: usize = 2;

/// The moves that an agent is the source of.
#[derive(Default)]
pub(crate) struct Moves {
    by_target: BTreeMap<NodeName, Move>,
    /// Tries of keys whose end is not known.
    attempts: BTreeMap<Key, Vec<Attempt>>,
    /// Slots that stand still for a person to look at.
    stopped: BTreeMap<Slot, String>,
}

struct Move {
    send: SendTo,
    /// Slots that the target's agent has opened, and this side has not yet.
    agreed: SlotSet,
    /// Which replicas' agents know of them.
    told: BTreeSet<NodeName>,
    /// The target's agent has opened these, in this life of this agent.
    opened: SlotSet,
    /// The life of the target's server in which it opened them: another life starts from its disk and may not know yet
    /// what it has lost, and an epoch of its own would win that back.
    target_run: u64,
}

impl Moves {
    pub(crate) fn targets(&self) -> Vec<NodeName> {
        self.by_target.keys().cloned().collect()
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        let job = |(target, work): (&NodeName, &Move)| Job {
            target: target.clone(),
            driver: "migrate".into(),
            remaining: work.send.slots.clone(),
            slots_done: 0,
            keys_done: 0,
            keys_left: None,
            bytes_done: 0,
            running_for: Millis(0),
            stalled: self.stopped.values().next().cloned(),
        };
        self.by_target.iter().map(job).collect()
    }

    pub(crate) fn stopped(&self) -> Vec<(Slot, String)> {
        self.stopped.iter().map(|(slot, why)| (*slot, why.clone())).collect()
    }
}

impl World {
    pub(crate) fn run_moves(&mut self, node: usize, sends: &super::act::Sends, hands_off: bool) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.moves.by_target.retain(|target, _| sends.iter().any(|send| send.target == *target));
        for send in sends {
            let fresh = || Move {
                send: send.clone(),
                agreed: SlotSet::new(),
                told: BTreeSet::new(),
                opened: SlotSet::new(),
                target_run: 0,
            };
            let work = agent.moves.by_target.entry(send.target.clone()).or_insert_with(fresh);
            if work.send.target_id != send.target_id {
                *work = fresh();
            }
            work.send = send.clone();
        }
        for send in sends {
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
            let open = OpenSlots { source: source.clone(), slots: slots.clone(), heir: heir.clone() };
            self.call(node, &name, Body::OpenSlots(open));
        }
    }

    fn generation(&self, node: usize) -> Generation {
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

    fn work(&mut self, node: usize, target: &NodeName) -> Option<&mut Move> {
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

    /// At a replica's agent: its primary has these slots open.
    pub(crate) fn learn_open_slots(&mut self, node: usize, open: &OpenSlots) -> redisnode_proto::message::Ack {
        use redisnode_proto::message::Ack;
        let follows = self.nodes[node].server.as_ref().is_some_and(|s| s.primary() == Some(Id::of(&open.source)));
        if !follows {
            return Ack::Refused { reason: "it follows another primary".into() };
        }
        let some = (!open.slots.is_empty()).then(|| open.clone());
        self.write_ledger(node, |ledger| ledger.open_slots = some);
        self.with_server(node, |server, _| server.no_failover = !open.slots.is_empty());
        Ack::Done
    }

    /// At the target's agent: its own Layout, or marks and keys that are there already, are its consent.
    pub(crate) fn open_for_arrival(&mut self, node: usize, request: &ImportRequest) -> ImportReply {
        let reply = |opened, unwanted, refused| ImportReply { opened, unwanted, refused };
        let refuse = |reason: &str| reply(Vec::new(), Vec::new(), Some(reason.to_owned()));
        let wanted = self
            .judge(node, |s| s.my_shard().filter(|_| s.is_primary() && !s.stopping).map(|shard| shard.slots.clone()));
        if self.generation(node) < request.generation {
            return refuse("it waits for the Layout that the source acts under");
        }
        if self.nodes[node].agent.as_ref().is_some_and(|agent| agent.gate.is_some()) {
            return refuse("it does not know yet whether it still owns its slots");
        }
        let Some(wanted) = wanted.flatten() else { return refuse("not a primary of the Layout, or stopping") };
        let Some(server) = &self.nodes[node].server else { return refuse("its server does not run") };
        if server.stopped || server.is_loading(self.now) || !server.is_primary() || !server.state_ok {
            return refuse("its server does not answer, is a replica, or is not well in the cluster");
        }
        let asked: SlotSet = request.slots.iter().copied().collect();
        let source = Id::of(&request.source);
        // A mark that is there already hides others' claims (Redis): then the source must only be known.
        let unmarked: SlotSet = asked.iter().filter(|slot| !server.open.contains_key(slot)).collect();
        if !server.table.get(&source).is_some_and(|peer| unmarked.is_subset(&peer.slots)) {
            return refuse("its server does not have the source as the owner of these slots yet");
        }
        let importing = server.open.iter().filter(|(_, (direction, _))| *direction == Direction::Importing);
        let here = importing.map(|(slot, _)| *slot).chain(server.data.keys().map(|key| key.slot));
        let allowed = if request.resume { wanted.union(&here.collect()) } else { wanted };
        let unwanted = if request.resume { asked.difference(&allowed).iter().collect() } else { Vec::new() };
        let slots = asked.intersection(&allowed).difference(&server.me().slots);
        match self.with_server(node, |server, _| server.set_importing(&slots, source)) {
            Some(Ok(())) => {
                let now = self.now;
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.imports.extend(slots.iter().map(|slot| (slot, now)));
                }
                reply(slots.iter().collect(), unwanted, None)
            }
            Some(Err(reason)) => refuse(&reason),
            None => refuse("its server does not run"),
        }
    }

    /// The target has opened slots. Those that were open here already may go on; what it has nothing of is closed.
    pub(crate) fn opened(&mut self, node: usize, by: &NodeName, request: &ImportRequest, reply: &ImportReply) {
        let opened: SlotSet = reply.opened.iter().copied().collect();
        let unwanted: SlotSet = reply.unwanted.iter().copied().collect();
        if request.resume {
            self.open_here(node, by, &opened);
            self.with_server(node, |server, _| {
                drop(server.set_stable(&unwanted.intersection(&server.me().slots)));
            });
        } else if let Some(work) = self.work(node, by) {
            (work.agreed, work.told) = (opened, BTreeSet::new());
        }
        self.wake(node, 1);
    }

    /// The life of the target's server, as the source's agent reads it.
    fn target_run(&self, node: usize, target: &NodeName) -> Option<u64> {
        let send = &self.nodes[node].agent.as_ref()?.moves.by_target.get(target)?.send;
        let target = self.target(node, send).filter(|target| self.net.reach(node, *target))?;
        self.nodes[target].server.as_ref().filter(|server| !server.stopped).map(|server| server.run)
    }

    /// Moves keys of open slots, and closes those that are empty.
    fn move_open(&mut self, node: usize, send: &SendTo) {
        let run = self.target_run(node, &send.target);
        if let (Some(run), Some(work)) = (run, self.work(node, &send.target)) {
            if run != work.target_run {
                work.opened = SlotSet::new();
            }
        }
        let Some(server) = &self.nodes[node].server else { return };
        let source = server.id.node_id();
        let Some(work) = self.nodes[node].agent.as_ref().and_then(|a| a.moves.by_target.get(&send.target)) else {
            return;
        };
        let unconfirmed = send.open.difference(&work.opened);
        let ready = send.open.intersection(&work.opened);
        let keyed: Vec<Key> = server.data.keys().copied().filter(|key| ready.contains(key.slot)).collect();
        let busy: SlotSet = keyed.iter().map(|key| key.slot).collect();
        let empty = ready.difference(&busy);
        if !unconfirmed.is_empty() {
            let generation = self.generation(node);
            let request = ImportRequest { generation, source, slots: unconfirmed.iter().collect(), resume: true };
            self.call(node, &send.target, Body::Import(request));
        }
        for key in keyed.into_iter().take(KEYS) {
            self.move_key(node, send, key);
        }
        if !empty.is_empty() && self.nodes[node].server.is_some() {
            self.close(node, send, &empty);
        }
        if self.nodes[node].server.is_some() {
            self.wake(node, 4);
        }
    }

    fn move_key(&mut self, node: usize, send: &SendTo, key: Key) {
        let stopped = self.nodes[node].agent.as_ref().is_none_or(|a| a.moves.stopped.contains_key(&key.slot));
        let Some(target) = self.target(node, send).filter(|_| !stopped) else { return };
        let source_id = self.nodes[node].server.as_ref().map(|s| s.id.node_id()).unwrap();
        let agent = self.nodes[node].agent.as_mut().unwrap();
        let attempts = agent.moves.attempts.entry(key).or_default();
        let replace = super::mutation::replaces(self.mutation, attempts, &source_id);
        let fate = self.fate(node, target);
        let now = self.now;
        let Ok([source, other]) = self.nodes.get_disjoint_mut([node, target]) else { return };
        let Some(server) = &mut source.server else { return };
        let overwritten = other.server.as_ref().map(|s| s.data.clone()).filter(|_| replace);
        let moved = migrate(now, server, other.server.as_mut(), key, replace, fate);
        if let Some(before) = overwritten {
            self.check_wipe(target, &before, "MIGRATE with REPLACE");
        }
        if self.traced == Some(node) || self.traced == Some(target) {
            let name = self.name(node).clone();
            self.say(|| format!("{name}: MIGRATE {key:?}, replace {replace}: {moved:?}"));
        }
        let error = match moved {
            Moved::Done | Moved::NoKey => None,
            Moved::BusyKey => Some("ERR Target instance replied with error: BUSYKEY Target key name already exists."),
            Moved::Refused => Some("ERR Target instance replied with error: CLUSTERDOWN"),
            Moved::TimedOut => Some("IOERR error or timeout reading to target instance"),
        };
        let after = after_migrate(error);
        self.send_stream(target);
        self.send_stream(node);
        let agent = self.nodes[node].agent.as_mut().unwrap();
        match after {
            AfterMigrate::Moved => drop(agent.moves.attempts.remove(&key)),
            AfterMigrate::RetryWithReplace => {
                let attempt = Attempt { source: source_id, timed_out: true };
                agent.moves.attempts.entry(key).or_default().push(attempt);
            }
            AfterMigrate::Later { .. } => {}
            AfterMigrate::Stop { reason } => {
                let name = self.nodes[node].member.name.clone();
                self.oracle.log(now, || format!("{name}: slot {} stands still: {reason}", key.slot));
                let agent = self.nodes[node].agent.as_mut().unwrap();
                agent.moves.stopped.insert(key.slot, reason);
            }
        }
        if fate == Fate::AnswerLost && self.rough && self.rng.random_range(0..2) == 0 {
            self.crash_server(node, "in the middle of MIGRATE");
        }
    }

    /// The node where the target's server is thought to be.
    fn target(&self, node: usize, send: &SendTo) -> Option<usize> {
        let peer = self.nodes[node].server.as_ref()?.table.get(&Id::of(&send.target_id))?;
        self.node_at(peer.addr?)
    }

    fn fate(&mut self, node: usize, target: usize) -> Fate {
        if !self.net.reach(node, target) || self.nodes[target].server.is_none() {
            return Fate::Lost;
        }
        match self.rng.random_range(0..60) {
            0 if self.rough => Fate::AnswerLost,
            1 if self.rough => Fate::Lost,
            _ => Fate::Fine,
        }
    }

    fn close(&mut self, node: usize, send: &SendTo, slots: &SlotSet) {
        let target_id = Id::of(&send.target_id);
        let Some(target) = self.target(node, send) else { return };
        for _ in 0..2 {
            if !self.net.reach(node, target)
                || self.nodes[target].agent.is_none() && self.nodes[target].server.is_none()
            {
                return;
            }
            let (Some(source), Some(other)) = (&self.nodes[node].server, &self.nodes[target].server) else { return };
            if other.stopped || other.id != target_id {
                return;
            }
            let closing = Closing {
                empty_at_source: slots.iter().all(|slot| keys_in(&source.data, slot).next().is_none()),
                owned_by_target: slots.is_subset(&other.me().slots),
                released_by_source: slots.is_disjoint(&source.me().slots),
            };
            let done = match super::mutation::close(self.mutation, closing) {
                CloseStep::AssignAtTarget => self.with_server(target, |s, ctx| s.set_owner(ctx, slots, target_id)),
                CloseStep::AssignAtSource => self.with_server(node, |s, ctx| s.set_owner(ctx, slots, target_id)),
                CloseStep::MoveKeys | CloseStep::Done => return,
            };
            if done != Some(Ok(())) || (self.rough && self.interrupted(node, target)) {
                return;
            }
        }
    }

    /// Something dies between the two halves of closing.
    fn interrupted(&mut self, node: usize, target: usize) -> bool {
        match self.rng.random_range(0..40) {
            0 => self.crash_server(node, "between the halves of closing a slot"),
            1 => self.crash_server(target, "between the halves of closing a slot"),
            2 => self.kill_agent(node),
            _ => return false,
        }
        true
    }
}
