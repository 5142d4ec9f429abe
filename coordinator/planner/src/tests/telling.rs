//! What the agents of the tiny world tell of their servers.

use redisnode_proto::ledger::Ledger;
use redisnode_proto::report::{Disk, DiskIdentity, Replication, Report, Running, ServerState};
use redisnode_proto::topology::{Health, Role, View, ViewNode};
use redisnode_proto::weights::{Run, Weighed, Weights};
use redisnode_proto::{ConfigEpoch, DOCUMENT_VERSION, NodeId, Offset, Slot, SlotSet};

use super::model::{Line, Model, Sim, Weighs};

impl Model {
    pub(super) fn report(&self, sim: &Sim) -> Report {
        let member = sim.machine.member.clone();
        let mut ledger = Ledger::new(self.cluster.clone(), member.clone());
        ledger.layout.clone_from(&sim.layout);
        ledger.founded = sim.founded;
        ledger.retired = sim.retired;
        ledger.data_lost.clone_from(&sim.data_lost);
        Report {
            version: DOCUMENT_VERSION,
            life: 1,
            revision: 1,
            looks: 1,
            agent_version: "0".to_owned(),
            cluster: self.cluster.clone(),
            member,
            address: sim.machine.address.clone(),
            server: self.server(sim),
            disk: disk(sim),
            ledger,
            stopping: false,
            restart_needed: if sim.restart_needed { vec!["maxmemory".to_owned()] } else { Vec::new() },
            jobs: Vec::new(),
            problems: sim.problems.clone(),
            events: sim.events.clone(),
        }
    }

    fn server(&self, sim: &Sim) -> ServerState {
        match (&sim.id, sim.retired, sim.up) {
            (_, true, _) => ServerState::Retired,
            (Some(id), false, true) => ServerState::Running(Box::new(self.running(sim, id))),
            _ => ServerState::Dead { reason: "it was killed".to_owned() },
        }
    }

    fn running(&self, sim: &Sim, id: &NodeId) -> Running {
        let lines: Vec<ViewNode> = if self.table.contains_key(id) {
            self.table.iter().map(|(id, line)| view_node(id, line)).collect()
        } else {
            vec![view_node(id, &sim.line())]
        };
        Running {
            version: sim.version,
            run_id: "run".to_owned(),
            view: View {
                me: id.clone(),
                nodes: lines,
                open: Vec::new(),
                state_ok: true,
                current_epoch: ConfigEpoch(self.table.values().map(|line| line.epoch).max().unwrap_or(0)),
            },
            replication: Replication {
                role: sim.role,
                offset: Offset(1),
                replication_id: "r".to_owned(),
                replication_id2: None,
                shared_until: None,
                link_up: sim.role == Role::Replica && sim.synced,
                syncing: sim.role == Role::Replica && !sim.synced,
                catching_up: sim.catching_up,
                silent_for_s: None,
                replicas: Vec::new(),
            },
            keys: u64::from(!sim.slots.is_empty() || (sim.role == Role::Replica && sim.synced)),
            strays: SlotSet::new(),
            used_memory: self.memory.beside + self.data(sim),
            max_memory: sim.limit.unwrap_or(self.memory.limit),
            data_memory: Some(self.data(sim)),
            backlog_growth: Some(self.memory.backlog_growth),
            started_empty: false,
            synced_since_start: sim.synced,
            writes_paused: false,
            weighed: self.weighs.of(sim),
            primed: false,
        }
    }

    /// What `sim` holds, as a primary or of its primary.
    fn data(&self, sim: &Sim) -> u64 {
        let of_primary = || self.table.get(sim.follows.as_ref()?).map(|line| line.slots.len());
        let slots = if sim.role == Role::Replica { of_primary().unwrap_or(0) } else { sim.slots.len() };
        u64::from(slots) * self.memory.a_slot
    }
}

impl Weighs {
    fn of(&self, sim: &Sim) -> Option<Weighed> {
        if sim.role != Role::Primary || self.silent.as_ref() == Some(&sim.machine.member.name) {
            return None;
        }
        let by = self.by;
        if let Some(reason) = &self.unable {
            return Some(Weighed::Unable { by, reason: reason.clone() });
        }
        let weight = |slot: Slot| self.slots.get(usize::from(slot.number())).copied();
        let run = |slot: Slot| Some(Run { slots: slot.into(), weight: weight(slot)? });
        let runs: Vec<Run> = sim.slots.iter().map(run).collect::<Option<_>>()?;
        Some(Weighed::Known(Weights { by, for_s: self.for_s, estimated: false, runs }))
    }
}

fn disk(sim: &Sim) -> Disk {
    let identity = sim.id.clone().map(|id| DiskIdentity {
        open: SlotSet::new(),
        id,
        role: sim.role,
        primary: sim.follows.clone(),
        epoch: ConfigEpoch(sim.epoch),
        slots: sim.slots.clone(),
    });
    Disk { identity, has_data: sim.has_data }
}

fn view_node(id: &NodeId, line: &Line) -> ViewNode {
    ViewNode {
        id: id.clone(),
        ip: "127.0.0.1".to_owned(),
        port: 1,
        bus_port: 1,
        role: line.role,
        primary: line.follows.clone(),
        health: if line.alive { Health::Fine } else { Health::Failed },
        handshake: false,
        no_address: false,
        connected: line.alive,
        epoch: ConfigEpoch(line.epoch),
        slots: line.slots.clone(),
    }
}
