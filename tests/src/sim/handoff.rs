//! Planned changes of primary and ordered stops, as the shell does them: close open slots first, then one replica's
//! server is told to fail over in order.

use redisnode_agent_core::Answer;
use redisnode_proto::judge::{Candidate, best_replica};
use redisnode_proto::ledger::CleanStop;
use redisnode_proto::message::Outcome;
use redisnode_proto::{NodeId, NodeName, Offset};

use super::call::Body;
use super::clock::Time;
use super::disk::{Conf, Keeping};
use super::ids::Id;
use super::world::World;

/// How long an agent that stops tries to hand off.
const STOP_WITHIN: Time = 12_000;
/// How long a mate's word about its stopping counts.
const FRESH: Time = 1500;

impl World {
    pub(crate) fn hand_off(&mut self, node: usize, to: Option<NodeName>) {
        let open = self.nodes[node].server.as_ref().is_none_or(|s| !s.open.is_empty());
        let moves = self.nodes[node].agent.as_ref().is_some_and(|agent| agent.moves.has_pieces());
        if open || moves {
            return;
        }
        let Some(to) = to.or_else(|| self.best_mate(node)) else { return };
        let Some(server) = &self.nodes[node].server else { return };
        let from = server.id.node_id();
        self.call(node, &to, Body::Takeover { from });
    }

    /// Replicas of this primary that could take over, by the fresh word of their agents; asks those that are not fresh.
    fn best_mate(&mut self, node: usize) -> Option<NodeName> {
        let mates: Vec<NodeName> =
            self.judge(node, |s| s.mates().into_iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let now = self.now;
        let agent = self.nodes[node].agent.as_ref()?;
        let me = self.nodes[node].server.as_ref()?.id.node_id();
        let mut stale = Vec::new();
        let mut fit = Vec::new();
        for name in mates {
            match agent.peers.get(&name).map(|peer| &peer.answer) {
                Some(Answer::Heard { report, at }) if now <= at.0 + FRESH => {
                    let running = report.server.running().filter(|running| {
                        redisnode_proto::judge::is_linked(running)
                            && running.view.myself().is_some_and(|line| line.primary.as_ref() == Some(&me))
                    });
                    if let (Some(running), false) = (running, report.stopping) {
                        fit.push(Candidate { name, offset: running.replication.offset, synced: true });
                    }
                }
                _ => stale.push(name),
            }
        }
        let none = stale.is_empty();
        self.ask(node, stale);
        best_replica(fit).map(|best| best.name).filter(|_| none)
    }

    /// At the replica: fail over in order, once, and say how it ended.
    pub(crate) fn take_handoff(&mut self, node: usize, from: &NodeId) -> Outcome {
        let now = self.now;
        let name = self.name(node).clone();
        let refuse = |reason: &str| Outcome::Refused { reason: reason.to_owned() };
        let Some(server) = &self.nodes[node].server else { return refuse("its server does not run") };
        let (id, primary, is_primary) = (server.id, server.primary(), server.is_primary());
        if is_primary && self.holds_slots(node) {
            return Outcome::Done { primary: id.node_id(), name };
        }
        let Some(agent) = &mut self.nodes[node].agent else { return refuse("it is gone") };
        if agent.stopping.is_some() {
            return refuse("it is stopping");
        }
        if primary != Some(Id::of(from)) {
            return refuse("it follows another primary");
        }
        if agent.takeover.as_ref().is_some_and(|(known, until)| known == from && now < *until) {
            return Outcome::Pending { reason: "the servers are at it".into() };
        }
        agent.takeover = Some((from.clone(), now + 5200));
        match self.with_server(node, |server, ctx| server.begin_manual(ctx, false)) {
            Some(Ok(())) => Outcome::Pending { reason: "the servers are at it".into() },
            Some(Err(reason)) => refuse(&reason),
            None => refuse("its server does not run"),
        }
    }

    pub(crate) fn handoff_answered(&mut self, node: usize, by: &NodeName, outcome: &Outcome) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        match outcome {
            Outcome::Done { .. } => agent.inbox.handoff = None,
            Outcome::Refused { .. } => self.ask(node, vec![by.clone()]),
            Outcome::Pending { .. } => self.wake(node, 20),
        }
    }

    /// An agent that stops its node: hands off if it can, lets replicas catch up, then ends the server in order.
    pub(crate) fn tend_stop(&mut self, node: usize) {
        let Some(since) = self.nodes[node].agent.as_ref().and_then(|agent| agent.stopping) else { return };
        let late = self.now > since + STOP_WITHIN;
        let alone = self.judge(node, |s| {
            s.mates().iter().all(|name| match s.peers.get(*name).map(|p| &p.answer) {
                Some(Answer::Heard { report, .. }) => report.stopping || report.server.running().is_none(),
                Some(Answer::Silent { .. }) => true,
                Some(Answer::NeverAsked) | None => false,
            })
        });
        let moves = self.nodes[node].agent.as_ref().is_some_and(|agent| agent.moves.has_pieces());
        if self.holds_slots(node) && !late && (moves || alone != Some(true)) {
            let mates: Vec<NodeName> =
                self.judge(node, |s| s.mates().into_iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
            self.ask(node, mates);
            if let Some(agent) = &mut self.nodes[node].agent {
                agent.inbox.handoff = Some(None);
            }
            return;
        }
        let waits = self.with_server(node, |server, ctx| {
            server.handoff_pause_until = server.handoff_pause_until.max(ctx.now + 1000);
            server.is_primary() && server.attached.values().any(|(_, acked)| *acked < server.offset)
        });
        if waits == Some(true) && !late {
            self.wake(node, 10);
            return;
        }
        let name = self.name(node).clone();
        self.say(|| format!("{name}: stops in order"));
        self.stop_server(node);
        self.kill_agent(node);
    }

    /// An ordered exit of the server: what it kept is on disk, and the ledger says where it ended.
    pub(crate) fn stop_server(&mut self, node: usize) {
        let Some(server) = self.nodes[node].server.take() else { return };
        self.hang_up(node, server.id);
        let stop = CleanStop {
            offset: Offset(server.offset),
            replication_id: format!("{:040x}", server.history.id),
            role: server.me().role,
        };
        self.write_ledger(node, |ledger| ledger.clean_stop = Some(stop));
        let place = &mut self.nodes[node];
        place.disk.conf = Some(Conf::of(&server));
        place.disk.data = match self.keeping {
            Keeping::Nothing => None,
            Keeping::Everything | Keeping::OldDumps => Some(server.data),
        };
        self.excuse_vanished();
    }
}
