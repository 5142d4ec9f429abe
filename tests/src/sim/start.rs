//! The shell of the start check: it runs until the server may start, a call or an answer at a time.

use std::collections::BTreeSet;

use rand::RngExt;
use redisnode_agent_core::{Answer, Row, StartAct, StartSituation, StartVerdict, start_check};
use redisnode_proto::ledger::Promise;
use redisnode_proto::message::{DeathNotice, Outcome};
use redisnode_proto::report::Disk;
use redisnode_proto::{Millis, NodeId, NodeName};

use super::agent::Start;
use super::call::Body;
use super::disk::Birth;
use super::ids::Addr;
use super::mutation::Mutation;
use super::world::{Event, World};

/// How long a refusal counts before the same mate may be asked again.
const REFUSAL_LASTS: u64 = 2000;
/// What a held server's pause is set to; it is set again at each look.
pub(crate) const PAUSE_FOR: u64 = 2500;

impl World {
    pub(crate) fn start_step(&mut self, node: usize) {
        let now = self.now;
        let disk = self.nodes[node].agent.as_ref().map(|agent| agent.report.disk.clone()).unwrap_or_default();
        let place = &mut self.nodes[node];
        let (Some(agent), Some(ledger)) = (&mut place.agent, &place.disk.ledger) else { return };
        if agent.stopping.is_some() {
            place.agent = None;
            return;
        }
        agent.gate = None;
        agent.moves = super::moves::Moves::default();
        agent.receiving = None;
        (agent.reopen, agent.takeover) = (None, None);
        (agent.inbox.death, agent.inbox.forced_at) = (None, None);
        let fresh = || Start { since: now, refused: BTreeSet::new(), refused_at: None, reason: "asking".into() };
        let start = agent.start.get_or_insert_with(fresh);
        if start.refused_at.is_some_and(|at| now >= at + REFUSAL_LASTS) {
            (start.refused_at, start.refused) = (None, BTreeSet::new());
        }
        let verdict = start_check(&StartSituation {
            now: Millis(now),
            since: Millis(start.since),
            me: &place.member,
            ledger,
            disk: &disk,
            may_found: agent.may_found,
            peers: &agent.peers,
            refused: &start.refused,
        });
        let verdict = super::mutation::start(self.mutation, disk.identity.is_some(), verdict);
        let rests = matches!(verdict.act, StartAct::Ask(_) | StartAct::Wait { .. } | StartAct::Never);
        if !rests || self.traced == Some(node) {
            let (name, row, act) = (self.name(node).clone(), verdict.row, &verdict.act);
            self.oracle.log(now, || format!("{name}: start check, row {row:?}: {act:?}"));
        }
        self.do_start(node, disk, verdict);
    }

    fn do_start(&mut self, node: usize, disk: Disk, verdict: StartVerdict) {
        let deposed = verdict.is_deposed();
        match verdict.act {
            StartAct::Start { gated, aside, lost } => {
                if aside {
                    let data = self.nodes[node].disk.data.take();
                    self.oracle.excuse(data.iter().flat_map(|data| data.values()));
                    self.nodes[node].disk.aside.extend(data);
                }
                let open = disk.identity.map(|identity| identity.open);
                self.write_ledger(node, |ledger| {
                    ledger.open_at_start = open;
                    ledger.clean_stop = None;
                    ledger.synced_run = None;
                    (ledger.gated, ledger.deposed) = (gated, deposed);
                    if lost.is_some() {
                        ledger.data_lost = lost;
                    }
                });
                let silent = self.silent_followers(node);
                self.start_server(node, gated);
                if verdict.row == Row::ColdStart {
                    self.excuse_silent(node, &silent);
                }
            }
            StartAct::Promote { mate, mate_id, dead, epoch } => {
                self.send_notice(node, Promise { dead, epoch, chosen: mate, chosen_id: mate_id });
            }
            StartAct::Ask(names) => self.ask(node, names),
            StartAct::Wait { reason, ask } => {
                if let Some(start) = self.nodes[node].agent.as_mut().and_then(|a| a.start.as_mut()) {
                    start.reason = reason;
                }
                self.ask(node, ask);
            }
            StartAct::Never => {}
        }
    }

    /// Servers that follow the one that is down, and that have not answered since the check began: they or their agents.
    fn silent_followers(&self, node: usize) -> Vec<usize> {
        let place = &self.nodes[node];
        let (Some(agent), Some(conf)) = (&place.agent, &place.disk.conf) else { return Vec::new() };
        let since = Millis(agent.start.as_ref().map_or(self.now, |start| start.since));
        let heard = |name: &NodeName| agent.peers.get(name).is_some_and(|peer| peer.heard_since(since).is_some());
        let follows = |other: &super::world::Node| other.server.as_ref().is_some_and(|s| s.primary() == Some(conf.id));
        let all = self.nodes.iter().enumerate();
        let answers = |other: &super::world::Node| {
            heard(&other.member.name) && other.server.as_ref().is_some_and(|server| !server.stopped)
        };
        all.filter(|(_, other)| follows(other) && !answers(other)).map(|(index, _)| index).collect()
    }

    /// A start on what the disk has waits only three seconds for a mate that does not answer: that choice is documented.
    fn excuse_silent(&mut self, node: usize, silent: &[usize]) {
        for other in silent {
            let data = self.nodes[*other].server.as_ref().map(|server| server.data.clone());
            self.excuse_difference(&data.unwrap_or_default(), node);
        }
    }

    /// The promise first, then the notice.
    fn send_notice(&mut self, node: usize, promise: Promise) {
        let by = self.name(node).clone();
        let since = self.nodes[node].agent.as_ref().and_then(|a| a.start.as_ref()).map_or(self.now, |s| s.since);
        let dead_for = Millis(self.now - since);
        let notice = DeathNotice { by, dead: promise.dead.clone(), epoch: promise.epoch, dead_for };
        let mate = promise.chosen.clone();
        if self.mutation != Some(Mutation::NoPromise) {
            self.write_ledger(node, |ledger| ledger.promise = Some(promise));
        }
        self.call(node, &mate, Body::Death(notice));
    }

    /// A death notice of the start check, or of a former life, was answered.
    pub(crate) fn notice_answered(&mut self, node: usize, mate: &NodeName, outcome: Option<&Outcome>) {
        let (name, log) = (self.name(node).clone(), format!("{outcome:?}"));
        self.say(|| format!("{name}: {mate} answers the death notice: {log}"));
        let Some(agent) = &mut self.nodes[node].agent else { return };
        match outcome {
            Some(Outcome::Refused { .. }) => {
                if let Some(start) = &mut agent.start {
                    start.refused.insert(mate.clone());
                    start.refused_at = Some(self.now);
                } else {
                    agent.refused.insert(mate.clone());
                }
            }
            // Who owns the slots now is asked, not believed.
            Some(Outcome::Done { .. }) => {
                self.ask(node, vec![mate.clone()]);
                return;
            }
            Some(Outcome::Pending { .. }) | None => {}
        }
        self.wake(node, 20);
    }

    /// Starts the server, with addresses in its nodes.conf brought up to date as far as agents have proved them.
    pub(crate) fn start_server(&mut self, node: usize, gated: bool) {
        let proved: Vec<(NodeId, Addr)> =
            self.nodes[node].agent.iter().flat_map(|agent| agent.peers.values()).filter_map(proof).collect();
        let run = self.next_life();
        let loading_for = if self.rough { self.rng.random_range(0..300) } else { 5 };
        let place = &mut self.nodes[node];
        if let Some(conf) = &mut place.disk.conf {
            for (id, addr) in proved {
                if let Some(peer) = conf.table.values_mut().find(|peer| peer.node_id == id) {
                    peer.addr = Some(addr);
                }
            }
        }
        let birth = Birth {
            now: self.now,
            run,
            addr: place.addr,
            flavor: self.flavor,
            node_timeout: self.node_timeout,
            loading_for,
        };
        let mut notes = Vec::new();
        let mut server = super::disk::start(&place.disk, &birth, &mut self.rng, &mut notes);
        if gated {
            server.paused_until = self.now + PAUSE_FOR;
        }
        let (empty, started_at) = (server.started_empty, server.started_at);
        let id = server.id;
        place.server = Some(server);
        place.streamed = 0;
        place.link_clock = 0;
        if let Some(agent) = &mut place.agent {
            agent.start = None;
            agent.gate = gated.then_some(started_at);
            agent.refused.clear();
        }
        self.write_ledger(node, |ledger| ledger.started_empty = empty);
        let (name, keys) = (self.name(node).clone(), self.nodes[node].server.as_ref().map_or(0, |s| s.data.len()));
        self.say(|| format!("{name}: server {id} starts with {keys} keys, gated: {gated}"));
        for note in notes {
            if let super::server::Note::Dropped { before, why } = note {
                self.check_wipe(node, &before, why);
            }
        }
        self.after(loading_for + 1, Event::Cron { node, run });
        self.wake(node, loading_for + 2);
    }
}

/// The id and address that a peer's agent has proved.
fn proof(peer: &redisnode_agent_core::Peer) -> Option<(NodeId, Addr)> {
    let Answer::Heard { report, .. } = &peer.answer else { return None };
    let id = report.disk.identity.as_ref()?.id.clone();
    Some((id, Addr::of(report.address.ip)?))
}
