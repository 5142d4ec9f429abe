//! A tiny world: members with servers that share one bus, on which news is everywhere at once. It knows nothing of
//! planning.

use std::collections::{BTreeMap, BTreeSet};

use redisnode_proto::event::{Event, Problem};
use redisnode_proto::report::ServerState;
use redisnode_proto::spec::{Balance, ClusterSpec, ContainerMemory, Moves};
use redisnode_proto::topology::{Product, Role, ServerVersion, View};
use redisnode_proto::{Address, ClusterId, Layout, Member, Millis, NodeId, NodeName, SlotSet};

use crate::{Heard, MachineMember, Plan, Presence, World, plan};

/// Random numbers from a seed (xorshift), so that a failing world replays.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }
}

/// A member of the tiny world.
#[derive(Clone, Debug)]
pub(super) struct Sim {
    pub(super) machine: MachineMember,
    /// Its agent answers the coordinator.
    pub(super) speaks: bool,
    /// Its server runs.
    pub(super) up: bool,
    pub(super) id: Option<NodeId>,
    pub(super) role: Role,
    pub(super) follows: Option<NodeId>,
    pub(super) synced: bool,
    /// Linked, and without what was written while it synced.
    pub(super) catching_up: bool,
    pub(super) has_data: bool,
    pub(super) slots: SlotSet,
    pub(super) epoch: u64,
    pub(super) layout: Option<Layout>,
    pub(super) founded: bool,
    pub(super) retired: bool,
    pub(super) data_lost: Option<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) events: Vec<Event>,
    pub(super) restart_needed: bool,
    pub(super) version: ServerVersion,
    /// A memory limit of its own, in place of [`Memory::limit`].
    pub(super) limit: Option<u64>,
}

/// What servers say of their memory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// What each slot holds.
    pub(super) a_slot: u64,
    /// What an empty server uses.
    pub(super) beside: u64,
    pub(super) backlog_growth: u64,
    /// `maxmemory`; 0 = none.
    pub(super) limit: u64,
}

/// What agents tell of the weights of slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighs {
    /// Of each slot; empty while nobody weighs.
    pub(super) slots: Vec<u64>,
    pub(super) by: Balance,
    pub(super) for_s: u32,
    /// Why servers cannot be weighed.
    pub(super) unable: Option<String>,
    /// One of whose slots nothing is known.
    pub(super) silent: Option<NodeName>,
}

/// A line of the node table that all servers share.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) role: Role,
    pub(super) follows: Option<NodeId>,
    pub(super) slots: SlotSet,
    pub(super) epoch: u64,
    pub(super) alive: bool,
}

/// The tiny world, and the coordinator's shell in it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) spec: ClusterSpec,
    pub(super) cluster: ClusterId,
    pub(super) paused: bool,
    pub(super) moves_allowed: Moves,
    pub(super) term: u64,
    pub(super) published: Option<Layout>,
    pub(super) now: Millis,
    pub(super) nodes: BTreeMap<NodeName, Sim>,
    pub(super) table: BTreeMap<NodeId, Line>,
    pub(super) heard: BTreeMap<NodeName, Heard>,
    pub(super) hosts: u64,
    pub(super) zones: u64,
    pub(super) memory: Memory,
    /// What servers run that are started from now on.
    pub(super) newest: ServerVersion,
    pub(super) weighs: Weighs,
    pub(super) counter: u64,
    /// How often each slot has changed its owner by a move.
    pub(super) moves: Vec<u32>,
    pub(super) events: Vec<String>,
}

pub(super) fn spec(shards: u32, replicas: u32) -> ClusterSpec {
    ClusterSpec { number_of_master: shards, replication_factor: replicas, ..ClusterSpec::default() }
}

pub(super) fn name(ordinal: u32) -> NodeName {
    NodeName::of("demo", ordinal).unwrap()
}

pub(super) fn version(minor: u16) -> ServerVersion {
    ServerVersion { product: Product::Valkey, major: 9, minor, patch: 0 }
}

impl Model {
    /// A machine that runs nothing yet.
    pub(super) fn new(spec: ClusterSpec) -> Self {
        let members = spec.members();
        let mut model = Self {
            spec,
            cluster: "cluster-a".parse().unwrap(),
            paused: false,
            moves_allowed: Moves::GoOn,
            term: 1,
            published: None,
            now: Millis(10_000),
            nodes: BTreeMap::new(),
            table: BTreeMap::new(),
            heard: BTreeMap::new(),
            hosts: 0,
            zones: 0,
            memory: Memory::default(),
            newest: version(1),
            weighs: Weighs::default(),
            counter: 0,
            moves: vec![0; 16384],
            events: Vec::new(),
        };
        model.run_ordinals(members);
        model
    }

    pub(super) fn fresh_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn fresh_id(&mut self) -> NodeId {
        format!("{:040x}", self.fresh_number()).parse().unwrap()
    }

    /// The machine starts what is missing below `members`.
    pub(super) fn run_ordinals(&mut self, members: u32) {
        for ordinal in 0..members {
            let name = name(ordinal);
            if !self.nodes.contains_key(&name) {
                let sim = self.newborn(&name, ordinal);
                self.nodes.insert(name, sim);
            }
        }
    }

    pub(super) fn newborn(&mut self, name: &NodeName, ordinal: u32) -> Sim {
        let label = |kind: &str, count: u64| (count > 0).then(|| format!("{kind}-{}", u64::from(ordinal) % count));
        let port = 7000 + u16::try_from(ordinal).unwrap();
        let (host, zone) = (label("host", self.hosts), label("zone", self.zones));
        let uid = format!("uid-{}", self.fresh_number()).parse().unwrap();
        Sim {
            machine: MachineMember {
                member: Member { name: name.clone(), uid },
                address: Address { ip: [127, 0, 0, 1].into(), port, bus_port: port + 10_000, http_port: port + 1000 },
                host,
                zone,
                presence: Presence::Present,
                outdated: false,
                unborn: false,
                memory: ContainerMemory::default(),
            },
            speaks: true,
            up: true,
            id: Some(self.fresh_id()),
            role: Role::Primary,
            follows: None,
            synced: false,
            catching_up: false,
            has_data: false,
            slots: SlotSet::new(),
            epoch: 0,
            layout: None,
            founded: false,
            retired: false,
            data_lost: None,
            problems: Vec::new(),
            events: Vec::new(),
            restart_needed: false,
            version: self.newest,
            limit: None,
        }
    }

    /// What the shell hears and what the planner answers to it.
    pub(super) fn plan(&mut self) -> Plan {
        self.hear();
        self.plan_from_heard()
    }

    /// The same, where the server of `ordinal` does not know the one of `hidden` yet.
    pub(super) fn plan_without_line(&mut self, ordinal: u32, hidden: u32) -> Plan {
        self.hear();
        let hidden = self.sim(hidden).id.clone().unwrap();
        let heard = self.heard.get_mut(&name(ordinal)).unwrap();
        if let ServerState::Running(running) = &mut heard.report.server {
            running.view.nodes.retain(|line| line.id != hidden);
        }
        self.plan_from_heard()
    }

    pub(super) fn hear(&mut self) {
        for (name, sim) in &self.nodes {
            if sim.speaks && sim.machine.presence == Presence::Present {
                let report = self.report(sim);
                self.heard.insert(name.clone(), Heard { report, at: self.now });
            }
        }
    }

    pub(super) fn plan_from_heard(&self) -> Plan {
        let machine: Vec<MachineMember> = self.nodes.values().map(|sim| sim.machine.clone()).collect();
        plan(&World {
            paused: self.paused,
            moves: self.moves_allowed,
            now: self.now,
            name: "demo",
            cluster: &self.cluster,
            spec: &self.spec,
            spec_generation: Some(1),
            term: self.term,
            published: self.published.as_ref(),
            machine: &machine,
            heard: &self.heard,
        })
    }

    /// What was last heard of a server's node table.
    pub(super) fn view_of(&mut self, name: &NodeName) -> &mut View {
        match &mut self.heard.get_mut(name).unwrap().report.server {
            ServerState::Running(running) => &mut running.view,
            _ => panic!("{name} does not run"),
        }
    }

    /// Names of members whose server has `id`.
    pub(super) fn name_of(&self, id: &NodeId) -> Option<NodeName> {
        self.nodes.iter().find(|(_, sim)| sim.id.as_ref() == Some(id)).map(|(name, _)| name.clone())
    }

    /// Slots that somebody owns, dead or alive.
    pub(super) fn covered(&self) -> SlotSet {
        self.table.values().fold(SlotSet::new(), |all, line| all.union(&line.slots))
    }

    /// Members that own slots.
    pub(super) fn primaries(&self) -> BTreeSet<NodeName> {
        self.nodes.iter().filter(|(_, sim)| !sim.slots.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn sim(&mut self, ordinal: u32) -> &mut Sim {
        self.nodes.get_mut(&name(ordinal)).unwrap()
    }
}

impl Sim {
    pub(super) fn line(&self) -> Line {
        Line {
            role: self.role,
            follows: self.follows.clone(),
            slots: self.slots.clone(),
            epoch: self.epoch,
            alive: self.up && self.machine.presence == Presence::Present,
        }
    }
}
