//! What is known of what slots weigh, by the Reports of the shards' primaries. One shard of which it is not known makes all
//! of it unknown: unknown is not nothing.

use redisnode_proto::SlotSet;
use redisnode_proto::spec::Balance;
use redisnode_proto::weights::{Weighed, Weights as Told};

use crate::decision::Why;
use crate::draft::{Notes, Shard, list};
use crate::facts::{Facts, Node};
use crate::weights::Weights;

/// By what shares are even.
#[derive(Clone, Debug)]
pub(crate) enum Weighing {
    /// By the number of slots: the spec says so, or no server can tell more.
    ByNumber,
    /// By weight; but what slots weigh is not known now.
    Unknown,
    /// By weight.
    Known(Known),
}

/// What slots weigh.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) by: Balance,
    pub(crate) weights: Weights,
    /// For how long the figures hold, at least, seconds.
    pub(crate) for_s: u32,
}

impl Weighing {
    /// What the primaries of `shards` tell.
    pub(crate) fn of(facts: &Facts, shards: &[Shard], notes: &mut Notes) -> Self {
        let by = facts.world.spec.balance;
        if by.is_by_slots() {
            return Self::ByNumber;
        }
        let with_slots: Vec<&Shard> = shards.iter().filter(|shard| !shard.owned.is_empty()).collect();
        let told: Vec<(&Shard, Option<&Weighed>)> =
            with_slots.iter().map(|shard| (*shard, weighed(facts, shard, by))).collect();
        let unable = |weighed: Option<&Weighed>| matches!(weighed, Some(Weighed::Unable { .. }));
        if let [(shard, Some(Weighed::Unable { reason, .. })), ..] = told.as_slice()
            && told.iter().all(|(_, weighed)| unable(*weighed))
        {
            let message = format!(
                "shares are even by the number of slots, not by balance: {by}: the server of {} cannot be weighed so, \
                 because {reason}",
                shard.primary
            );
            notes.decline(Why::CannotBeWeighed, message);
            return Self::ByNumber;
        }
        let known: Vec<&Told> = told.iter().filter_map(|(_, weighed)| weighed.and_then(Weighed::known)).collect();
        if known.len() < told.len() || told.is_empty() {
            let missing = told.iter().filter(|(_, weighed)| weighed.and_then(Weighed::known).is_none());
            let missing = list(missing.map(|(shard, _)| &shard.primary));
            let message = format!("no slot moves for balance: {by} yet: what slots weigh is not known of {missing}");
            notes.decline(Why::NotWeighedYet, message);
            return Self::Unknown;
        }
        let weights = Weights::of_runs(known.iter().flat_map(|told| &told.runs));
        let for_s = known.iter().map(|told| told.for_s).min().unwrap_or_default();
        Self::Known(Known { by, weights, for_s })
    }

    /// The weights, if they are known.
    pub(crate) fn known(&self) -> Option<&Known> {
        match self {
            Self::Known(known) => Some(known),
            Self::ByNumber | Self::Unknown => None,
        }
    }

    /// What slots hold in bytes, if that is known slot by slot.
    pub(crate) fn bytes(&self, slots: &SlotSet) -> Option<u64> {
        self.known().filter(|known| known.by == Balance::Bytes).map(|known| known.weights.sum(slots))
    }
}

/// What the primary of `shard` tells of exactly the slots that the shard owns.
fn weighed<'a>(facts: &Facts<'a>, shard: &Shard, by: Balance) -> Option<&'a Weighed> {
    let weighed = facts.node(&shard.primary).and_then(Node::running)?.weighed.as_ref()?;
    let is_now = match weighed {
        Weighed::Known(told) => told.by == by && told.slots() == shard.owned,
        Weighed::Unable { by: of, .. } => *of == by,
    };
    is_now.then_some(weighed)
}
