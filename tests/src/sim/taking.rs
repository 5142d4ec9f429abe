//! A move in one piece at its target: keys arrive hidden, and are everybody's at once when the slots are taken, or dropped.

use rand::RngExt;
use redisnode_proto::SlotSet;

use super::clock::Time;
use super::data::Op;
use super::ids::{Addr, Id};
use super::server::{Ctx, Note, Server};
use super::whole::{Mover, Retry, Side, Stage, Step, Word};

/// How often a server tries a failed task again (Redis).
const RETRY_EVERY: Time = 1000;

impl Server {
    /// `CLUSTER MIGRATION IMPORT`: the task's id.
    pub(crate) fn import_slots(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet) -> Result<u64, String> {
        if !self.is_primary() {
            return Err("ERR slot migration not allowed on replica.".into());
        }
        if !self.open.is_empty() {
            return Err("ERR all slot states must be STABLE".into());
        }
        if !self.whole.into.is_empty() || !self.whole.out.is_empty() {
            return Err("ERR another ASM task is already in progress".into());
        }
        for (task, retry) in std::mem::take(&mut self.whole.retries) {
            self.whole.over.insert(task, Err(format!("new import requested, {}", retry.error)));
        }
        let task = ctx.rng.random();
        self.ask_for(ctx, task, slots)?;
        Ok(task)
    }

    fn ask_for(&mut self, ctx: &mut Ctx<'_>, task: u64, slots: &SlotSet) -> Result<(), String> {
        let owner = slots.iter().next().and_then(|slot| self.owner(slot)).filter(|owner| *owner != self.id);
        let owner = owner.ok_or("ERR slot has no owner, or it is this node")?;
        let peer = &self.table[&owner];
        if !slots.is_subset(&peer.slots) {
            return Err("ERR slots belong to different source nodes".into());
        }
        let addr = peer.addr.ok_or("ERR the owner has no address")?;
        let link = ctx.rng.random();
        self.whole.into.insert(task, Side::new(owner, (addr, link), slots.clone(), ctx.now));
        self.tell_peer(ctx, task, Word::Ask(self.id, slots.clone()));
        Ok(())
    }

    /// `CLUSTER MIGRATION CANCEL`.
    pub(crate) fn cancel_import(&mut self, ctx: &mut Ctx<'_>, task: u64) {
        if self.whole.into.contains_key(&task) {
            self.drop_taking(ctx, task, Err("canceled".into()));
        }
        if self.whole.retries.remove(&task).is_some() {
            self.whole.over.insert(task, Err("canceled".into()));
        }
    }

    /// What `CLUSTER MIGRATION STATUS` shows of a task: its state, its last error, how often it was tried again.
    pub(crate) fn import_shown(&self, task: u64) -> Option<(&'static str, String, u64)> {
        if let Some(retry) = self.whole.retries.get(&task) {
            let state = if self.whole.into.contains_key(&task) { "connecting" } else { "failed" };
            return Some((state, retry.error.clone(), retry.times));
        }
        if self.whole.into.contains_key(&task) {
            return Some(("accumulate-buffer", String::new(), 0));
        }
        Some(match self.whole.over.get(&task)? {
            Ok(()) => ("completed", String::new(), 0),
            Err(why) => ("canceled", why.clone(), 0),
        })
    }

    /// A source wants to send slots (Valkey).
    pub(crate) fn offered(&mut self, ctx: &mut Ctx<'_>, job: u64, from: (Id, Addr, u64), slots: &SlotSet) {
        let (from, addr, link) = from;
        let mut side = Side::new(from, (addr, link), slots.clone(), ctx.now);
        side.taken = 1;
        let owns = self.table.get(&from).is_some_and(|peer| slots.is_subset(&peer.slots));
        let free = self.whole.into.values().all(|other| other.slots.is_disjoint(slots))
            && slots.iter().all(|slot| !self.open.contains_key(&slot));
        let takes = self.is_primary() && owns && free;
        side.step = Step::Streaming;
        self.whole.into.insert(job, side);
        if takes {
            self.emit(Op::Stage(job, Stage::Begin(slots.clone())));
            self.tell_peer(ctx, job, Word::Yes);
        } else {
            self.tell_peer(ctx, job, Word::No("Target node does not agree about current slot ownership".into()));
            self.whole.into.remove(&job);
        }
    }

    /// A word of the source. `full`: there is no room for its keys.
    pub(crate) fn hear_as_target(&mut self, ctx: &mut Ctx<'_>, job: u64, word: Word, full: bool) {
        let Some(side) = self.whole.into.get_mut(&job) else { return };
        let slots = side.slots.clone();
        match word {
            Word::Snapshot(_) if full => self.fail_taking(ctx, job, "Ran out of memory (OOM)"),
            Word::Snapshot(data) => {
                side.step = Step::Streaming;
                if !self.whole.staged.contains_key(&job) {
                    self.emit(Op::Stage(job, Stage::Begin(slots)));
                }
                self.emit(Op::Stage(job, Stage::Load(data)));
                self.tell_peer(ctx, job, Word::Ready);
            }
            Word::Change(op) => self.emit(Op::Stage(job, Stage::Change(Box::new(op)))),
            Word::Paused if self.flavor.moves == Some(Mover::Source) => {
                side.step = Step::Paused;
                self.tell_peer(ctx, job, Word::Request);
            }
            Word::Paused | Word::Grant => self.take(ctx, job),
            Word::No(why) => self.fail_taking(ctx, job, &why),
            Word::Offer(..) | Word::Ask(..) | Word::Yes | Word::Ready | Word::Request => {}
        }
    }

    /// The slots are its own from now on, under an epoch that it takes without asking anybody.
    fn take(&mut self, ctx: &mut Ctx<'_>, job: u64) {
        let Some(side) = self.whole.into.remove(&job) else { return };
        self.whole.retries.remove(&job);
        self.bump_epoch();
        self.assign(&side.slots, Some(self.id));
        self.emit(Op::Stage(job, Stage::End(true)));
        self.whole.over.insert(job, Ok(()));
        ctx.notes.push(Note::Took { job, slots: side.slots.clone(), from: side.peer });
        self.tell_all(ctx, super::bus::Kind::Pong);
    }

    /// It has failed: what has arrived is dropped. Redis tries again by itself.
    pub(crate) fn fail_taking(&mut self, ctx: &mut Ctx<'_>, job: u64, why: &str) {
        let Some(slots) = self.whole.into.get(&job).map(|side| side.slots.clone()) else { return };
        if self.flavor.moves == Some(Mover::Target) && self.is_primary() {
            let times = self.whole.retries.get(&job).map_or(0, |retry| retry.times);
            let retry = Retry { slots, at: ctx.now + RETRY_EVERY, times, error: why.to_owned() };
            self.whole.retries.insert(job, retry);
        }
        self.drop_taking(ctx, job, Err(why.to_owned()));
    }

    fn drop_taking(&mut self, ctx: &mut Ctx<'_>, job: u64, how: Result<(), String>) {
        self.tell_peer(ctx, job, Word::No("the target has ended it".into()));
        self.whole.into.remove(&job);
        if self.whole.staged.contains_key(&job) {
            self.emit(Op::Stage(job, Stage::End(false)));
        }
        self.whole.over.insert(job, how);
    }

    /// The clock work of a target.
    pub(crate) fn tend_taking(&mut self, ctx: &mut Ctx<'_>) {
        let sides: Vec<(u64, Id, SlotSet)> =
            self.whole.into.iter().map(|(job, side)| (*job, side.peer, side.slots.clone())).collect();
        for (job, peer, slots) in sides {
            if !self.table.get(&peer).is_some_and(|peer| slots.is_subset(&peer.slots)) {
                self.fail_taking(ctx, job, "Slots are no longer owned by source node");
            }
        }
        let due: Vec<u64> = self
            .whole
            .retries
            .iter()
            .filter(|(task, retry)| ctx.now >= retry.at && !self.whole.into.contains_key(task))
            .map(|(task, _)| *task)
            .collect();
        for task in due {
            let Some(retry) = self.whole.retries.get_mut(&task) else { continue };
            (retry.times, retry.at) = (retry.times + 1, ctx.now + RETRY_EVERY);
            let slots = retry.slots.clone();
            if let Err(why) = self.ask_for(ctx, task, &slots)
                && let Some(retry) = self.whole.retries.get_mut(&task)
            {
                retry.error = why;
            }
        }
    }

    /// CLIENT PAUSE, or a manual failover at this primary: Redis gives its tasks up.
    pub(crate) fn pause_ends_moves(&mut self, ctx: &mut Ctx<'_>) {
        if self.flavor.moves != Some(Mover::Target) {
            return;
        }
        let tasks: Vec<u64> = self.whole.into.keys().chain(self.whole.retries.keys()).copied().collect();
        for task in tasks {
            self.cancel_import(ctx, task);
        }
        for job in self.whole.out.keys().copied().collect::<Vec<_>>() {
            self.end_giving(job, Err("client pause requested".into()));
        }
    }
}
