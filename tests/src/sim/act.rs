//! What an agent does while its server runs: asks the core, in the core's order, and obeys. Anywhere between two steps
//! it may die.

use rand::RngExt;
use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::start::{Gate, GateSituation, gate};
use redisnode_agent_core::takeover::{FormerLife, Promotion, Step, answer_notice, election, former_life};
use redisnode_agent_core::{Duty, duties};
use redisnode_proto::message::{DeathNotice, Outcome};
use redisnode_proto::topology::Role;
use redisnode_proto::{Millis, NodeId, Slot, SlotSet};

use super::call::Body;
use super::ids::{Addr, Id};
use super::mutation::Mutation;
use super::world::World;

/// A slot just opened for arrival is left alone so long: the source opens its side meanwhile.
const IMPORT_GRACE: u64 = 5000;

impl World {
    pub(crate) fn running_step(&mut self, node: usize) {
        self.tend_gate(node);
        let busy = self.nodes[node].server.as_ref().is_none_or(|s| s.stopped || s.is_loading(self.now));
        if busy {
            return;
        }
        self.end_unasked(node);
        self.forget_finished_resumes(node);
        self.tend_notice(node);
        self.tend_election(node);
        self.tend_former_life(node);
        self.tend_reopening(node);
        self.tend_stop(node);
        let list = self.judge(node, duties).unwrap_or_default();
        if self.traced == Some(node) {
            let name = self.name(node).clone();
            self.say(|| format!("{name}: duties {list:?}"));
        }
        let mut sends = Vec::new();
        let mut hands_off = false;
        let waits = |duty: &Duty| !matches!(duty, Duty::Ask(_));
        let now = self.now;
        let agent = self.nodes[node].agent.as_mut();
        if let Some(agent) = agent.filter(|agent| list.iter().any(waits) || agent.gate.is_some()) {
            agent.busy_at = now;
        }
        for duty in list {
            if self.dies_between_steps(node) {
                return;
            }
            match duty {
                Duty::Send(send) => sends.push(send),
                Duty::HandOff { to } => {
                    hands_off = true;
                    self.hand_off(node, to);
                }
                other => self.do_duty(node, other),
            }
            if self.nodes[node].server.is_none() {
                return;
            }
        }
        self.run_moves(node, &sends, hands_off);
    }

    fn forget_finished_resumes(&mut self, node: usize) {
        let mine = self.nodes[node].server.as_ref().map(|s| s.me().slots.clone()).unwrap_or_default();
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.inbox.resume.retain(|(slot, _)| mine.contains(*slot));
        }
    }

    /// A random end of the agent in the middle of its work.
    fn dies_between_steps(&mut self, node: usize) -> bool {
        if !self.rough || self.rng.random_range(0..800) > 0 {
            return false;
        }
        let name = self.name(node).clone();
        self.say(|| format!("{name}: agent dies in the middle of its work"));
        self.kill_agent(node);
        true
    }

    fn do_duty(&mut self, node: usize, duty: Duty) {
        match duty {
            Duty::Ask(names) => self.ask(node, names),
            Duty::SetNodeTimeout(timeout) => drop(self.with_server(node, |s, _| s.node_timeout = timeout.0)),
            Duty::SetNoFailover(on) => drop(self.with_server(node, |s, _| s.no_failover = on)),
            Duty::SetEpoch(epoch) => drop(self.with_server(node, |s, _| s.set_config_epoch(epoch.0))),
            Duty::BumpEpoch => drop(self.with_server(node, |s, _| s.bump_epoch())),
            Duty::Claim { slots, bump } => self.claim(node, &slots, bump),
            Duty::Meet { address, .. } => {
                if let Some(addr) = Addr::of(address.ip) {
                    self.with_server(node, |s, ctx| s.meet(ctx, addr));
                }
            }
            Duty::Forget(id) => drop(self.with_server(node, |s, ctx| s.forget(ctx.now, Id::of(&id)))),
            Duty::Replicate(id) => drop(self.with_server(node, |s, ctx| s.replicate(ctx, Id::of(&id)))),
            Duty::Reset => {
                if self.with_server(node, super::server::Server::reset_hard) == Some(Ok(())) {
                    self.nodes[node].disk.data = None;
                    self.nodes[node].streamed = 0;
                }
            }
            Duty::SetAside { reason } => self.set_aside(node, &reason),
            Duty::EndFounding => {
                self.write_ledger(node, |ledger| ledger.founded = true);
                let timeout = self.node_timeout;
                self.with_server(node, |s, _| s.node_timeout = timeout);
            }
            Duty::CloseImport { slot, owner } => self.close_import(node, slot, &owner),
            Duty::CloseExport { slot } => drop(self.with_server(node, |s, _| s.set_stable(&one(slot)))),
            Duty::DropDoubles { slots, owner } => self.drop_doubles(node, &slots, &owner),
            Duty::ClearOpenSlots => self.write_ledger(node, |ledger| ledger.open_slots = None),
            Duty::Retire => self.retire(node),
            // No server of the model starts primed.
            Duty::Send(_) | Duty::HandOff { .. } | Duty::Unprime(_) => {}
        }
    }

    fn claim(&mut self, node: usize, slots: &SlotSet, bump: bool) {
        let name = self.name(node).clone();
        let claimed = self.with_server(node, |server, ctx| {
            let done = server.add_slots(ctx.now, slots).is_ok();
            if done && bump {
                server.bump_epoch();
            }
            done
        });
        if claimed == Some(true) {
            self.say(|| format!("{name}: claims {slots}"));
        }
    }

    fn set_aside(&mut self, node: usize, reason: &str) {
        let name = self.name(node).clone();
        self.say(|| format!("{name}: data is set aside: {reason}"));
        let Some(server) = &self.nodes[node].server else { return };
        let data = server.data.clone();
        self.stop_server(node);
        self.nodes[node].disk.data = None;
        self.nodes[node].disk.aside.push(data.clone());
        self.check_wipe(node, &data, "the agent moved them aside");
    }

    fn retire(&mut self, node: usize) {
        let name = self.name(node).clone();
        self.say(|| format!("{name}: retires"));
        let data = self.nodes[node].server.as_ref().map(|s| s.data.clone()).unwrap_or_default();
        self.stop_server(node);
        self.write_ledger(node, |ledger| ledger.retired = true);
        (self.nodes[node].disk.conf, self.nodes[node].disk.data) = (None, None);
        self.check_wipe(node, &data, "the member retired");
    }

    fn tend_gate(&mut self, node: usize) {
        let Some(agent) = &self.nodes[node].agent else { return };
        let Some(started_at) = agent.gate else { return };
        let layout_confirmed = agent.layout_confirmed_at.is_some_and(|at| at >= started_at);
        let verdict =
            self.judge(node, |s| gate(&GateSituation { node: s, started_at: Millis(started_at), layout_confirmed }));
        if self.traced == Some(node) {
            let name = self.name(node).clone();
            let mine = self.nodes[node].server.as_ref().map(|s| s.me().slots.to_string());
            self.say(|| format!("{name}: gate {verdict:?} for {mine:?}"));
        }
        match verdict {
            Some(Gate::Open) => {
                if let Some(agent) = &mut self.nodes[node].agent {
                    agent.gate = None;
                }
                self.write_ledger(node, |ledger| ledger.gated = false);
                self.with_server(node, |s, _| s.paused_until = 0);
            }
            Some(Gate::Held { ask, .. }) => {
                self.with_server(node, |s, ctx| s.paused_until = ctx.now + super::start::PAUSE_FOR);
                self.ask(node, ask);
            }
            None => {}
        }
    }

    fn tend_notice(&mut self, node: usize) {
        let Some(death) = self.nodes[node].agent.as_ref().and_then(|agent| agent.inbox.death.clone()) else { return };
        match self.judge(node, |s| answer_notice(s, &death)) {
            Some(Step::Promote { how, reopen }) => self.promote(node, how, reopen, "certificate"),
            Some(Step::Ask(names)) => self.ask(node, names),
            Some(Step::RaiseEpoch) => {
                self.with_server(node, |server, _| server.bump_epoch());
                self.wake(node, 30);
            }
            Some(Step::Answer(Outcome::Done { .. } | Outcome::Refused { .. })) => {
                if let Some(agent) = &mut self.nodes[node].agent {
                    (agent.inbox.death, agent.inbox.forced_at) = (None, None);
                }
            }
            Some(Step::Answer(Outcome::Pending { .. })) => self.wake(node, 30),
            Some(Step::Rest) | None => {}
        }
    }

    fn tend_election(&mut self, node: usize) {
        match self.judge(node, election) {
            Some(Step::Promote { how, reopen }) => {
                self.excuse_silent_primary(node);
                self.promote(node, how, reopen, "no certificate");
            }
            Some(Step::Ask(names)) => self.ask(node, names),
            Some(Step::Rest | Step::RaiseEpoch | Step::Answer(_)) | None => {}
        }
    }

    /// Without a certificate, a whole node that is down may have had more: that choice is documented.
    fn excuse_silent_primary(&mut self, node: usize) {
        let Some(dead) = self.nodes[node].server.as_ref().and_then(super::server::Server::primary) else { return };
        let silent =
            self.nodes.iter().find(|n| n.disk.conf.as_ref().is_some_and(|c| c.id == dead) && n.agent.is_none());
        if let Some(data) = silent.and_then(|n| n.disk.data.clone()) {
            self.excuse_difference(&data, node);
        }
    }

    fn promote(&mut self, node: usize, how: Promotion, reopen: Vec<(Slot, NodeId)>, why: &str) {
        let now = self.now;
        let name = self.name(node).clone();
        let open = reopen.len();
        self.say(|| format!("{name}: {how:?} by its agent ({why}), {open} slots to open again"));
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.inbox.forced_at = Some(Millis(now));
            if !reopen.is_empty() {
                agent.reopen = Some((reopen, now + 5000));
            }
        }
        self.with_server(node, |server, ctx| {
            if open > 0 {
                server.paused_until = ctx.now + 5000;
            }
            match how {
                Promotion::Force => server.begin_manual(ctx, true),
                Promotion::Takeover => server.take_over(ctx),
            }
        });
        self.wake(node, 10);
    }

    /// A promoted server does not have the marks of its former primary: they are set before its writes flow.
    fn tend_reopening(&mut self, node: usize) {
        let Some((slots, until)) = self.nodes[node].agent.as_ref().and_then(|agent| agent.reopen.clone()) else {
            return;
        };
        let promoted = self.nodes[node].server.as_ref().is_some_and(super::server::Server::is_primary);
        if !promoted && self.now < until {
            self.wake(node, 10);
            return;
        }
        self.with_server(node, |server, _| {
            for (slot, target) in &slots {
                if promoted && server.owns(*slot) {
                    drop(server.set_migrating(&one(*slot), Id::of(target)));
                }
            }
            server.paused_until = 0;
        });
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.reopen = None;
        }
    }

    fn tend_former_life(&mut self, node: usize) {
        if self.mutation == Some(Mutation::NoFormerLife) {
            return;
        }
        let refused = self.nodes[node].agent.as_ref().map(|agent| agent.refused.clone()).unwrap_or_default();
        match self.judge(node, |s| former_life(s, &refused)) {
            Some(FormerLife::Ask(names)) => self.ask(node, names),
            Some(FormerLife::Certify(promise)) => {
                let by = self.name(node).clone();
                let started_at = self.nodes[node].server.as_ref().map_or(0, |s| s.started_at);
                let dead_for = Millis(self.now.saturating_sub(started_at));
                let notice = DeathNotice { by, dead: promise.dead.clone(), epoch: promise.epoch, dead_for };
                let mate = promise.chosen.clone();
                self.write_ledger(node, |ledger| ledger.promise = Some(promise));
                self.call(node, &mate, Body::Death(notice));
            }
            Some(FormerLife::Settled | FormerLife::NobodyLeft { .. }) | None => {}
        }
    }

    fn close_import(&mut self, node: usize, slot: Slot, owner: &redisnode_proto::NodeName) {
        let now = self.now;
        let recent = |at: &u64| now < at + IMPORT_GRACE;
        let imports = self.nodes[node].agent.as_ref().map(|agent| &agent.imports);
        if imports.and_then(|imports| imports.get(&slot)).is_some_and(recent) {
            return;
        }
        let Some(server) = &self.nodes[node].server else { return };
        if super::data::keys_in(&server.data, slot).next().is_none() {
            self.with_server(node, |s, _| s.set_stable(&one(slot)));
            return;
        }
        let request = redisnode_proto::message::ResumeRequest { target: server.id.node_id(), slots: vec![slot] };
        self.call(node, owner, Body::Resume(request));
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.imports.insert(slot, now);
        }
    }

    /// Whether the server is a primary that owns slots.
    pub(crate) fn holds_slots(&self, node: usize) -> bool {
        self.nodes[node].server.as_ref().is_some_and(|s| s.me().role == Role::Primary && !s.me().slots.is_empty())
    }
}

/// The set of one slot.
pub(crate) fn one(slot: Slot) -> SlotSet {
    std::iter::once(slot).collect()
}

/// Sends that belong to one target, for the moves.
pub(crate) type Sends = [SendTo];
