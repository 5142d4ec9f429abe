//! One modelled server: its node table, epochs, marks, data and replication. What it does with messages, in elections
//! and with commands stands in `bus`, `failure`, `election` and `commands`. It knows nothing of the network: what it
//! sends goes out through [`Ctx`].

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use rand::rngs::StdRng;
use redisnode_proto::topology::{Direction, Health, Role};
use redisnode_proto::{NodeId, Slot, SlotSet};

use super::bus::Message;
use super::clock::Time;
use super::data::{Data, Op};
use super::election::{Election, Manual};
use super::flavor::Flavor;
use super::ids::{Addr, Id};
use super::whole::{Parcel, Whole};

/// How long a primary refuses writes after its start (`CLUSTER_WRITABLE_DELAY`).
pub(crate) const WRITABLE_DELAY: Time = 2000;
/// Operations that a server keeps for partial resyncs.
const BACKLOG: usize = 4000;

/// A line of a server's node table.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) node_id: NodeId,
    pub(crate) addr: Option<Addr>,
    pub(crate) role: Role,
    pub(crate) primary: Option<Id>,
    pub(crate) shard: u64,
    pub(crate) slots: Rc<SlotSet>,
    pub(crate) epoch: u64,
    pub(crate) health: Health,
    pub(crate) connected: bool,
    pub(crate) ping_sent: Option<Time>,
    pub(crate) pong_at: Time,
    pub(crate) failed_at: Time,
    /// Which primaries said that it fails, and when.
    pub(crate) accused: BTreeMap<Id, Time>,
    /// When this server last voted for a replica of it.
    pub(crate) voted_at: Option<Time>,
    pub(crate) offset: u64,
}

impl Peer {
    pub(crate) fn new(id: Id, addr: Option<Addr>, now: Time) -> Self {
        Self {
            node_id: id.node_id(),
            addr,
            role: Role::Primary,
            primary: None,
            shard: id.0,
            slots: Rc::default(),
            epoch: 0,
            health: Health::Fine,
            connected: false,
            ping_sent: None,
            pong_at: now,
            failed_at: 0,
            accused: BTreeMap::new(),
            voted_at: None,
            offset: 0,
        }
    }

    pub(crate) fn is_voter(&self) -> bool {
        self.role == Role::Primary && !self.slots.is_empty()
    }
}

/// A mark of an open slot, as a replicated SETSLOT carries it.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Open(Rc<SlotSet>, Direction, Id),
    Closed(Rc<SlotSet>),
}

/// The link of a replica to its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not linked; since when, if it ever was in this life.
    Down { since: Option<Time> },
    /// A full sync is under way.
    Syncing { from: Id },
    /// Receiving the stream; the last word of the primary.
    Up { from: Id, heard_at: Time },
}

/// A position in a history of replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) id: u64,
    /// The history before, and up to which offset it is shared.
    pub(crate) former: Option<(u64, u64)>,
}

/// An address that is being tried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake {
    pub(crate) addr: Addr,
    pub(crate) until: Time,
    pub(crate) meet: bool,
    pub(crate) sent_at: Option<Time>,
}

/// A running server process.
pub(crate) struct Server {
    pub(crate) id: Id,
    pub(crate) addr: Addr,
    /// Number of this life of the process.
    pub(crate) run: u64,
    pub(crate) started_at: Time,
    pub(crate) started_empty: bool,
    pub(crate) loading_until: Time,
    /// SIGSTOP.
    pub(crate) stopped: bool,
    pub(crate) flavor: Flavor,
    pub(crate) node_timeout: Time,
    pub(crate) no_failover: bool,
    pub(crate) table: BTreeMap<Id, Peer>,
    pub(crate) handshakes: Vec<Handshake>,
    pub(crate) forgotten: BTreeMap<Id, Time>,
    pub(crate) current_epoch: u64,
    pub(crate) last_vote: u64,
    pub(crate) open: BTreeMap<Slot, (Direction, Id)>,
    /// Slots whose owner in the table does not claim them any more: whoever claims one gets it, whatever the epochs.
    pub(crate) unclaimed: SlotSet,
    pub(crate) state_ok: bool,
    pub(crate) minority_at: Option<Time>,
    pub(crate) election: Election,
    pub(crate) manual: Option<Manual>,
    pub(crate) data: Data,
    pub(crate) offset: u64,
    pub(crate) history: History,
    pub(crate) backlog: VecDeque<(u64, Op)>,
    pub(crate) link: Link,
    /// Rises with every break of the link, so that what was under way for an old one is dropped.
    pub(crate) link_number: u64,
    /// As a primary: its replicas, with their link's number and what they acknowledged.
    pub(crate) attached: BTreeMap<Id, (u64, u64)>,
    /// CLIENT PAUSE WRITE holds until then.
    pub(crate) paused_until: Time,
    /// The pause of a manual failover holds until then.
    pub(crate) handoff_pause_until: Time,
    pub(crate) next_random_ping: Time,
    /// A user's CLIENT PAUSE WRITE holds until then.
    pub(crate) client_pause_until: Time,
    /// Its one child writes a dump until then.
    pub(crate) saving_until: Time,
    /// Its moves in one piece.
    pub(crate) whole: Whole,
    /// Changes that the targets of its moves have not been told yet.
    pub(crate) untold: Vec<Op>,
}

/// What a server does to the world while it handles something.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    pub(crate) rng: &'a mut StdRng,
    /// Messages, and to where.
    pub(crate) out: Vec<(Addr, Rc<Message>)>,
    /// Words to the other sides of moves in one piece.
    pub(crate) words: Vec<(Addr, Parcel)>,
    pub(crate) notes: Vec<Note>,
}

/// Something that the invariants or the event log want to know.
pub(crate) enum Note {
    /// It became a primary under this epoch; how.
    Promoted { epoch: u64, how: &'static str },
    /// Another primary had its epoch: it took a new one.
    Collided { with: Id, old: u64 },
    /// It follows that one now.
    Follows(Id),
    /// It dropped keys; what it held before.
    Dropped { before: Data, why: &'static str },
    /// It took slots at the end of a move in one piece.
    Took { job: u64, slots: SlotSet, from: Id },
    /// Anything else worth a line.
    Said(String),
}

impl Server {
    pub(crate) fn me(&self) -> &Peer {
        &self.table[&self.id]
    }

    pub(crate) fn me_mut(&mut self) -> &mut Peer {
        self.table.get_mut(&self.id).unwrap()
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.me().role == Role::Primary
    }

    pub(crate) fn primary(&self) -> Option<Id> {
        self.me().primary
    }

    pub(crate) fn is_loading(&self, now: Time) -> bool {
        now < self.loading_until
    }

    pub(crate) fn writes_paused(&self, now: Time) -> bool {
        now < self.paused_until
            || now < self.handoff_pause_until
            || self.is_paused_by_a_client(now)
            || self.is_giving(now)
    }

    pub(crate) fn is_paused_by_a_client(&self, now: Time) -> bool {
        now < self.client_pause_until
    }

    pub(crate) fn owner(&self, slot: Slot) -> Option<Id> {
        self.table.iter().find(|(_, peer)| peer.slots.contains(slot)).map(|(id, _)| *id)
    }

    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.me().slots.contains(slot)
    }

    pub(crate) fn voters(&self) -> usize {
        self.table.values().filter(|peer| peer.is_voter()).count()
    }

    pub(crate) fn max_epoch(&self) -> u64 {
        self.table.values().map(|peer| peer.epoch).fold(self.current_epoch, u64::max)
    }

    /// Gives `slots` to `owner` in the own table, or to nobody.
    pub(crate) fn assign(&mut self, slots: &SlotSet, owner: Option<Id>) {
        self.unclaimed = self.unclaimed.difference(slots);
        for (id, peer) in &mut self.table {
            if Some(*id) == owner {
                peer.slots = Rc::new(peer.slots.union(slots));
            } else if !peer.slots.is_disjoint(slots) {
                peer.slots = Rc::new(peer.slots.difference(slots));
            }
        }
    }

    /// Does `op` as a primary: to the own data and into the stream.
    pub(crate) fn emit(&mut self, op: Op) {
        if !self.whole.out.is_empty() {
            self.untold.push(op.clone());
        }
        self.perform(&op);
        self.record(op);
    }

    fn perform(&mut self, op: &Op) {
        match op {
            Op::Stage(job, stage) => self.stage(*job, stage),
            op => super::data::apply(&mut self.data, op),
        }
    }

    /// Takes `op` from the primary's stream.
    pub(crate) fn replay(&mut self, op: Op) {
        self.perform(&op);
        if let (Op::Mark(mark), true) = (&op, self.flavor.marks_survive) {
            self.mark(mark);
        }
        self.record(op);
    }

    fn record(&mut self, op: Op) {
        self.offset += 1;
        self.backlog.push_back((self.offset, op));
        if self.backlog.len() > BACKLOG {
            self.backlog.pop_front();
        }
    }

    pub(crate) fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Open(slots, direction, peer) => {
                self.open.extend(slots.iter().map(|slot| (slot, (*direction, *peer))));
            }
            Mark::Closed(slots) => self.open.retain(|slot, _| !slots.contains(*slot)),
        }
    }

    /// Starts a new history of replication, as a promoted server does.
    pub(crate) fn begin_history(&mut self, id: u64) {
        self.history = History { id, former: Some((self.history.id, self.offset)) };
    }

    /// Drops the link to the primary, if there is one.
    pub(crate) fn unlink(&mut self, now: Time) {
        self.link = match self.link {
            Link::Up { .. } => Link::Down { since: Some(now) },
            Link::Syncing { .. } => Link::Down { since: None },
            down @ Link::Down { .. } => down,
        };
        self.link_number += 1;
    }

    /// Becomes a replica of `primary`, or follows another one.
    pub(crate) fn follow(&mut self, ctx: &mut Ctx<'_>, primary: Id) {
        if self.primary() == Some(primary) {
            return;
        }
        if self.is_primary() {
            let mine = (*self.me().slots).clone();
            self.assign(&mine, None);
            self.open.clear();
            self.attached.clear();
            self.end_moves_of_a_primary();
        }
        let shard = self.table.get(&primary).map_or(primary.0, |peer| peer.shard);
        let me = self.me_mut();
        (me.role, me.primary, me.shard) = (Role::Replica, Some(primary), shard);
        self.unlink(ctx.now);
        self.manual = None;
        self.handoff_pause_until = 0;
        self.election = Election::default();
        ctx.notes.push(Note::Follows(primary));
    }

    /// Deletes the keys of `slots`, which it has lost.
    pub(crate) fn drop_keys(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet, why: &'static str) {
        let lost: Vec<_> = self.data.keys().copied().filter(|key| slots.contains(key.slot)).collect();
        if lost.is_empty() {
            return;
        }
        ctx.notes.push(Note::Dropped { before: self.data.clone(), why });
        for key in lost {
            self.emit(Op::Delete(key));
        }
    }
}
