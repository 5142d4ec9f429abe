//! The slots that are open towards anybody by any job of this source, and what the replicas' agents were told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redisnode_proto::{NodeId, Slot, SlotSet};

use super::super::shared::Shared;
use super::notices;

/// Open slots of all jobs: replicas are always told all of them together.
#[derive(Default)]
pub(super) struct OpenNow {
    slots: Mutex<Slots>,
    /// The newest version that was told. One notice at a time: an older set must not overtake a newer one.
    told: tokio::sync::Mutex<u64>,
}

/// What a notice says.
pub(super) struct Told {
    pub(super) open: BTreeMap<Slot, NodeId>,
    /// Of these, slots with keys that may be older at the target than here.
    pub(super) doubtful: SlotSet,
}

#[derive(Default)]
struct Slots {
    targets: BTreeMap<Slot, NodeId>,
    /// Keys whose `MIGRATE` ended without an answer: they may be at the target and are still here. Every later try says
    /// REPLACE, whichever job makes it; replicas are told the slots.
    unanswered: BTreeMap<Slot, BTreeSet<Bytes>>,
    /// Slots opened by this agent since its server runs.
    ours: SlotSet,
    /// Grows with each change.
    version: u64,
}

impl OpenNow {
    /// Notes slots that are about to be opened, and returns once every replica's agent knows of them. Jobs that wait for
    /// each other share one notice.
    pub(super) async fn announce(&self, shared: &Shared, target: &NodeId, slots: &[Slot]) -> Result<(), String> {
        let version = self.know(target, slots.iter().copied());
        let mut told = self.told.lock().await;
        if *told >= version {
            return Ok(());
        }
        let (open, version) = self.now();
        notices::tell(shared, &open).await?;
        *told = version;
        Ok(())
    }

    /// Notes slots that are open already, from an earlier life of this agent or another job: no notice leaves them out.
    pub(super) fn know(&self, target: &NodeId, slots: impl IntoIterator<Item = Slot>) -> u64 {
        self.change(|open| open.extend(slots.into_iter().map(|slot| (slot, target.clone()))))
    }

    /// These are not open any more. The next notice says so.
    pub(super) fn forget<'a>(&self, slots: impl IntoIterator<Item = &'a Slot>) {
        self.change(|open| slots.into_iter().for_each(|slot| drop(open.remove(slot))));
    }

    /// Nothing is open towards this target any more.
    pub(super) fn forget_target(&self, target: &NodeId) {
        self.change(|open| open.retain(|_, towards| towards != target));
    }

    /// Tells the replicas what is left.
    pub(super) async fn tell(&self, shared: &Shared) -> Result<(), String> {
        let mut told = self.told.lock().await;
        let (open, version) = self.now();
        notices::tell(shared, &open).await?;
        *told = version;
        Ok(())
    }

    /// A `MIGRATE` of these keys was not answered.
    pub(super) fn doubt(&self, slot: Slot, keys: impl IntoIterator<Item = Bytes>) {
        let mut slots = self.slots();
        slots.unanswered.entry(slot).or_default().extend(keys);
        slots.version += 1;
    }

    /// These were opened just now.
    pub(super) fn opened(&self, slots: &[Slot]) {
        self.slots().ours.extend(slots.iter().copied());
    }

    /// Whether this agent has opened the slot since its server runs: what the target has of it came from this server.
    pub(super) fn is_ours(&self, slot: Slot) -> bool {
        self.slots().ours.contains(slot)
    }

    /// The server has ended: the next one may have older data, so nothing is known of what the targets have.
    pub(super) fn forget_doubts(&self) {
        let mut slots = self.slots();
        slots.unanswered.clear();
        slots.ours = SlotSet::new();
    }

    /// Whether a `MIGRATE` of this key was not answered.
    pub(super) fn is_doubtful(&self, slot: Slot, key: &Bytes) -> bool {
        self.slots().unanswered.get(&slot).is_some_and(|keys| keys.contains(key))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Slot, NodeId>)) -> u64 {
        let mut slots = self.slots();
        let Slots { targets, unanswered, ours, .. } = &mut *slots;
        change(targets);
        unanswered.retain(|slot, _| targets.contains_key(slot));
        *ours = ours.intersection(&targets.keys().copied().collect());
        slots.version += 1;
        slots.version
    }

    fn now(&self) -> (Told, u64) {
        let slots = self.slots();
        let doubtful = slots.unanswered.keys().copied().collect();
        (Told { open: slots.targets.clone(), doubtful }, slots.version)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
