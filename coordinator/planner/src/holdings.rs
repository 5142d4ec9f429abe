//! Random holdings of slots, for the tests of those who share them out.

use proptest::prelude::*;
use redisnode_proto::{Slot, SlotSet};

/// Every slot is held by one of at most `most` shards, or perhaps by nobody, in runs of random length.
pub(crate) fn holdings(most: usize) -> impl Strategy<Value = Vec<SlotSet>> {
    (1..=most, proptest::collection::vec((0..=most, 1u16..4000), 1..24)).prop_map(|(shards, runs)| {
        let mut held = vec![SlotSet::new(); shards];
        let mut slots = Slot::all();
        for (owner, length) in runs.into_iter().cycle().take(2000) {
            let run = slots.by_ref().take(usize::from(length));
            if let Some(set) = held.get_mut(owner) {
                set.extend(run);
            } else if run.count() == 0 {
                break;
            }
        }
        held
    })
}
