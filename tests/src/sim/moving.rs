//! Keys of open slots go to their target, and empty slots are closed there first: a step at each look, decided by the
//! core from what both servers show.

use rand::RngExt;
use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::migration::{AfterMigrate, Attempt, CloseStep, Closing, after_migrate};
use redisnode_proto::message::ImportRequest;
use redisnode_proto::{NodeName, SlotSet};

use super::call::Body;
use super::data::{Key, keys_in};
use super::ids::Id;
use super::migrate::{Fate, Moved, migrate};
use super::world::World;

/// Keys that one look moves.
const KEYS: usize = 2;

impl World {
    /// The life of the target's server, as the source's agent reads it.
    pub(super) fn target_run(&self, node: usize, target: &NodeName) -> Option<u64> {
        let send = &self.nodes[node].agent.as_ref()?.moves.by_target.get(target)?.send;
        let target = self.target(node, send).filter(|target| self.net.reach(node, *target))?;
        self.nodes[target].server.as_ref().filter(|server| !server.stopped).map(|server| server.run)
    }

    /// Moves keys of open slots, and closes those that are empty.
    pub(super) fn move_open(&mut self, node: usize, send: &SendTo) {
        let run = self.target_run(node, &send.target);
        if let (Some(run), Some(work)) = (run, self.work(node, &send.target))
            && run != work.target_run
        {
            work.opened = SlotSet::new();
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
                let work = agent.moves.by_target.get(&send.target);
                let resumed = work.is_none_or(|work| work.resumed.contains(key.slot));
                let attempt = Attempt { source: source_id, timed_out: true, resumed };
                agent.moves.attempts.entry(key).or_default().push(attempt);
            }
            AfterMigrate::Later { .. } => {}
            AfterMigrate::StopKey { reason } | AfterMigrate::Stop { reason } => {
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
    pub(super) fn target(&self, node: usize, send: &SendTo) -> Option<usize> {
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
                target_outranks: other.me().epoch > source.me().epoch,
                released_by_source: slots.is_disjoint(&source.me().slots),
            };
            let done = match super::mutation::close(self.mutation, closing) {
                CloseStep::AssignAtTarget => self.with_server(target, |s, ctx| s.set_owner(ctx, slots, target_id)),
                CloseStep::AssignAtSource => self.with_server(node, |s, ctx| s.set_owner(ctx, slots, target_id)),
                CloseStep::RaiseTarget => {
                    let (name, other) = (self.name(node).clone(), self.name(target).clone());
                    self.say(|| format!("{name}: raises {other} for {slots}"));
                    self.with_server(target, |s, _| s.bump_epoch());
                    return;
                }
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
