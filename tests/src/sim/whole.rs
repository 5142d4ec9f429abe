//! Moves of many slots in one piece, done by the servers themselves: what either side remembers and what they say to each
//! other, reduced to the steps that matter. Valkey's are begun at the source (`CLUSTER MIGRATESLOTS`), Redis's at the target
//! (`CLUSTER MIGRATION IMPORT`). What the source does stands in `giving`, what the target does in `taking`, the connection
//! between them in `wire`.

use std::collections::BTreeMap;

use redisnode_proto::SlotSet;

use super::clock::Time;
use super::data::{Data, Key, Op, Value, apply};
use super::ids::{Addr, Id};
use super::server::{Ctx, Server};

/// Who moves slots in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mover {
    /// The source, which is asked to (Valkey 9 and later).
    Source,
    /// The target, which is asked to (Redis 8.4 and later).
    Target,
}

/// What one side says to the other.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// Source to target: it wants to send these.
    Offer(Id, SlotSet),
    /// Target to source: it wants to have these.
    Ask(Id, SlotSet),
    /// Either: no.
    No(String),
    /// Target to source: it takes what is offered.
    Yes,
    /// Source to target: the keys as they were at one moment.
    Snapshot(Data),
    /// Source to target: what has changed since.
    Change(Op),
    /// Target to source: it has all of the snapshot.
    Ready,
    /// Source to target: no more writes come. Where the target moves, it is to take the slots.
    Paused,
    /// Target to source: may it take the slots.
    Request,
    /// Source to target: it may.
    Grant,
}

/// A word on its way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) job: u64,
    pub(crate) link: u64,
    /// Which word of its side on this connection, from 1.
    pub(crate) number: u64,
    pub(crate) word: Word,
}

/// How far one side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Connecting,
    /// The source's one child is at other work.
    Queued,
    Streaming,
    /// It hangs before its pause, and will not end by itself.
    Hung,
    Paused,
    Granted,
}

/// One side of a move.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) peer: Id,
    pub(crate) addr: Addr,
    /// Which connection: what is still on its way in an older one is never read.
    pub(crate) link: u64,
    pub(crate) slots: SlotSet,
    pub(crate) step: Step,
    pub(crate) since: Time,
    /// When the other side was reached last.
    pub(crate) heard_at: Time,
    /// Words that were sent, and that were taken: they arrive in order.
    pub(crate) sent: u64,
    pub(crate) taken: u64,
    /// The source holds writes until then.
    pub(crate) pause_until: Time,
}

/// A task of a target's that has failed and is tried again by its server.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) slots: SlotSet,
    pub(crate) at: Time,
    pub(crate) times: u64,
    pub(crate) error: String,
}

/// Keys of a move that no client sees yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staged {
    pub(crate) slots: SlotSet,
    pub(crate) data: Data,
}

/// What a server remembers of such moves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) out: BTreeMap<u64, Side>,
    pub(crate) into: BTreeMap<u64, Side>,
    /// Its words for moves that are over.
    pub(crate) over: BTreeMap<u64, Result<(), String>>,
    pub(crate) retries: BTreeMap<u64, Retry>,
    pub(crate) staged: BTreeMap<u64, Staged>,
}

/// A change of what is staged, as it goes to replicas.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Begin(SlotSet),
    Load(Data),
    Change(Box<Op>),
    /// It is over; whether the slots were taken.
    End(bool),
}

impl Side {
    pub(crate) fn new(peer: Id, (addr, link): (Addr, u64), slots: SlotSet, now: Time) -> Self {
        let step = Step::Connecting;
        Self { peer, addr, link, slots, step, since: now, heard_at: now, sent: 0, taken: 0, pause_until: 0 }
    }
}

impl Server {
    /// Whether a move of its own holds its writes.
    pub(crate) fn is_giving(&self, now: Time) -> bool {
        self.whole.out.values().any(|side| now < side.pause_until)
    }

    /// Says something to the other side of a move.
    pub(crate) fn tell_peer(&mut self, ctx: &mut Ctx<'_>, job: u64, word: Word) {
        let side = match self.whole.out.get_mut(&job) {
            Some(side) => side,
            None => match self.whole.into.get_mut(&job) {
                Some(side) => side,
                None => return,
            },
        };
        side.sent += 1;
        ctx.words.push((side.addr, Parcel { job, link: side.link, number: side.sent, word }));
    }

    /// As a replica of the target, or as the target: keys that arrive.
    pub(crate) fn stage(&mut self, job: u64, stage: &Stage) {
        match stage {
            Stage::Begin(slots) => {
                self.whole.staged.insert(job, Staged { slots: slots.clone(), data: Data::new() });
            }
            Stage::Load(data) => {
                if let Some(staged) = self.whole.staged.get_mut(&job) {
                    staged.data.clone_from(data);
                }
            }
            Stage::Change(op) => {
                if let Some(staged) = self.whole.staged.get_mut(&job) {
                    apply(&mut staged.data, op);
                }
            }
            Stage::End(taken) => {
                let staged = self.whole.staged.remove(&job).filter(|_| *taken).unwrap_or_default();
                self.data.retain(|key, _| !staged.slots.contains(key.slot));
                self.data.extend(staged.data);
            }
        }
    }

    /// It is a primary no more: its moves are over. What has arrived stays hidden until its new primary says what becomes
    /// of it.
    pub(crate) fn end_moves_of_a_primary(&mut self) {
        let jobs = self.whole.out.keys().chain(self.whole.into.keys()).chain(self.whole.retries.keys());
        let over: Vec<u64> = jobs.copied().collect();
        self.whole.over.extend(over.into_iter().map(|job| (job, Err("it is a replica now".to_owned()))));
        self.whole.out.clear();
        self.whole.into.clear();
        self.whole.retries.clear();
    }

    /// Keys that are hidden here although the slots are this shard's already: its primary has taken them, and a promotion
    /// keeps them.
    pub(crate) fn staged_of_the_shard(&self) -> impl Iterator<Item = (&Key, &Value)> {
        let owner = self.primary().unwrap_or(self.id);
        let slots = self.table.get(&owner).map(|peer| peer.slots.clone()).unwrap_or_default();
        let kept = self.whole.staged.values().filter(move |staged| staged.slots.is_subset(&slots));
        kept.flat_map(|staged| &staged.data)
    }

    /// It was promoted in the middle of a move to its primary: what that one had taken is kept, the rest is dropped.
    pub(crate) fn settle_staged(&mut self) {
        let staged: Vec<(u64, bool)> =
            self.whole.staged.iter().map(|(job, staged)| (*job, staged.slots.is_subset(&self.me().slots))).collect();
        for (job, taken) in staged {
            self.emit(Op::Stage(job, Stage::End(taken)));
        }
    }

    /// FLUSHALL: every key goes, and every move with it.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>) {
        for job in self.whole.out.keys().copied().collect::<Vec<_>>() {
            self.end_giving(job, Err("Data was flushed".into()));
        }
        for job in self.whole.into.keys().copied().collect::<Vec<_>>() {
            self.fail_taking(ctx, job, "Data was flushed");
        }
        self.emit(Op::Flush);
    }
}
