//! The cluster bus: what servers say to each other and what they make of it. Claims to slots, epochs and addresses
//! here; who is thought dead in `failure`; votes in `election`.

use std::rc::Rc;

use redisnode_proto::SlotSet;
use redisnode_proto::topology::{Health, Role};

use super::clock::Time;
use super::ids::{Addr, Id};
use super::server::{Ctx, Handshake, Note, Peer, Server};

/// What every message carries of its sender.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) id: Id,
    pub(crate) addr: Addr,
    pub(crate) role: Role,
    pub(crate) primary: Option<Id>,
    pub(crate) shard: u64,
    /// Its own slots, or a replica's primary's.
    pub(crate) slots: Rc<SlotSet>,
    pub(crate) epoch: u64,
    pub(crate) current_epoch: u64,
    pub(crate) offset: u64,
    /// Writes are paused for a manual failover, and nothing will follow this offset.
    pub(crate) paused_at: Option<u64>,
    pub(crate) gossip: Rc<Vec<Gossip>>,
}

/// What a server says of another one.
#[derive(Clone, Copy)]
pub(crate) struct Gossip {
    pub(crate) id: Id,
    pub(crate) addr: Option<Addr>,
    pub(crate) health: Health,
    pub(crate) pong_at: Time,
}

/// What is said.
#[derive(Clone)]
pub(crate) enum Kind {
    Ping,
    Pong,
    Meet,
    Fail(Id),
    Update { id: Id, epoch: u64, slots: Rc<SlotSet> },
    VoteRequest { even_if_alive: bool },
    Vote,
    PauseForHandoff,
}

/// A message on the bus.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) from: Header,
    pub(crate) kind: Kind,
}

impl Server {
    pub(crate) fn header(&self, now: Time) -> Header {
        let me = self.me();
        let speaks_for = me.primary.and_then(|id| self.table.get(&id)).unwrap_or(me);
        let known = self.table.iter().filter(|(id, _)| **id != self.id);
        let gossip = known.map(|(id, p)| Gossip { id: *id, addr: p.addr, health: p.health, pong_at: p.pong_at });
        Header {
            id: self.id,
            addr: self.addr,
            role: me.role,
            primary: me.primary,
            shard: me.shard,
            slots: Rc::clone(&speaks_for.slots),
            epoch: speaks_for.epoch,
            current_epoch: self.current_epoch,
            offset: self.offset,
            paused_at: (now < self.handoff_pause_until).then_some(self.offset),
            gossip: Rc::new(gossip.collect()),
        }
    }

    pub(crate) fn tell(&self, ctx: &mut Ctx<'_>, to: Addr, kind: Kind) {
        let from = self.header(ctx.now);
        ctx.out.push((to, Rc::new(Message { from, kind })));
    }

    pub(crate) fn tell_all(&self, ctx: &mut Ctx<'_>, kind: Kind) {
        let message = Rc::new(Message { from: self.header(ctx.now), kind });
        let others = self.table.iter().filter(|(id, _)| **id != self.id).filter_map(|(_, peer)| peer.addr);
        ctx.out.extend(others.map(|addr| (addr, Rc::clone(&message))));
    }

    /// Handles one message.
    pub(crate) fn receive(&mut self, ctx: &mut Ctx<'_>, message: &Message) {
        let from = &message.from;
        if from.id == self.id {
            return;
        }
        match &message.kind {
            Kind::Meet => {
                self.shake_hands(ctx.now, from.addr, false, from.id);
                self.tell(ctx, from.addr, Kind::Pong);
            }
            Kind::Ping => {
                if let Some(peer) = self.table.get_mut(&from.id) {
                    peer.addr = Some(from.addr);
                }
                self.tell(ctx, from.addr, Kind::Pong);
            }
            Kind::Pong => self.take_pong(ctx, from),
            Kind::Fail(_) | Kind::Update { .. } | Kind::VoteRequest { .. } | Kind::Vote | Kind::PauseForHandoff => {}
        }
        if !self.table.contains_key(&from.id) {
            return;
        }
        self.current_epoch = self.current_epoch.max(from.current_epoch);
        match &message.kind {
            Kind::Ping | Kind::Pong | Kind::Meet => self.take_header(ctx, from),
            Kind::Fail(id) => self.take_fail(ctx.now, *id),
            Kind::Update { id, epoch, slots } => self.take_update(ctx, *id, *epoch, slots),
            Kind::VoteRequest { even_if_alive } => self.consider_vote(ctx, from, *even_if_alive),
            Kind::Vote => self.take_vote(from),
            Kind::PauseForHandoff => self.pause_for_handoff(ctx, from.id),
        }
    }

    /// Tries out an address; known ids and repeated tries are ignored.
    pub(crate) fn shake_hands(&mut self, now: Time, addr: Addr, meet: bool, id: Id) {
        let known = self.table.get(&id).is_some_and(|peer| peer.addr == Some(addr));
        if known || addr == self.addr || self.handshakes.iter().any(|h| h.addr == addr) {
            return;
        }
        let until = now + self.node_timeout.max(1000);
        self.handshakes.push(Handshake { addr, until, meet, sent_at: None });
    }

    fn take_pong(&mut self, ctx: &mut Ctx<'_>, from: &Header) {
        let shaking = self.handshakes.iter().position(|h| h.addr == from.addr);
        if let Some(position) = shaking {
            self.handshakes.remove(position);
            self.table.entry(from.id).or_insert_with(|| Peer::new(from.id, Some(from.addr), ctx.now)).addr =
                Some(from.addr);
        }
        // Somebody else answers at that address: the one that was thought there has none any more.
        for (id, peer) in &mut self.table {
            if *id != from.id && peer.addr == Some(from.addr) && *id != self.id {
                (peer.addr, peer.connected) = (None, false);
            }
        }
        let timeout = self.node_timeout;
        if let Some(peer) = self.table.get_mut(&from.id) {
            (peer.ping_sent, peer.pong_at, peer.connected) = (None, ctx.now, true);
            let long_failed = ctx.now.saturating_sub(peer.failed_at) > 2 * timeout;
            match peer.health {
                Health::Suspected => peer.health = Health::Fine,
                Health::Failed if !peer.is_voter() || long_failed => peer.health = Health::Fine,
                Health::Failed | Health::Fine => {}
            }
        }
    }

    fn take_header(&mut self, ctx: &mut Ctx<'_>, from: &Header) {
        let Some(peer) = self.table.get_mut(&from.id) else { return };
        peer.offset = from.offset;
        let was_primary = peer.role == Role::Primary;
        (peer.role, peer.primary, peer.shard) = (from.role, from.primary, from.shard);
        if from.role == Role::Replica && was_primary {
            peer.slots = Rc::default();
        }
        if from.role == Role::Primary {
            peer.epoch = peer.epoch.max(from.epoch);
            self.take_claims(ctx, from.id, from.epoch, &from.slots);
            self.settle_collision(ctx, from);
        }
        self.correct(ctx, from);
        let from_primary = self.primary() == Some(from.id);
        if let (Some(offset), Some(manual), true) = (from.paused_at, &mut self.manual, from_primary) {
            manual.target_offset = Some(offset);
        }
        self.take_gossip(ctx, from);
        self.repair_chain(ctx);
    }

    /// Takes the slots that `owner` claims under a greater epoch than their owners of now, or that their owners do not
    /// claim any more (measured on 7.0).
    pub(crate) fn take_claims(&mut self, ctx: &mut Ctx<'_>, owner: Id, epoch: u64, slots: &Rc<SlotSet>) {
        if owner == self.id || Rc::ptr_eq(&self.table[&owner].slots, slots) {
            return;
        }
        let bound = Rc::clone(&self.table[&owner].slots);
        self.unclaimed = self.unclaimed.difference(&bound.intersection(slots)).union(&bound.difference(slots));
        let mut fresh = slots.difference(&bound);
        if self.flavor.importing_ignores_claims {
            for (slot, _) in
                self.open.iter().filter(|(_, (d, _))| *d == redisnode_proto::topology::Direction::Importing)
            {
                fresh.remove(*slot);
            }
        }
        if fresh.is_empty() {
            return;
        }
        let granted = self.granted_to(owner);
        for (id, peer) in &self.table {
            if *id != owner && peer.epoch >= epoch {
                fresh = fresh.difference(&peer.slots.difference(&self.unclaimed).difference(&granted));
            }
        }
        let current = self.primary().unwrap_or(self.id);
        let lost = self.table.get(&current).map(|peer| peer.slots.intersection(&fresh)).unwrap_or_default();
        let mine = self.me().slots.intersection(&fresh);
        self.assign(&fresh, Some(owner));
        self.gave(owner, &mine);
        if self.flavor.marks_survive {
            self.repoint_marks(owner, &fresh);
        }
        let emptied = !lost.is_empty() && self.table[&current].slots.is_empty();
        let follows = if self.flavor.knows_shards {
            self.table[&owner].shard == self.me().shard
        } else {
            lost == **slots || self.table[&owner].shard == self.me().shard
        };
        if emptied && follows {
            self.follow(ctx, owner);
        } else if !mine.is_empty() {
            self.drop_keys(ctx, &mine, "it lost their slots");
        }
    }

    /// Where marks survive: a slot that is mine no more is open no more, and a peer's successor inherits its marks.
    fn repoint_marks(&mut self, owner: Id, slots: &SlotSet) {
        let shard = self.table[&owner].shard;
        let touched: Vec<_> =
            self.open.iter().filter(|(slot, _)| slots.contains(**slot)).map(|(s, m)| (*s, *m)).collect();
        for (slot, (direction, peer)) in touched {
            let same_shard = self.table.get(&peer).is_some_and(|p| p.shard == shard);
            match direction {
                redisnode_proto::topology::Direction::Importing if same_shard => {
                    self.open.insert(slot, (direction, owner));
                }
                redisnode_proto::topology::Direction::Importing => {}
                redisnode_proto::topology::Direction::Migrating => drop(self.open.remove(&slot)),
            }
        }
    }

    /// Shows a sender whose claims are outdated who owns its slots; a replica, what its own primary has by now.
    fn correct(&self, ctx: &mut Ctx<'_>, from: &Header) {
        let speaks_for = from.primary.filter(|_| from.role == Role::Replica).unwrap_or(from.id);
        let Some(known) = self.table.get(&speaks_for).map(|peer| &peer.slots) else { return };
        if Rc::ptr_eq(known, &from.slots) || **known == *from.slots {
            return;
        }
        let claimed = from.slots.difference(&self.unclaimed);
        for (id, peer) in &self.table {
            if *id != from.id && peer.epoch > from.epoch && !peer.slots.is_disjoint(&claimed) {
                let update = Kind::Update { id: *id, epoch: peer.epoch, slots: Rc::clone(&peer.slots) };
                self.tell(ctx, from.addr, update);
            }
        }
    }

    fn take_update(&mut self, ctx: &mut Ctx<'_>, id: Id, epoch: u64, slots: &Rc<SlotSet>) {
        if id == self.id {
            return;
        }
        let Some(peer) = self.table.get_mut(&id).filter(|peer| peer.epoch < epoch) else { return };
        (peer.role, peer.primary, peer.epoch) = (Role::Primary, None, epoch);
        self.take_claims(ctx, id, epoch, slots);
    }

    /// Two primaries with one epoch: the one with the smaller id takes a new one.
    fn settle_collision(&mut self, ctx: &mut Ctx<'_>, from: &Header) {
        let collides = self.is_primary() && from.epoch == self.me().epoch && self.id < from.id;
        if collides {
            self.current_epoch += 1;
            self.me_mut().epoch = self.current_epoch;
            ctx.notes.push(Note::Collided { with: from.id, old: from.epoch });
        }
    }

    /// A replica whose primary turned replica follows that one's primary.
    fn repair_chain(&mut self, ctx: &mut Ctx<'_>) {
        let Some(primary) = self.primary().and_then(|id| self.table.get(&id)) else { return };
        let grand = primary.primary.filter(|id| primary.role == Role::Replica && *id != self.id);
        if let Some(grand) = grand.filter(|id| self.table.contains_key(id)) {
            self.follow(ctx, grand);
        }
    }
}
