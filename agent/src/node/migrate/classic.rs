//! The driver that works on every server: `IMPORTING`/`MIGRATING`, pipelined `MIGRATE`, `SETSLOT NODE` target first.
//!
//! Three groups of slots are in work at once, so that the servers never wait for us: one is closed and the next one
//! opened while the keys of the one between move.

use redisnode_agent_core::migration::{DriverKind, Patience, TooLarge, Verdict};
use redisnode_proto::{Millis, Slot, SlotSet};

use super::super::shared::whole;
use super::closing::Closer;
use super::drive::pair;
use super::driver::{Driver, End, Task, Wanted};
use super::find::{Batch, Found, find};
use super::functions;
use super::jobs::still_wanted;
use super::opening::Opener;
use super::pair::{Pair, count};
use super::ship::Shipper;
use crate::resp::{Lanes, RespError};

/// Pipelined `MIGRATE`.
pub(super) struct Classic;

impl Driver for Classic {
    const KIND: DriverKind = DriverKind::Migrate;

    async fn run(self, task: &Task, moved: impl Fn() + Send + Sync) -> Result<(), End> {
        let wanted = task.wanted.borrow().clone();
        let mut mover = Mover::connect(task, &wanted).await?;
        let result = mover.work(task, moved).await;
        mover.leave(result.is_ok()).await;
        result
    }
}

struct Mover {
    pair: Pair,
    opener: Opener,
    closer: Closer,
    shipper: Shipper,
    /// Looks again at slots with very many keys.
    own: Lanes,
    begun: Begun,
}

/// What a job has done with its slots.
struct Begun {
    node_timeout: Millis,
    /// Opened, closed, or left alone.
    slots: SlotSet,
    /// Slots that were not opened because of a key.
    left: Vec<TooLarge>,
}

impl Begun {
    /// Why not all slots have moved, if some could not be opened.
    fn end(&self) -> Result<(), String> {
        let Some(first) = self.left.first() else { return Ok(()) };
        let reason = first.reason(self.node_timeout);
        let more = self.left.len().saturating_sub(1);
        Err(if more == 0 { reason } else { format!("{reason}; {more} more slots have such keys") })
    }
}

/// Slots that are open, and what is to be moved.
#[derive(Default)]
struct Group {
    slots: Vec<Slot>,
    /// They were open before, by an earlier job or an earlier life of this agent or of its server.
    resumed: bool,
    batches: Vec<Batch>,
}

impl Mover {
    async fn connect(task: &Task, wanted: &Wanted) -> Result<Self, String> {
        let pair = pair(&task.shared, wanted)?;
        let node_timeout = task.shared.node_timeout();
        let (mut own, mut closer) = (pair.own_lanes(), Closer::new(pair.clone()));
        let open = async {
            functions::carry(&mut own, &mut closer.remote).await?;
            Shipper::connect(&pair, node_timeout).await
        };
        let shipper = open.await.map_err(|error: RespError| whole(&error))?;
        let opener = Opener::new(pair.clone());
        let begun = Begun { node_timeout, slots: SlotSet::new(), left: Vec::new() };
        Ok(Self { pair, opener, closer, shipper, own, begun })
    }

    /// What clients felt is what is said, whatever else failed meanwhile: a server that is held up does not answer others.
    async fn work(&mut self, task: &Task, moved: impl Fn() + Send + Sync) -> Result<(), End> {
        let ended = self.move_all(task, moved).await;
        match (ended, self.shipper.first_stuck()) {
            (_, Some(end @ End::Costly(_))) | (Ok(()), Some(end)) => Err(end),
            (Err(reason), _) => Err(End::Failed(reason)),
            (Ok(()), None) => Ok(self.begun.end()?),
        }
    }

    async fn move_all(&mut self, task: &Task, moved: impl Fn() + Send + Sync) -> Result<(), String> {
        let mut moving = next(&mut self.opener, task, &mut self.begun).await?;
        let mut closing = Vec::new();
        while moving.is_some() || !closing.is_empty() {
            let Group { slots, resumed, batches } = moving.take().unwrap_or_default();
            let foreign = |slot: &Slot| resumed && !self.pair.shared.jobs.open.is_ours(*slot);
            self.shipper.resumed.extend(slots.iter().copied().filter(foreign));
            let Self { opener, closer, shipper, begun, .. } = self;
            let (shipped, closed, opened) =
                tokio::join!(shipper.ship(batches, task), close(closer, task, &closing), next(opener, task, begun));
            shipped?;
            if closed? > 0 {
                moved();
            }
            moving = opened?;
            self.finish(task, &slots).await?;
            closing = slots.into_iter().filter(|slot| !self.shipper.stuck.contains_key(slot)).collect();
        }
        Ok(())
    }

    /// Slots that hold keys still, since they had very many or got new ones before they were opened, are looked at again
    /// until nothing is left, or nothing changes any more.
    async fn finish(&mut self, task: &Task, slots: &[Slot]) -> Result<(), String> {
        let mut patience = Patience::default();
        let mut left = slots.to_vec();
        loop {
            left.retain(|slot| !self.shipper.stuck.contains_key(slot));
            if left.is_empty() {
                return Ok(());
            }
            let mut counts = count(&mut self.own, &left).await.map_err(|error| whole(&error))?;
            counts.retain(|(_, keys)| *keys > 0);
            match patience.look(counts.iter().map(|(_, keys)| keys).sum()) {
                Verdict::Empty => return Ok(()),
                Verdict::GoOn => {}
                Verdict::GiveUp { reason } => return Err(reason),
            }
            left = counts.into_iter().map(|(slot, _)| slot).collect();
            let found = find(&mut self.own, &left).await.map_err(|error| whole(&error))?;
            self.shipper.ship(found.batches(&left.iter().copied().collect()), task).await?;
        }
    }

    /// Nothing of this job is open any more, or it stays open and is said: the replicas are told what is left.
    async fn leave(&mut self, all_closed: bool) {
        let Pair { shared, target_id, .. } = &self.pair;
        if all_closed {
            shared.jobs.open.forget_target(target_id);
        }
        if let Err(reason) = shared.jobs.open.tell(shared).await {
            tracing::info!(%reason, "a replica asks by itself whether slots are still open");
        }
    }
}

/// Opens the next group, if the job still wants one.
async fn next(opener: &mut Opener, task: &Task, begun: &mut Begun) -> Result<Option<Group>, String> {
    let Some(Chosen { slots, found }) = choose(opener, task, begun).await.map_err(|error| whole(&error))? else {
        return Ok(None);
    };
    let resume = found.is_none();
    let opened = opener.open(&slots, resume).await?;
    // What was to be resumed is opened again or closed; either way this job has done with it.
    begun.slots.extend(opened.iter().chain(slots.iter().filter(|_| resume)).copied());
    let found = match found {
        Some(found) => found,
        None => find(&mut opener.own, &opened).await.map_err(|error| whole(&error))?,
    };
    let is_open: SlotSet = opened.iter().copied().collect();
    let wanted = task.wanted.borrow().clone();
    task.shown.note(|job| {
        job.stalled = None;
        let unclosed = job.remaining.intersection(&begun.slots).union(&is_open);
        job.remaining = still_wanted(&wanted, &begun.slots).union(&unclosed);
    });
    Ok(Some(Group { slots: opened, resumed: resume, batches: found.batches(&is_open) }))
}

/// Slots to be opened together.
struct Chosen {
    slots: Vec<Slot>,
    /// Their keys; nothing yet if they are open already.
    found: Option<Found>,
}

/// What to open next, by what is wanted now: it may change while slots are looked at and left alone.
async fn choose(opener: &mut Opener, task: &Task, begun: &mut Begun) -> Result<Option<Chosen>, RespError> {
    loop {
        let wanted = task.wanted.borrow().clone();
        let (left, open) = (still_wanted(&wanted, &begun.slots), wanted.send.open.difference(&begun.slots));
        if left.is_empty() {
            return Ok(None);
        }
        let slots = opener.choose(&left, &open).await?;
        if slots.iter().any(|slot| open.contains(*slot)) {
            return Ok(Some(Chosen { slots, found: None }));
        }
        let found = find(&mut opener.own, &slots).await?;
        let slots = without_too_large(slots, &found, begun);
        if !slots.is_empty() {
            return Ok(Some(Chosen { slots, found: Some(found) }));
        }
    }
}

/// Leaves slots alone in which a key is too large.
fn without_too_large(mut chosen: Vec<Slot>, found: &Found, begun: &mut Begun) -> Vec<Slot> {
    let too_large = found.too_large(begun.node_timeout);
    chosen.retain(|slot| too_large.iter().all(|key| key.slot != *slot));
    begun.slots.extend(too_large.iter().map(|key| key.slot));
    begun.left.extend(too_large);
    chosen
}

async fn close(closer: &mut Closer, task: &Task, slots: &[Slot]) -> Result<u32, String> {
    if slots.is_empty() {
        return Ok(0);
    }
    let closed = closer.close(slots).await?;
    task.shown.note(|job| {
        job.slots_done += closed;
        job.remaining = job.remaining.difference(&slots.iter().copied().collect());
    });
    Ok(closed)
}
