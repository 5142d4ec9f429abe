//! The commands of CLUSTER that agents send, with their preconditions and their traps.

use std::rc::Rc;

use rand::RngExt;
use redisnode_proto::SlotSet;
use redisnode_proto::topology::{Direction, Role};

use super::clock::Time;
use super::data::{Op, keys_in};
use super::ids::{Addr, Id};
use super::server::{Ctx, Mark, Note, Peer, Server};

/// How long a forgotten id is not learned again by gossip.
const FORGOTTEN_FOR: Time = 60_000;

/// What a command answers.
pub(crate) type Reply = Result<(), String>;

impl Server {
    pub(crate) fn meet(&mut self, ctx: &mut Ctx<'_>, addr: Addr) {
        let until = ctx.now + self.node_timeout.max(1000);
        if !self.handshakes.iter().any(|h| h.addr == addr) && addr != self.addr {
            self.handshakes.push(super::server::Handshake { addr, until, meet: true, sent_at: None });
        }
    }

    pub(crate) fn forget(&mut self, now: Time, id: Id) -> Reply {
        if id == self.id || Some(id) == self.primary() {
            return Err("ERR Can't forget my master or myself!".into());
        }
        self.forgotten.insert(id, now + FORGOTTEN_FOR);
        self.table.remove(&id).map(|_| ()).ok_or_else(|| "ERR Unknown node".into())
    }

    pub(crate) fn replicate(&mut self, ctx: &mut Ctx<'_>, id: Id) -> Reply {
        let target = self.table.get(&id).filter(|_| id != self.id).ok_or("ERR Unknown node")?;
        if target.role != Role::Primary {
            return Err("ERR I can only replicate a master, not a replica.".into());
        }
        if self.is_primary() && (!self.me().slots.is_empty() || !self.data.is_empty()) {
            return Err("ERR To set a master the node must be empty and without assigned slots.".into());
        }
        let same = self.primary() == Some(id);
        self.follow(ctx, id);
        if !same && self.flavor.replicate_full_syncs {
            self.history = super::server::History { id: ctx.rng.random(), former: None };
        }
        Ok(())
    }

    /// CLUSTER RESET HARD: a new id, no peers, epoch 0. Refused to a primary with keys; empties a replica.
    pub(crate) fn reset_hard(&mut self, ctx: &mut Ctx<'_>) -> Reply {
        if self.is_primary() && !self.data.is_empty() {
            return Err("ERR CLUSTER RESET can't be called with master nodes containing keys".into());
        }
        if !self.data.is_empty() {
            ctx.notes.push(Note::Dropped { before: std::mem::take(&mut self.data), why: "it was reset" });
        }
        self.unlink(ctx.now);
        self.link = super::server::Link::Down { since: None };
        self.id = Id(ctx.rng.random());
        self.table.clear();
        self.table.insert(self.id, Peer::new(self.id, Some(self.addr), ctx.now));
        self.handshakes.clear();
        self.forgotten.clear();
        self.attached.clear();
        self.open.clear();
        self.whole = super::whole::Whole::default();
        self.unclaimed = SlotSet::new();
        (self.current_epoch, self.last_vote, self.offset) = (0, 0, 0);
        self.backlog.clear();
        self.history = super::server::History { id: ctx.rng.random(), former: None };
        Ok(())
    }

    pub(crate) fn add_slots(&mut self, now: Time, slots: &SlotSet) -> Reply {
        let taken = self.table.values().any(|peer| !peer.slots.is_disjoint(slots));
        if taken || !self.is_primary() {
            return Err("ERR Slot is already busy".into());
        }
        self.assign(slots, Some(self.id));
        self.open.retain(|slot, _| !slots.contains(*slot));
        self.judge_state(now);
        Ok(())
    }

    pub(crate) fn set_config_epoch(&mut self, epoch: u64) -> Reply {
        if self.table.len() > 1 || self.me().epoch != 0 {
            return Err("ERR Node config epoch is already non-zero, or it knows other nodes".into());
        }
        self.me_mut().epoch = epoch;
        self.current_epoch = self.current_epoch.max(epoch);
        Ok(())
    }

    /// Changes marks; replicated where the flavor does so.
    fn set_mark(&mut self, mark: Mark) {
        self.mark(&mark);
        if self.flavor.marks_survive {
            self.emit(Op::Mark(mark));
        }
    }

    pub(crate) fn set_migrating(&mut self, slots: &SlotSet, to: Id) -> Reply {
        self.check_party(to)?;
        if !slots.is_subset(&self.me().slots) {
            return Err("ERR I'm not the owner of these hash slots".into());
        }
        self.set_mark(Mark::Open(Rc::new(slots.clone()), Direction::Migrating, to));
        Ok(())
    }

    pub(crate) fn set_importing(&mut self, slots: &SlotSet, from: Id) -> Reply {
        self.check_party(from)?;
        if !slots.is_disjoint(&self.me().slots) {
            return Err("ERR I'm already the owner of these hash slots".into());
        }
        self.set_mark(Mark::Open(Rc::new(slots.clone()), Direction::Importing, from));
        Ok(())
    }

    pub(crate) fn set_stable(&mut self, slots: &SlotSet) -> Reply {
        if !self.is_primary() {
            return Err("ERR You can use SETSLOT only with masters.".into());
        }
        self.set_mark(Mark::Closed(Rc::new(slots.clone())));
        Ok(())
    }

    /// SETSLOT NODE: with the own id on slots that are IMPORTING it takes an epoch of its own; else it only changes the
    /// own table.
    pub(crate) fn set_owner(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet, id: Id) -> Reply {
        if !self.is_primary() {
            return Err("ERR You can use SETSLOT only with masters.".into());
        }
        if self.table.get(&id).is_none_or(|peer| peer.role != Role::Primary) {
            return Err("ERR Unknown node".into());
        }
        let holds_keys =
            slots.iter().filter(|slot| self.owns(*slot)).any(|slot| keys_in(&self.data, slot).next().is_some());
        if id != self.id && holds_keys {
            return Err(
                "ERR Can't assign hashslot to a different node while I still hold keys for this hash slot.".into()
            );
        }
        let importing = |slot| matches!(self.open.get(&slot), Some((Direction::Importing, _)));
        let arrived = id == self.id && slots.iter().any(importing);
        self.assign(slots, Some(id));
        if slots.iter().any(|slot| self.open.contains_key(&slot)) {
            self.set_mark(Mark::Closed(Rc::new(slots.clone())));
        }
        if arrived {
            self.bump_epoch();
            ctx.notes.push(Note::Said(format!("took slots {slots} under epoch {}", self.me().epoch)));
            self.tell_all(ctx, super::bus::Kind::Pong);
        }
        Ok(())
    }

    fn check_party(&self, id: Id) -> Reply {
        if !self.is_primary() {
            return Err("ERR You can use SETSLOT only with masters.".into());
        }
        let fits = self.table.get(&id).is_some_and(|peer| peer.role == Role::Primary);
        if fits { Ok(()) } else { Err("ERR I don't know about node, or it is not a master".into()) }
    }
}

/// What a server answers to a client's write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteReply {
    /// Acknowledged, under the epoch of the owner; a write that came by ASK has none of its own.
    Done {
        epoch: Option<u64>,
    },
    Moved(Id),
    Ask(Id),
    /// Held back until later.
    Held,
    Down,
}

impl Server {
    /// A client pushes `number` to `key`.
    pub(crate) fn write(&mut self, now: Time, key: super::data::Key, number: u32, asking: bool) -> WriteReply {
        if self.is_loading(now) {
            return WriteReply::Down;
        }
        if !self.state_ok {
            return WriteReply::Down;
        }
        let mark = self.open.get(&key.slot).copied();
        let Some(owner) = self.owner(key.slot) else { return WriteReply::Down };
        let has = self.data.contains_key(&key);
        let importing = matches!(mark, Some((Direction::Importing, _)));
        let epoch = if owner == self.id {
            match mark {
                Some((Direction::Migrating, to)) if !has => return WriteReply::Ask(to),
                _ => Some(self.me().epoch),
            }
        } else if asking && importing && self.is_primary() {
            None
        } else {
            return WriteReply::Moved(owner);
        };
        if self.writes_paused(now) {
            return WriteReply::Held;
        }
        self.emit(Op::Push(key, number));
        WriteReply::Done { epoch }
    }
}
