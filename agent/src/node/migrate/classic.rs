//! The driver that works on every server: `IMPORTING`/`MIGRATING`, pipelined `MIGRATE`, `SETSLOT NODE` target first.
//!
//! Three groups of slots are in work at once, so that the servers never wait for us: one is closed and the next one
//! opened while the keys of the one between move.

use redisnode_agent_core::config::UNTOLD_TIMEOUT;
use redisnode_agent_core::migration::{DriverKind, Patience, Verdict};
use redisnode_proto::{Slot, SlotSet};

use super::super::shared::whole;
use super::closing::Closer;
use super::drive::pair;
use super::driver::{Driver, End, Task, Wanted};
use super::find::{Found, find};
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
        let mut mover = Mover::connect(task, &wanted).await.map_err(End::Failed)?;
        let result = mover.work(task, moved).await;
        mover.leave(result.is_ok()).await;
        result.map_err(End::Failed)
    }
}

struct Mover {
    pair: Pair,
    opener: Opener,
    closer: Closer,
    shipper: Shipper,
    /// Looks again at slots with very many keys.
    own: Lanes,
    begun: SlotSet,
}

/// Slots that are open, and what is to be moved.
#[derive(Default)]
struct Group {
    slots: Vec<Slot>,
    /// They were open before, by an earlier job or an earlier life of this agent or of its server.
    resumed: bool,
    found: Found,
}

impl Mover {
    async fn connect(task: &Task, wanted: &Wanted) -> Result<Self, String> {
        let pair = pair(&task.shared, wanted)?;
        let node_timeout = task.shared.layout().map_or(UNTOLD_TIMEOUT, |layout| layout.settings.node_timeout);
        let (mut own, mut closer) = (pair.own_lanes(), Closer::new(pair.clone()));
        let open = async {
            functions::carry(&mut own, &mut closer.remote).await?;
            Shipper::connect(&pair, node_timeout).await
        };
        let shipper = open.await.map_err(|error: RespError| whole(&error))?;
        let opener = Opener::new(pair.clone());
        Ok(Self { pair, opener, closer, shipper, own, begun: SlotSet::new() })
    }

    async fn work(&mut self, task: &Task, moved: impl Fn() + Send + Sync) -> Result<(), String> {
        let mut moving = next(&mut self.opener, task, &mut self.begun).await?;
        let mut closing = Vec::new();
        while moving.is_some() || !closing.is_empty() {
            let Group { slots, resumed, found } = moving.take().unwrap_or_default();
            let foreign = |slot: &Slot| resumed && !self.pair.shared.jobs.open.is_ours(*slot);
            self.shipper.resumed.extend(slots.iter().copied().filter(foreign));
            let Self { opener, closer, shipper, begun, .. } = self;
            let (shipped, closed, opened) = tokio::join!(
                shipper.ship(found.batches, task),
                close(closer, task, &closing),
                next(opener, task, begun)
            );
            shipped?;
            if closed? > 0 {
                moved();
            }
            moving = opened?;
            self.finish(task, found.more).await?;
            closing = slots.into_iter().filter(|slot| !self.shipper.stuck.contains_key(slot)).collect();
        }
        self.shipper.stuck.pop_first().map_or(Ok(()), |(_, reason)| Err(reason))
    }

    /// Slots with very many keys are looked at again until nothing is left, or nothing changes any more.
    async fn finish(&mut self, task: &Task, mut more: Vec<Slot>) -> Result<(), String> {
        let mut patience = Patience::default();
        more.retain(|slot| !self.shipper.stuck.contains_key(slot));
        while !more.is_empty() {
            let counts = count(&mut self.own, &more).await.map_err(|error| whole(&error))?;
            match patience.look(counts.iter().map(|(_, keys)| keys).sum()) {
                Verdict::Empty => break,
                Verdict::GoOn => {}
                Verdict::GiveUp { reason } => return Err(reason),
            }
            let found = find(&mut self.own, &more).await.map_err(|error| whole(&error))?;
            self.shipper.ship(found.batches, task).await?;
            more.retain(|slot| !self.shipper.stuck.contains_key(slot));
        }
        Ok(())
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
async fn next(opener: &mut Opener, task: &Task, begun: &mut SlotSet) -> Result<Option<Group>, String> {
    let wanted = task.wanted.borrow().clone();
    let left = still_wanted(&wanted, begun);
    if left.is_empty() {
        return Ok(None);
    }
    let open = wanted.send.open.difference(begun);
    let chosen = opener.choose(&left, &open).await.map_err(|error| whole(&error))?;
    let resume = chosen.iter().any(|slot| open.contains(*slot));
    let slots = opener.open(&chosen, resume).await?;
    // What was to be resumed is opened again or closed; either way this job has done with it.
    begun.extend(slots.iter().chain(chosen.iter().filter(|_| resume)).copied());
    let found = find(&mut opener.own, &slots).await.map_err(|error| whole(&error))?;
    task.shown.note(|job| {
        job.stalled = None;
        let unclosed = job.remaining.intersection(begun).union(&slots.iter().copied().collect());
        job.remaining = still_wanted(&wanted, begun).union(&unclosed);
    });
    Ok(Some(Group { slots, resumed: resume, found }))
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
