//! The shell of a modelled agent: observes its server, asks the real core what to do, and does it, a step at a time,
//! so that it can be interrupted anywhere. It decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rand::RngExt;
use redisnode_agent_core::{Answer, Inbox, Peers, Situation};
use redisnode_proto::event::Problem;
use redisnode_proto::ledger::Ledger;
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::report::{Report, ServerState};
use redisnode_proto::topology::Health;
use redisnode_proto::{DOCUMENT_VERSION, Layout, Millis, NodeId, NodeName, Slot};

use super::clock::Time;
use super::moves::Moves;
use super::receive::Receiving;
use super::world::{Event, World};

/// How often an agent looks while something is to be done, and while nothing is.
const BUSY: Time = 100;
const IDLE: Time = 800;
/// How long after the last change it stays busy.
const BUSY_FOR: Time = 1500;

/// A living agent's memory.
pub(crate) struct Agent {
    pub(crate) life: u64,
    /// What it said last; rebuilt at each look.
    pub(crate) report: Rc<Report>,
    pub(crate) peers: Peers,
    pub(crate) inbox: Inbox,
    /// Since when it is stopping its node.
    pub(crate) stopping: Option<Time>,
    pub(crate) failed_since: Option<Time>,
    /// The cluster had never been founded when this agent started.
    pub(crate) may_found: bool,
    /// The start check, while the server does not run.
    pub(crate) start: Option<Start>,
    /// Writes are held since this start of the server.
    pub(crate) gate: Option<Time>,
    pub(crate) layout_confirmed_at: Option<Time>,
    /// Who refused to take over for the former life of this node.
    pub(crate) refused: BTreeSet<NodeName>,
    /// Calls that have not been answered, by peer and kind.
    pub(crate) calls: BTreeSet<(NodeName, &'static str)>,
    pub(crate) moves: Moves,
    /// What the own server pulls.
    pub(crate) receiving: Option<Receiving>,
    /// What an earlier life of this agent has begun was ended.
    pub(crate) is_clean: bool,
    /// Slots to open again once the own server is promoted, and until when writes wait for that.
    pub(crate) reopen: Option<(Vec<(Slot, NodeId)>, Time)>,
    /// The manual failover that this agent was asked for: from whom, and until when.
    pub(crate) takeover: Option<(NodeId, Time)>,
    /// When slots were opened here for arrival, or their owner was asked to go on.
    pub(crate) imports: BTreeMap<Slot, Time>,
    /// When something was to be done last.
    pub(crate) busy_at: Time,
    /// A look is due at once.
    pub(crate) due: bool,
}

/// A start check that is going on.
pub(crate) struct Start {
    pub(crate) since: Time,
    pub(crate) refused: BTreeSet<NodeName>,
    pub(crate) refused_at: Option<Time>,
    pub(crate) reason: String,
}

impl World {
    /// Starts the agent of a node.
    pub(crate) fn start_agent(&mut self, node: usize) {
        let life = self.next_life();
        let member = self.nodes[node].member.clone();
        let cluster = self.cluster.clone();
        let address = self.nodes[node].addr.address();
        let knows = |node: &super::world::Node| node.disk.ledger.as_ref().is_some_and(|l| l.layout.is_some());
        let may_found = !self.nodes.iter().any(knows);
        let ledger = self.nodes[node].disk.ledger.get_or_insert_with(|| Ledger::new(cluster.clone(), member.clone()));
        // The agent before this one held writes, and did not come to know whether they may flow.
        let gate = ledger.gated.then_some(self.now);
        let report = Report {
            version: DOCUMENT_VERSION,
            life,
            revision: 0,
            looks: 0,
            agent_version: "sim".into(),
            cluster,
            member,
            address,
            server: ServerState::Waiting { reason: "just started".into() },
            disk: redisnode_proto::report::Disk::default(),
            ledger: ledger.clone(),
            stopping: false,
            restart_needed: Vec::new(),
            jobs: Vec::new(),
            problems: Vec::new(),
            events: Vec::new(),
        };
        self.nodes[node].agent = Some(Agent {
            life,
            report: Rc::new(report),
            peers: Peers::new(),
            inbox: Inbox::default(),
            stopping: None,
            failed_since: None,
            may_found,
            start: None,
            gate,
            layout_confirmed_at: None,
            refused: BTreeSet::new(),
            calls: BTreeSet::new(),
            moves: Moves::default(),
            receiving: None,
            is_clean: false,
            reopen: None,
            takeover: None,
            imports: BTreeMap::new(),
            busy_at: self.now,
            due: false,
        });
        self.observe(node);
        self.after(1, Event::Tick { node, life, regular: true });
    }

    /// Lets the agent look at once.
    pub(crate) fn wake(&mut self, node: usize, delay: Time) {
        let Some(agent) = self.nodes[node].agent.as_mut().filter(|agent| !agent.due) else { return };
        (agent.due, agent.busy_at) = (true, self.now);
        let life = agent.life;
        self.after(delay, Event::Tick { node, life, regular: false });
    }

    pub(crate) fn agent_tick(&mut self, node: usize, life: u64, regular: bool) {
        let Some(agent) = self.nodes[node].agent.as_mut().filter(|agent| agent.life == life) else { return };
        agent.due &= regular;
        let busy_at = agent.busy_at;
        if regular {
            let every = if self.now < busy_at + BUSY_FOR { BUSY } else { IDLE };
            let next = every + self.rng.random_range(0..60);
            self.after(next, Event::Tick { node, life, regular });
        }
        self.observe(node);
        if self.nodes[node].server.is_none() {
            self.start_step(node);
        } else {
            self.running_step(node);
        }
        if self.nodes[node].agent.is_some() {
            self.observe(node);
        }
    }

    /// Looks at server and folder, and writes down what the core wants remembered.
    pub(crate) fn observe(&mut self, node: usize) {
        let now = self.now;
        let Some(ledger) = self.nodes[node].disk.ledger.take() else { return };
        let place = &mut self.nodes[node];
        let Some(agent) = &mut place.agent else {
            place.disk.ledger = Some(ledger);
            return;
        };
        let mut ledger = ledger;
        let server = match &place.server {
            None if ledger.retired => ServerState::Retired,
            None => {
                let reason = agent.start.as_ref().map_or_else(|| "it has ended".to_owned(), |s| s.reason.clone());
                ServerState::Waiting { reason }
            }
            Some(server) if server.stopped => ServerState::Unknown { reason: "no answer".into() },
            Some(server) if server.is_loading(now) => ServerState::Loading,
            Some(server) => {
                let running = super::observe::running(server, now, ledger.synced_run.as_deref());
                ledger = redisnode_agent_core::remember::remember(&ledger, &running);
                let synced = ledger.synced_run.as_deref() == Some(running.run_id.as_str());
                ServerState::Running(Box::new(redisnode_proto::report::Running {
                    synced_since_start: synced,
                    ..running
                }))
            }
        };
        note_failed_primary(agent, &server, now);
        let mut report = Report {
            revision: agent.report.revision,
            looks: 0,
            address: place.addr.address(),
            disk: super::observe::disk(&place.disk, place.server.as_ref()),
            server,
            ledger: ledger.clone(),
            stopping: agent.stopping.is_some(),
            jobs: agent.moves.jobs(),
            problems: agent.moves.problems(),
            life: agent.life,
            version: DOCUMENT_VERSION,
            agent_version: String::new(),
            cluster: agent.report.cluster.clone(),
            member: agent.report.member.clone(),
            restart_needed: Vec::new(),
            events: Vec::new(),
        };
        if report != *agent.report {
            report.revision += 1;
            agent.report = Rc::new(report);
        }
        place.disk.ledger = Some(ledger);
    }

    /// Asks the core something about what was observed last.
    pub(crate) fn judge<R>(&self, node: usize, question: impl FnOnce(&Situation<'_>) -> R) -> Option<R> {
        let place = &self.nodes[node];
        let agent = place.agent.as_ref()?;
        let jobs: Vec<NodeName> = agent.moves.targets();
        let server = place.server.as_ref();
        let situation = Situation {
            now: Millis(self.now),
            me: &place.member,
            ledger: place.disk.ledger.as_ref()?,
            server: &agent.report.server,
            peers: &agent.peers,
            inbox: &agent.inbox,
            jobs: &jobs,
            stopping: agent.stopping.is_some(),
            primary_failed_since: agent.failed_since.map(Millis),
            node_timeout: server.map(|s| Millis(s.node_timeout)),
            no_failover: server.map(|s| s.no_failover),
            marks_survive: self.flavor.marks_survive,
        };
        Some(question(&situation))
    }

    /// Changes the ledger on disk.
    pub(crate) fn write_ledger(&mut self, node: usize, change: impl FnOnce(&mut Ledger)) {
        if let Some(ledger) = &mut self.nodes[node].disk.ledger {
            change(ledger);
        }
    }

    /// A Layout reaches an agent, from a coordinator or from another agent.
    pub(crate) fn offer_layout(&mut self, node: usize, layout: &Layout, by_coordinator: bool) -> Option<LayoutAnswer> {
        let mutation = self.mutation;
        let place = &mut self.nodes[node];
        let (agent, ledger) = (place.agent.as_mut()?, place.disk.ledger.as_mut()?);
        let answer = super::mutation::obey(mutation, ledger, layout);
        if answer == LayoutAnswer::Taken {
            if by_coordinator {
                agent.layout_confirmed_at = Some(self.now);
            }
            if ledger.layout.as_ref().map(|held| held.generation) != Some(layout.generation) {
                ledger.layout = Some(layout.clone());
                let (member, generation) = (place.member.clone(), layout.generation);
                self.oracle.obeys(&member, generation);
                self.wake(node, 1);
            }
        }
        Some(answer)
    }

    /// Takes note of what a peer said, and of a newer Layout it may know.
    pub(crate) fn hear(&mut self, node: usize, name: &NodeName, said: Option<&Rc<Report>>) {
        let now = Millis(self.now);
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let answer = match (said, agent.peers.get(name).map(|peer| &peer.answer)) {
            (Some(report), _) => Answer::Heard { report: Box::new((**report).clone()), at: now },
            (None, Some(Answer::Silent { since })) => Answer::Silent { since: *since },
            (None, _) => Answer::Silent { since: now },
        };
        agent.peers.insert(name.clone(), redisnode_agent_core::Peer { answer });
        let newer = said.and_then(|report| report.ledger.layout.as_ref()).filter(|layout| {
            let held = self.nodes[node].disk.ledger.as_ref().and_then(|l| l.layout.as_ref());
            held.is_none_or(|held| held.generation < layout.generation)
        });
        if let Some(layout) = newer.cloned() {
            self.offer_layout(node, &layout, false);
        }
    }
}

fn note_failed_primary(agent: &mut Agent, server: &ServerState, now: Time) {
    let failed = server.running().is_some_and(|running| {
        let primary = running.view.myself().and_then(|me| me.primary.as_ref());
        primary.and_then(|id| running.view.node(id)).is_some_and(|node| node.health == Health::Failed)
    });
    agent.failed_since = failed.then(|| agent.failed_since.unwrap_or(now));
}

impl Moves {
    /// What stands still and must be said.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.stopped()
            .into_iter()
            .map(|(slot, why)| Problem::new("SlotStopped", format!("slot {slot}: {why}")))
            .collect()
    }
}
