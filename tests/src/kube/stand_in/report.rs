//! What a stand-in's agent says: a Report of the size and shape of a real one.

use redisnode_proto::report::{AttachedReplica, Disk, DiskIdentity, Replication, Report, Running, ServerState};
use redisnode_proto::topology::{Health, Product, Role, ServerVersion, View, ViewNode};
use redisnode_proto::{ConfigEpoch, DOCUMENT_VERSION, NodeId, Offset, SlotSet};

use super::world::{Line, Node, World};

/// What its server uses.
const MEMORY: u64 = 2 << 20;
/// What a primary tells its replicas when nothing happens.
const PING: u64 = 14;

/// The Report of `node`, of the agent's one life.
pub(super) fn report(world: &World, node: &Node, revision: u64) -> Report {
    let line = node.id.as_ref().map(|id| line(world, id, node));
    let server = match (&node.id, &line) {
        (Some(id), Some(line)) => ServerState::Running(Box::new(running(world, id, line))),
        _ => ServerState::Retired,
    };
    let identity = node.id.clone().zip(line).map(|(id, line)| DiskIdentity {
        id,
        role: line.role,
        primary: line.follows,
        epoch: ConfigEpoch(line.epoch),
        slots: line.slots,
        open: SlotSet::new(),
    });
    Report {
        version: DOCUMENT_VERSION,
        life: 1,
        revision,
        looks: 1,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: world.cluster.clone(),
        member: node.ledger.member.clone(),
        address: node.address.clone(),
        server,
        disk: Disk { identity, has_data: false },
        ledger: node.ledger.clone(),
        stopping: false,
        restart_needed: Vec::new(),
        jobs: Vec::new(),
        problems: Vec::new(),
        events: node.events.clone(),
    }
}

/// Its line of the table; before it has joined there is only its own.
fn line(world: &World, id: &NodeId, node: &Node) -> Line {
    world.table.get(id).cloned().unwrap_or_else(|| Line::newborn(node.address.clone()))
}

fn running(world: &World, id: &NodeId, line: &Line) -> Running {
    let joined = world.table.contains_key(id);
    let nodes = if joined { world.table.iter().map(view_node).collect() } else { vec![view_node((id, line))] };
    let offset = Offset(world.ticks * PING);
    let followers = world.table.values().filter(|other| other.alive && other.follows.as_ref() == Some(id));
    let attached = followers.map(|other| AttachedReplica {
        port: other.address.port,
        ip: other.address.ip.to_string(),
        online: true,
        offset,
    });
    let is_replica = line.role == Role::Replica;
    Running {
        version: ServerVersion { product: Product::Valkey, major: 9, minor: 1, patch: 0 },
        run_id: format!("{id}"),
        view: View {
            me: id.clone(),
            nodes,
            open: Vec::new(),
            state_ok: true,
            current_epoch: ConfigEpoch(world.table.values().map(|line| line.epoch).max().unwrap_or(0)),
        },
        replication: Replication {
            role: line.role,
            offset,
            replication_id: line.follows.as_ref().unwrap_or(id).to_string(),
            replication_id2: None,
            shared_until: None,
            link_up: is_replica,
            syncing: false,
            catching_up: false,
            silent_for_s: None,
            replicas: attached.collect(),
        },
        keys: 0,
        strays: SlotSet::new(),
        used_memory: MEMORY + world.ticks % 7 * 1024,
        max_memory: 0,
        data_memory: None,
        backlog_growth: None,
        started_empty: false,
        synced_since_start: is_replica,
        writes_paused: false,
        weighed: None,
        primed: false,
    }
}

fn view_node((id, line): (&NodeId, &Line)) -> ViewNode {
    ViewNode {
        id: id.clone(),
        ip: line.address.ip.to_string(),
        port: line.address.port,
        bus_port: line.address.bus_port,
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
