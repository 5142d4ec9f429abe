//! A move in one piece at its source: the snapshot, the stream of changes, the pause, the grant, and letting go.

use rand::RngExt;
use redisnode_proto::SlotSet;

use super::clock::Time;
use super::data::{Data, Op};
use super::ids::{Addr, Id};
use super::server::{Ctx, Note, Server};
use super::whole::{Mover, Side, Step, Word};

/// How long a source holds its writes for a target that does not take over.
const PAUSE: Time = 10_000;
/// What a grant makes of that at least.
const GRANT: Time = 2000;

impl Server {
    /// `CLUSTER MIGRATESLOTS`: the job's name, which the server tells in its list only.
    pub(crate) fn migrate_slots(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet, to: Id) -> Result<u64, String> {
        if !self.is_primary() || !slots.is_subset(&self.me().slots) {
            return Err("ERR Slots are not served by this node.".into());
        }
        if !self.open.is_empty() {
            return Err("ERR Slots are being manually migrated".into());
        }
        if self.whole.out.values().any(|side| !side.slots.is_disjoint(slots)) {
            return Err("ERR I am already migrating slot".into());
        }
        let addr = self.table.get(&to).filter(|_| to != self.id).and_then(|peer| peer.addr);
        let addr = addr.ok_or("ERR Unknown node")?;
        let job = ctx.rng.random();
        let link = ctx.rng.random();
        self.whole.out.insert(job, Side::new(to, (addr, link), slots.clone(), ctx.now));
        self.tell_peer(ctx, job, Word::Offer(self.id, slots.clone()));
        Ok(job)
    }

    /// `CLUSTER CANCELSLOTMIGRATIONS`: every one of them, whatever its state (from the source), and writes flow again.
    pub(crate) fn cancel_exports(&mut self) {
        for job in self.whole.out.keys().copied().collect::<Vec<_>>() {
            self.end_giving(job, Err("cancelled".into()));
        }
    }

    /// The states of its exports, as its list shows them.
    pub(crate) fn export_states(&self) -> Vec<&'static str> {
        self.whole.out.keys().filter_map(|job| self.export_shown(*job)).map(|(state, _)| state).collect()
    }

    /// What the server's list shows of an export: its state, and its words.
    pub(crate) fn export_shown(&self, job: u64) -> Option<(&'static str, String)> {
        if let Some(side) = self.whole.out.get(&job) {
            let state = match side.step {
                Step::Connecting => "connecting",
                Step::Queued => "waiting-to-snapshot",
                Step::Streaming => "snapshotting",
                Step::Hung => "waiting-to-pause",
                Step::Paused => "failover-paused",
                Step::Granted => "failover-granted",
            };
            return Some((state, String::new()));
        }
        Some(match self.whole.over.get(&job)? {
            Ok(()) => ("success", String::new()),
            Err(why) if why == "cancelled" => ("cancelled", String::new()),
            Err(why) => ("failed", why.clone()),
        })
    }

    /// A target asks for slots (Redis).
    pub(crate) fn asked_to_give(&mut self, ctx: &mut Ctx<'_>, job: u64, to: (Id, Addr, u64), slots: &SlotSet) {
        let (to, addr, link) = to;
        let known = self.table.get(&to).is_some_and(|peer| peer.addr == Some(addr));
        let free = self.whole.out.is_empty() && self.whole.into.is_empty();
        let fits = self.is_primary() && slots.is_subset(&self.me().slots) && self.open.is_empty();
        let mut side = Side::new(to, (addr, link), slots.clone(), ctx.now);
        side.taken = 1;
        self.whole.out.insert(job, side);
        if known && free && fits && !self.is_paused_by_a_client(ctx.now) {
            self.give_snapshot(ctx, job);
        } else {
            self.tell_peer(ctx, job, Word::No("another task is in progress, or the slots are not mine".into()));
            self.end_giving(job, Err("refused".into()));
        }
    }

    /// A word of the target.
    pub(crate) fn hear_as_source(&mut self, ctx: &mut Ctx<'_>, job: u64, word: Word, hangs: bool) {
        let Some(step) = self.whole.out.get(&job).map(|side| side.step) else { return };
        match (word, step) {
            (Word::Yes, Step::Connecting) => self.give_snapshot(ctx, job),
            (Word::Ready, Step::Streaming) if hangs => self.advance(job, Step::Hung),
            (Word::Ready, Step::Streaming) => {
                self.hold_writes(job, ctx.now + PAUSE);
                self.advance(job, Step::Paused);
                self.tell_peer(ctx, job, Word::Paused);
            }
            (Word::Request, Step::Paused) => {
                self.hold_writes(job, ctx.now + GRANT);
                self.advance(job, Step::Granted);
                self.tell_peer(ctx, job, Word::Grant);
            }
            (Word::No(why), _) if step != self.last_step() => self.end_giving(job, Err(why)),
            _ => {}
        }
    }

    fn give_snapshot(&mut self, ctx: &mut Ctx<'_>, job: u64) {
        if ctx.now < self.saving_until {
            self.advance(job, Step::Queued);
            return;
        }
        let Some(side) = self.whole.out.get(&job) else { return };
        let slots = side.slots.clone();
        let keys = self.data.iter().filter(|(key, _)| slots.contains(key.slot));
        let snapshot: Data = keys.map(|(key, value)| (*key, value.clone())).collect();
        self.advance(job, Step::Streaming);
        self.tell_peer(ctx, job, Word::Snapshot(snapshot));
    }

    fn advance(&mut self, job: u64, step: Step) {
        if let Some(side) = self.whole.out.get_mut(&job) {
            side.step = step;
        }
    }

    fn hold_writes(&mut self, job: u64, until: Time) {
        if let Some(side) = self.whole.out.get_mut(&job) {
            side.pause_until = side.pause_until.max(until);
        }
    }

    /// Sends what has changed in slots that are on their way.
    pub(crate) fn tell_changes(&mut self, ctx: &mut Ctx<'_>) {
        for op in std::mem::take(&mut self.untold) {
            let key = match &op {
                Op::Push(key, _) | Op::Restore(key, _) | Op::Delete(key) => *key,
                Op::Mark(_) | Op::Stage(..) | Op::Flush => continue,
            };
            let streams =
                |side: &Side| side.slots.contains(key.slot) && !matches!(side.step, Step::Connecting | Step::Queued);
            let jobs: Vec<u64> = self.whole.out.iter().filter(|(_, side)| streams(side)).map(|(job, _)| *job).collect();
            for job in jobs {
                self.tell_peer(ctx, job, Word::Change(op.clone()));
            }
        }
    }

    /// The clock work of a source.
    pub(crate) fn tend_giving(&mut self, ctx: &mut Ctx<'_>) {
        for job in self.whole.out.keys().copied().collect::<Vec<_>>() {
            let Some(side) = self.whole.out.get(&job).cloned() else { continue };
            let paused = matches!(side.step, Step::Paused | Step::Granted);
            if !side.slots.is_subset(&self.me().slots) {
                self.end_giving(job, Err("Slots are no longer owned by myself".into()));
            } else if paused && ctx.now >= side.pause_until {
                let why = "Unpaused before failover completed: it may have succeeded with lost writes";
                ctx.notes.push(Note::Said(format!("a move to {} has not been taken over in time", side.peer)));
                self.end_giving(job, Err(why.into()));
            } else if side.step == Step::Queued {
                self.give_snapshot(ctx, job);
            }
        }
    }

    /// The connection of a job has ended. After the grant the source waits for who owns the slots.
    pub(crate) fn lost_as_source(&mut self, job: u64) {
        let Some(side) = self.whole.out.get(&job) else { return };
        if side.step != self.last_step() {
            self.end_giving(job, Err("Connection lost to target".into()));
        }
    }

    /// In this state the target may take the slots at any moment.
    fn last_step(&self) -> Step {
        match self.flavor.moves {
            Some(Mover::Source) => Step::Granted,
            Some(Mover::Target) | None => Step::Paused,
        }
    }

    pub(crate) fn end_giving(&mut self, job: u64, how: Result<(), String>) {
        if self.whole.out.remove(&job).is_some() {
            self.whole.over.insert(job, how);
        }
    }

    /// `owner` has these slots now, which were mine.
    pub(crate) fn gave(&mut self, owner: Id, slots: &SlotSet) {
        let touched = self.whole.out.iter().filter(|(_, side)| !side.slots.is_disjoint(slots));
        let ends: Vec<(u64, bool)> =
            touched.map(|(job, side)| (*job, side.peer == owner && side.slots.is_subset(slots))).collect();
        for (job, well) in ends {
            self.end_giving(job, if well { Ok(()) } else { Err("Slots are no longer owned by myself".into()) });
        }
    }

    /// Of these slots, those that `owner` may take whatever the epochs: they were granted to it (Valkey).
    pub(crate) fn granted_to(&self, owner: Id) -> SlotSet {
        let granted = self.whole.out.values().filter(|side| side.peer == owner && side.step == Step::Granted);
        granted.fold(SlotSet::new(), |all, side| all.union(&side.slots))
    }
}
