//! Builders for the tests of this crate: a healthy cluster, which each test then breaks in one place.
//!
//! Node `c-<i>` has the id `<i>` in 40 hex digits. In a Layout of `n` shards `c-0` to `c-<n-1>` are the primaries, in the
//! order of the shards, under the epochs 1 to `n`; their replicas come behind them, shard by shard.

mod scene;

use std::collections::BTreeMap;

use redisnode_proto::layout::{LayoutMember, LayoutShard, MigrationSettings, Settings};
use redisnode_proto::ledger::{Identity, Ledger};
use redisnode_proto::report::{Disk, DiskIdentity, Replication, Report, Running, ServerState};
use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::spec::Balance;
use redisnode_proto::topology::{Direction, Health, OpenSlot, Product, Role, ServerVersion, View, ViewNode};
use redisnode_proto::{
    Address, ConfigEpoch, DOCUMENT_VERSION, Generation, Layout, Member, Millis, NodeId, NodeName, Offset, Slot,
    SlotRange, SlotSet,
};

use crate::situation::{Answer, Peer, Peers};

pub(crate) use scene::Scene;

/// The time of every test, unless it says otherwise.
pub(crate) const NOW: Millis = Millis(100_000_000);
/// `nodeTimeout` of every test.
pub(crate) const TIMEOUT: Millis = Millis(15_000);
/// Offset of every server of a healthy cluster.
pub(crate) const OFFSET: Offset = Offset(1000);

pub(crate) fn name(node: usize) -> NodeName {
    format!("c-{node}").parse().unwrap()
}

pub(crate) fn id(node: usize) -> NodeId {
    format!("{node:040x}").parse().unwrap()
}

/// The id that a node has after it lost its folder.
pub(crate) fn next_id(node: usize) -> NodeId {
    format!("{node:039x}f").parse().unwrap()
}

pub(crate) fn member(node: usize) -> Member {
    Member { name: name(node), uid: format!("u{node}").parse().unwrap() }
}

pub(crate) fn address(node: usize) -> Address {
    let port = 7000 + u16::try_from(node).unwrap();
    Address { ip: [127, 0, 0, 1].into(), port, bus_port: port + 10_000, http_port: port + 1000 }
}

pub(crate) fn slot(number: u16) -> Slot {
    Slot::try_from(number).unwrap()
}

/// `"0-5"`, `"7"`, or `""` for none.
pub(crate) fn slots(range: &str) -> SlotSet {
    if range.is_empty() { SlotSet::new() } else { range.parse::<SlotRange>().unwrap().into() }
}

/// The slots of shard `shard` of `of`.
pub(crate) fn share(shard: usize, of: usize) -> SlotSet {
    let border = |index: usize| u16::try_from(usize::from(SLOT_COUNT) * index / of).unwrap();
    (border(shard)..border(shard + 1)).map(slot).collect()
}

/// A Layout of `shards` shards with `replicas` replicas each, ids filled in.
pub(crate) fn layout(shards: usize, replicas: usize) -> Layout {
    let shard = |index: usize| LayoutShard {
        name: format!("s-{index}").parse().unwrap(),
        slots: share(index, shards),
        primary: name(index),
        replicas: (0..replicas).map(|replica| name(shards + index * replicas + replica)).collect(),
        handoff: None,
    };
    let listed = |node: usize| LayoutMember {
        member: member(node),
        address: address(node),
        node_id: Some(id(node)),
        leaving: false,
    };
    Layout {
        version: DOCUMENT_VERSION,
        cluster: "cl-1".parse().unwrap(),
        generation: Generation { term: 1, sequence: 1 },
        founding: None,
        settings: Settings {
            node_timeout: TIMEOUT,
            storage: true,
            redis_config: BTreeMap::new(),
            rename_commands: BTreeMap::new(),
            migration: MigrationSettings::default(),
            balance: Balance::default(),
        },
        members: (0..shards * (replicas + 1)).map(listed).collect(),
        shards: (0..shards).map(shard).collect(),
        forget: Vec::new(),
    }
}

/// How any node of a healthy cluster of this Layout sees it.
pub(crate) fn view(me: usize, layout: &Layout) -> View {
    let line = |node: usize| {
        let index = layout.shards.iter().position(|shard| shard.has(&name(node)));
        let shard = index.map(|index| (index, &layout.shards[index]));
        let primary = shard.map(|(_, shard)| &shard.primary).filter(|primary| **primary != name(node));
        ViewNode {
            id: id(node),
            ip: address(node).ip.to_string(),
            port: address(node).port,
            bus_port: address(node).bus_port,
            role: if primary.is_some() { Role::Replica } else { Role::Primary },
            primary: primary.and_then(|primary| layout.member(primary)?.node_id.clone()),
            health: Health::Fine,
            handshake: false,
            no_address: false,
            connected: true,
            epoch: ConfigEpoch(index.map_or(0, |index| u64::try_from(index).unwrap() + 1)),
            slots: shard.filter(|_| primary.is_none()).map(|(_, s)| s.slots.clone()).unwrap_or_default(),
        }
    };
    let nodes: Vec<ViewNode> = (0..layout.members.len()).map(line).collect();
    View { me: id(me), nodes, open: Vec::new(), state_ok: true, current_epoch: ConfigEpoch(9) }
}

/// A view in which the node knows only itself: a server that has just been made.
pub(crate) fn alone(me: usize) -> View {
    let mut view = view(me, &layout(me + 1, 0));
    view.nodes.retain(|node| node.id == id(me));
    view.nodes[0].slots = SlotSet::new();
    view.nodes[0].epoch = ConfigEpoch(0);
    view
}

/// A running server with that view: in sync, with keys.
pub(crate) fn running(view: View) -> Running {
    let role = view.myself().unwrap().role;
    let run_id = format!("run-{}", view.me.short());
    let replication = Replication {
        role,
        offset: OFFSET,
        replication_id: "history".into(),
        replication_id2: None,
        shared_until: None,
        link_up: role == Role::Replica,
        syncing: false,
        catching_up: false,
        silent_for_s: None,
        replicas: Vec::new(),
    };
    Running {
        version: ServerVersion { product: Product::Redis, major: 8, minor: 6, patch: 0 },
        run_id,
        view,
        replication,
        keys: 10,
        strays: SlotSet::new(),
        used_memory: 1,
        max_memory: 0,
        data_memory: None,
        backlog_growth: None,
        started_empty: false,
        synced_since_start: role == Role::Replica,
        writes_paused: false,
        weighed: None,
        primed: false,
    }
}

pub(crate) fn dead() -> ServerState {
    ServerState::Dead { reason: "killed by signal 9".into() }
}

pub(crate) fn ledger(me: usize, layout: &Layout) -> Ledger {
    let mut ledger = Ledger::new(layout.cluster.clone(), member(me));
    let line = view(me, layout).myself().unwrap().clone();
    let in_sync = line.role == Role::Replica;
    ledger.identity = Some(Identity {
        id: id(me),
        role: line.role,
        primary: line.primary,
        in_sync,
        had_keys: true,
        promoted_from: None,
        history: None,
        former_history: None,
        shared_until: None,
    });
    ledger.founded = true;
    ledger.layout = Some(layout.clone());
    ledger
}

/// The folder of a node of a healthy cluster.
pub(crate) fn disk(me: usize, layout: &Layout) -> Disk {
    let line = view(me, layout).myself().unwrap().clone();
    let (id, role, primary, epoch, slots) = (line.id, line.role, line.primary, line.epoch, line.slots);
    let identity = DiskIdentity { id, role, primary, epoch, slots, open: SlotSet::new() };
    Disk { identity: Some(identity), has_data: true }
}

pub(crate) fn report(node: usize, layout: &Layout, server: ServerState) -> Report {
    Report {
        version: DOCUMENT_VERSION,
        life: 1,
        revision: 1,
        looks: 1,
        agent_version: "0.1.0".into(),
        cluster: layout.cluster.clone(),
        member: member(node),
        address: address(node),
        server,
        disk: disk(node, layout),
        ledger: ledger(node, layout),
        stopping: false,
        restart_needed: Vec::new(),
        jobs: Vec::new(),
        problems: Vec::new(),
        events: Vec::new(),
    }
}

pub(crate) fn heard(report: Report, at: Millis) -> Peer {
    Peer { answer: Answer::Heard { report: Box::new(report), at } }
}

/// What everybody else of a healthy cluster says.
pub(crate) fn peers(me: usize, layout: &Layout, at: Millis) -> Peers {
    let say =
        |node: usize| heard(report(node, layout, ServerState::Running(Box::new(running(view(node, layout))))), at);
    (0..layout.members.len()).filter(|node| *node != me).map(|node| (name(node), say(node))).collect()
}

/// The Report that `node` was heard with.
pub(crate) fn said(peers: &mut Peers, node: usize) -> &mut Report {
    match &mut peers.get_mut(&name(node)).unwrap().answer {
        Answer::Heard { report, .. } => report,
        Answer::Silent { .. } | Answer::NeverAsked => panic!("c-{node} was not heard"),
    }
}

pub(crate) fn silence(peers: &mut Peers, node: usize, since: Millis) {
    peers.insert(name(node), Peer { answer: Answer::Silent { since } });
}

pub(crate) fn running_of(server: &mut ServerState) -> &mut Running {
    match server {
        ServerState::Running(running) => running,
        other => panic!("not running: {other:?}"),
    }
}

/// The line of `node` in a view.
pub(crate) fn line(view: &mut View, node: usize) -> &mut ViewNode {
    view.nodes.iter_mut().find(|line| line.id == id(node)).unwrap()
}

/// Marks `node` as failed in a view.
pub(crate) fn fail(view: &mut View, node: usize) {
    let line = line(view, node);
    (line.health, line.connected) = (Health::Failed, false);
}

/// Makes `to` the owner of what `from` owns in a view, as a failover would.
pub(crate) fn fail_over(view: &mut View, from: usize, to: usize) {
    let slots = std::mem::take(&mut line(view, from).slots);
    let new = line(view, to);
    (new.role, new.primary, new.slots) = (Role::Primary, None, slots);
    new.epoch = ConfigEpoch(20);
}

pub(crate) fn mark(number: u16, direction: Direction, peer: usize) -> OpenSlot {
    OpenSlot { slot: slot(number), direction, peer: id(peer) }
}
