//! What survives a server's and an agent's death: nodes.conf, the data as far as it is kept, the ledger.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use redisnode_proto::ledger::Ledger;
use redisnode_proto::topology::{Direction, Health, Role};
use redisnode_proto::{Slot, SlotSet};

use super::clock::Time;
use super::data::Data;
use super::election::Election;
use super::flavor::Flavor;
use super::ids::{Addr, Id};
use super::server::{History, Link, Note, Peer, Server};

/// How the history's servers keep their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Nothing: `save ""`, `appendonly no`.
    Nothing,
    /// An append-only file: all that was executed.
    Everything,
    /// A dump now and then: what was there at some earlier moment.
    OldDumps,
}

/// A node's folder.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) conf: Option<Conf>,
    pub(crate) data: Option<Data>,
    pub(crate) ledger: Option<Ledger>,
    /// Data that was moved aside, never deleted.
    pub(crate) aside: Vec<Data>,
}

/// nodes.conf.
#[derive(Clone)]
pub(crate) struct Conf {
    pub(crate) id: Id,
    pub(crate) table: BTreeMap<Id, Peer>,
    pub(crate) current_epoch: u64,
    pub(crate) last_vote: u64,
    pub(crate) open: BTreeMap<Slot, (Direction, Id)>,
}

impl Conf {
    /// What the server has written by now: it writes at each change.
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            id: server.id,
            table: server.table.clone(),
            current_epoch: server.current_epoch,
            last_vote: server.last_vote,
            open: server.open.clone(),
        }
    }

    pub(crate) fn me(&self) -> &Peer {
        &self.table[&self.id]
    }
}

/// What a start needs to know beside the folder.
pub(crate) struct Birth {
    pub(crate) now: Time,
    pub(crate) run: u64,
    pub(crate) addr: Addr,
    pub(crate) flavor: Flavor,
    pub(crate) node_timeout: Time,
    pub(crate) loading_for: Time,
}

/// Starts a server from its folder.
pub(crate) fn start(disk: &Disk, birth: &Birth, rng: &mut StdRng, notes: &mut Vec<Note>) -> Server {
    let conf = disk.conf.clone().unwrap_or_else(|| fresh(birth, rng));
    let data = disk.data.clone().unwrap_or_default();
    let mut server = Server {
        id: conf.id,
        addr: birth.addr,
        run: birth.run,
        started_at: birth.now + birth.loading_for,
        started_empty: data.is_empty(),
        loading_until: birth.now + birth.loading_for,
        stopped: false,
        flavor: birth.flavor,
        node_timeout: birth.node_timeout,
        no_failover: false,
        table: conf.table,
        handshakes: Vec::new(),
        forgotten: BTreeMap::new(),
        current_epoch: conf.current_epoch,
        last_vote: conf.last_vote,
        open: conf.open,
        unclaimed: SlotSet::new(),
        state_ok: false,
        minority_at: None,
        election: Election::default(),
        manual: None,
        offset: 0,
        data,
        history: History { id: rng.random(), former: None },
        backlog: std::collections::VecDeque::new(),
        link: Link::Down { since: None },
        link_number: birth.run << 20,
        attached: BTreeMap::new(),
        paused_until: 0,
        handoff_pause_until: 0,
        next_random_ping: birth.now,
        client_pause_until: 0,
        saving_until: 0,
        whole: super::whole::Whole::default(),
        untold: Vec::new(),
    };
    for peer in server.table.values_mut() {
        (peer.ping_sent, peer.pong_at, peer.connected, peer.offset) = (None, birth.now, false, 0);
        peer.accused.clear();
        if peer.health == Health::Suspected {
            peer.health = Health::Fine;
        }
    }
    let me = server.me_mut();
    (me.addr, me.health) = (Some(birth.addr), Health::Fine);
    verify_data(&mut server, notes);
    server
}

fn fresh(birth: &Birth, rng: &mut StdRng) -> Conf {
    let id = Id(rng.random());
    let table = BTreeMap::from([(id, Peer::new(id, Some(birth.addr), birth.now))]);
    Conf { id, table, current_epoch: 0, last_vote: 0, open: BTreeMap::new() }
}

/// `verifyClusterConfigWithData`: a primary takes unassigned slots that it has keys of; keys of slots that are
/// assigned elsewhere are deleted, or their slots marked as importing, by flavor.
fn verify_data(server: &mut Server, notes: &mut Vec<Note>) {
    if server.me().role != Role::Primary || server.data.is_empty() {
        return;
    }
    let before = server.data.clone();
    let slots: SlotSet = server.data.keys().map(|key| key.slot).collect();
    for slot in before.keys().map(|key| key.slot) {
        if server.open.contains_key(&slot) {
            continue;
        }
        match server.owner(slot) {
            None => {
                let mut one = SlotSet::new();
                one.insert(slot);
                server.assign(&one, Some(server.id));
            }
            Some(owner) if owner == server.id => {}
            Some(owner) if !server.flavor.deletes_foreign_keys => {
                server.open.insert(slot, (Direction::Importing, owner));
            }
            Some(_) => server.data.retain(|key, _| key.slot != slot),
        }
    }
    if server.data.len() < before.len() && !slots.is_empty() {
        notes.push(Note::Dropped { before, why: "its nodes.conf assigns their slots to others" });
    }
}
