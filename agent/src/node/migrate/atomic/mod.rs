//! Moves in pieces of many slots, each moved by the servers themselves: how such a job goes on, whichever server does the
//! work. After any end of a piece the truth is who owns its slots, read from both servers; the servers' words are the reason
//! only.

mod export;
mod import;
mod truth;

use std::future::Future;
use std::time::Duration;

use redisnode_agent_core::migration::{DriverKind, Phase, PieceLimit, Speed, deadline, piece};
use redisnode_proto::SlotSet;
use tokio::time::{Instant, sleep};

use super::super::shared::whole;
use super::driver::{Driver, End, Task};
use super::functions;
use super::pair::{Pair, count};
use crate::resp::Lanes;

pub(super) use export::Export;
pub(in crate::node) use export::maps;
pub(super) use import::{Import, end_left_behind};
use truth::Truth;

/// How often it is asked how far a piece is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often it is asked whether a piece may begin.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// What is in the way for longer is not waited for: another driver moves meanwhile.
const WAIT_AT_MOST: Duration = Duration::from_secs(30);
/// A piece that is cancelled ends within milliseconds; one that changes owners at this moment ends otherwise.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

/// Whether a piece could be begun.
pub(super) enum Begun {
    /// It is under way.
    Yes,
    /// Another move is under way, and ends by itself.
    Busy(String),
    /// Something else is in the way.
    Waits(String),
}

/// How servers move one piece.
pub(super) trait Mover {
    /// Its name.
    const KIND: DriverKind;
    /// How many bytes one piece may hold.
    const BYTES: u64;

    /// How many keys one piece may hold at this speed.
    fn keys(speed: Speed) -> u64;

    /// Begins a piece. An error is a refusal, a sentence.
    fn begin(&mut self, slots: &SlotSet) -> impl Future<Output = Result<Begun, String>> + Send;
    /// How far the piece is.
    fn look(&mut self) -> impl Future<Output = Result<Phase, String>> + Send;
    /// Tells the servers to give the piece up.
    fn cancel(&mut self) -> impl Future<Output = ()> + Send;
}

/// Moves piece by piece.
pub(super) struct Pieces<M> {
    pair: Pair,
    mover: M,
}

impl<M: Mover> Pieces<M> {
    /// From here to there, by this mover.
    pub(super) fn by(pair: &Pair, mover: M) -> Self {
        Self { pair: pair.clone(), mover }
    }
}

impl<M: Mover + Send> Driver for Pieces<M> {
    const KIND: DriverKind = M::KIND;

    async fn run(self, task: &Task, moved: impl Fn() + Send + Sync) -> Result<(), End> {
        let Self { pair, mut mover } = self;
        pieces(task, &pair, &mut mover, moved).await
    }
}

async fn pieces<M: Mover>(task: &Task, pair: &Pair, mover: &mut M, moved: impl Fn()) -> Result<(), End> {
    let mut truth = Truth::of(pair);
    let mut own = pair.own_lanes();
    let carried = functions::carry(&mut own, &mut pair.remote_lanes()).await;
    carried.map_err(|error| End::Failed(whole(&error)))?;
    let mut gone = SlotSet::new();
    loop {
        let wanted = task.wanted.borrow().clone();
        let left = wanted.send.slots.difference(&gone);
        if wanted.stop || left.is_empty() {
            return Ok(());
        }
        let (slots, keys, key_bytes) = next::<M>(task, pair, &mut own, &left).await.map_err(End::Failed)?;
        task.pause(pair.pay(keys.saturating_mul(key_bytes)), &slots).await;
        if !begin(task, mover, &slots).await? {
            continue;
        }
        let within = Duration::from_millis(deadline(keys, key_bytes).0);
        let over = carry_through(task, mover, &slots, within).await;
        let arrived = truth.arrived(&slots, over.is_ok()).await.map_err(End::Failed)?;
        let all = arrived == slots;
        gone = gone.union(&arrived);
        task.shown.note(|job| {
            job.stalled = None;
            job.slots_done += u32::from(arrived.len());
            job.remaining = left.difference(&arrived);
            if all {
                job.keys_done += keys;
                job.bytes_done += keys.saturating_mul(key_bytes);
                job.keys_left = job.keys_left.map(|before| before.saturating_sub(keys));
            }
        });
        if all {
            moved();
            continue;
        }
        match over {
            Err(Stop::Unwanted | Stop::Swept) => {}
            Err(Stop::Queued(reason)) => return Err(End::InTheWay(reason)),
            Err(Stop::Failed(reason)) => return Err(End::Failed(stayed(&slots, &arrived, &reason))),
            Ok(()) => return Err(End::Failed(stayed(&slots, &arrived, "the servers say that all went well"))),
        }
    }
}

fn stayed(slots: &SlotSet, arrived: &SlotSet, reason: &str) -> String {
    let stay = slots.difference(arrived).len();
    format!("{stay} of {} slots of a piece stay where they were, with their keys: {reason}", slots.len())
}

/// The next piece, how many keys it has, and how large one is about. Where the bytes a second are bounded it is small: the
/// servers send it as fast as they can.
async fn next<M: Mover>(
    task: &Task,
    pair: &Pair,
    own: &mut Lanes,
    left: &SlotSet,
) -> Result<(SlotSet, u64, u64), String> {
    let rate = pair.bounds().max_bytes_per_second;
    let key_bytes = pair.key_bytes().ok_or("the own server does not answer")?;
    let limit =
        PieceLimit { keys: M::keys(task.tempo.now()), bytes: rate.map_or(M::BYTES, |rate| M::BYTES.min(rate / 4)) };
    let slots: Vec<_> = left.iter().collect();
    let counts = count(own, &slots).await.map_err(|error| whole(&error))?;
    let (slots, keys) = piece(&counts, key_bytes, limit);
    Ok((slots, keys, key_bytes))
}

/// Begins the piece as soon as nothing is in its way. False if it is not wanted any more.
async fn begin<M: Mover>(task: &Task, mover: &mut M, slots: &SlotSet) -> Result<bool, End> {
    let mut waiting = Instant::now();
    loop {
        if task.wanted.borrow().lacks(slots) {
            return Ok(false);
        }
        let reason = match mover.begin(slots).await.map_err(End::Failed)? {
            Begun::Yes => {
                task.shown.note(|job| job.stalled = None);
                return Ok(true);
            }
            Begun::Busy(reason) => {
                waiting = Instant::now();
                reason
            }
            Begun::Waits(reason) if waiting.elapsed() > WAIT_AT_MOST => {
                let seconds = WAIT_AT_MOST.as_secs();
                return Err(End::InTheWay(format!("waited {seconds} s: {reason}; another driver has its turn")));
            }
            Begun::Waits(reason) => reason,
        };
        task.shown.note(|job| job.stalled = Some(reason));
        sleep(ASK_EVERY).await;
    }
}

/// Why a piece was given up.
enum Stop {
    Unwanted,
    Swept,
    Queued(String),
    Failed(String),
}

/// Follows a piece to its end, which is ours if it takes too long or nobody wants it any more.
async fn carry_through<M: Mover>(task: &Task, mover: &mut M, slots: &SlotSet, within: Duration) -> Result<(), Stop> {
    let begun = Instant::now();
    let mut queued = Duration::ZERO;
    loop {
        let phase = match mover.look().await {
            Ok(Phase::Over(None)) => return Ok(()),
            Ok(Phase::Swept) => return Err(Stop::Swept),
            Ok(Phase::Over(Some(reason))) => {
                mover.cancel().await;
                return Err(Stop::Failed(reason));
            }
            Ok(phase) => phase,
            Err(reason) => {
                give_up(mover).await;
                return Err(Stop::Failed(reason));
            }
        };
        let stop = if task.wanted.borrow().lacks(slots) {
            Some(Stop::Unwanted)
        } else if queued > WAIT_AT_MOST {
            let seconds = WAIT_AT_MOST.as_secs();
            Some(Stop::Queued(format!("another child of the server has been at work for {seconds} s")))
        } else if begun.elapsed() > within {
            Some(Stop::Failed(format!("it was not over after {} s, and was cancelled", within.as_secs())))
        } else {
            None
        };
        if let Some(stop) = stop {
            give_up(mover).await;
            return Err(stop);
        }
        sleep(LOOK_EVERY).await;
        if phase == Phase::Queued {
            queued += LOOK_EVERY;
        }
    }
}

/// Cancels, and waits until the servers say that it is over. At some moments nothing may be cancelled: it is tried again.
async fn give_up<M: Mover>(mover: &mut M) {
    let until = Instant::now() + CANCELLED_WITHIN;
    loop {
        mover.cancel().await;
        if Instant::now() >= until || matches!(mover.look().await, Ok(Phase::Over(_) | Phase::Swept) | Err(_)) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}
