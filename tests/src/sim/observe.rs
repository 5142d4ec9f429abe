//! What an agent sees of its own server and folder, in the vocabulary's types.

use redisnode_proto::report::{AttachedReplica, Disk, DiskIdentity, Replication, Running};
use redisnode_proto::topology::{OpenSlot, View, ViewNode};
use redisnode_proto::{ConfigEpoch, Offset, Slot, SlotSet};

use super::clock::Time;
use super::disk::{Conf, Disk as Folder};
use super::server::{Link, Peer, Server};

/// A number as the servers write run ids.
pub(crate) fn run_id(run: u64) -> String {
    format!("{run:040x}")
}

/// The server's node table as its agent reads it.
pub(crate) fn view(server: &Server) -> View {
    let text = |id: super::ids::Id| server.table.get(&id).map_or_else(|| id.node_id(), |peer| peer.node_id.clone());
    let nodes = server.table.iter().map(|(id, peer)| ViewNode {
        id: peer.node_id.clone(),
        ip: peer.addr.map(|addr| addr.ip().to_string()).unwrap_or_default(),
        port: peer.addr.map_or(0, |_| 6379),
        bus_port: peer.addr.map_or(0, |_| 16379),
        role: peer.role,
        primary: peer.primary.map(text),
        health: peer.health,
        handshake: false,
        no_address: peer.addr.is_none(),
        connected: *id == server.id || peer.connected,
        epoch: ConfigEpoch(speaks_for(server, peer).epoch),
        slots: (*peer.slots).clone(),
    });
    let open = server.open.iter().map(|(slot, (direction, peer))| OpenSlot {
        slot: *slot,
        direction: *direction,
        peer: text(*peer),
    });
    View {
        me: server.me().node_id.clone(),
        nodes: nodes.collect(),
        open: open.collect(),
        state_ok: server.state_ok,
        current_epoch: ConfigEpoch(server.current_epoch),
    }
}

/// A replica's line shows its primary's epoch.
fn speaks_for<'a>(server: &'a Server, peer: &'a Peer) -> &'a Peer {
    peer.primary.and_then(|id| server.table.get(&id)).unwrap_or(peer)
}

/// All that the agent reads of a server that answers.
pub(crate) fn running(server: &Server, now: Time, synced_run: Option<&str>) -> Running {
    let run_id = run_id(server.run);
    let replicas = server.attached.iter().filter_map(|(id, (_, offset))| {
        let addr = server.table.get(id)?.addr?;
        Some(AttachedReplica { port: 6379, ip: addr.ip().to_string(), online: true, offset: Offset(*offset) })
    });
    let silent_for_s = match server.link {
        Link::Down { since: Some(since) } => Some((now - since) / 1000),
        Link::Up { .. } | Link::Syncing { .. } | Link::Down { since: None } => None,
    };
    Running {
        version: server.flavor.version,
        synced_since_start: synced_run == Some(run_id.as_str()),
        run_id,
        view: view(server),
        replication: Replication {
            role: server.me().role,
            offset: Offset(server.offset),
            replication_id: format!("{:040x}", server.history.id),
            replication_id2: server.history.former.map(|(id, _)| format!("{id:040x}")),
            shared_until: server.history.former.map(|(_, offset)| Offset(offset)),
            link_up: matches!(server.link, Link::Up { .. }),
            syncing: matches!(server.link, Link::Syncing { .. }),
            catching_up: false,
            silent_for_s,
            replicas: replicas.collect(),
        },
        keys: server.data.len() as u64,
        strays: strays(server),
        used_memory: 1 << 20,
        max_memory: 0,
        data_memory: None,
        backlog_growth: None,
        started_empty: server.started_empty,
        writes_paused: server.paused_until > now,
        weighed: None,
        primed: false,
    }
}

/// Slots of which a primary has keys although they are neither its own nor open.
fn strays(server: &Server) -> SlotSet {
    let foreign = |slot: &Slot| !server.owns(*slot) && !server.open.contains_key(slot);
    let slots = server.data.keys().map(|key| key.slot).filter(foreign);
    if server.is_primary() { slots.collect() } else { SlotSet::new() }
}

/// What the folder shows before the server starts, and what nodes.conf would show while it runs.
pub(crate) fn disk(folder: &Folder, server: Option<&Server>) -> Disk {
    let own = server.map(Server::me).or_else(|| folder.conf.as_ref().map(Conf::me));
    let open = server.map(|server| &server.open).or_else(|| folder.conf.as_ref().map(|conf| &conf.open));
    let open: SlotSet = open.into_iter().flat_map(|open| open.keys().copied()).collect();
    let identity = own.map(|me| DiskIdentity {
        id: me.node_id.clone(),
        role: me.role,
        primary: me.primary.map(super::ids::Id::node_id),
        epoch: ConfigEpoch(me.epoch),
        slots: (*me.slots).clone(),
        open: open.clone(),
    });
    Disk { identity, has_data: folder.data.as_ref().is_some_and(|data| !data.is_empty()) }
}
