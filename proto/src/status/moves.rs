//! A move of slots in a status: what its source's agent reports, with the figures that people ask for.

use serde::{Deserialize, Serialize};

use crate::NodeName;
use crate::job::{Job, Try};

/// A move of slots from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Who gives the slots.
    pub source: NodeName,
    /// Who gets them.
    pub target: NodeName,
    /// How: `migrate`, `migrateslots` or `import`.
    pub driver: String,
    /// Slots that still have to go.
    pub slots_left: u32,
    /// Slots that have gone.
    pub slots_done: u32,
    /// Keys that have arrived.
    pub keys_done: u64,
    /// Keys that still have to go, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_left: Option<u64>,
    /// Bytes sent.
    pub bytes_done: u64,
    /// Keys per second, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_per_second: Option<u64>,
    /// Bytes per second, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Seconds left, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Why it does not go on, if it does not: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<String>,
    /// Its last tries that have failed, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
}

impl Move {
    /// The job `job` of `source`'s agent.
    pub fn of(source: &NodeName, job: &Job) -> Self {
        let ms = job.running_for.0;
        Self {
            source: source.clone(),
            target: job.target.clone(),
            driver: job.driver.clone(),
            slots_left: job.remaining.len().into(),
            slots_done: job.slots_done,
            keys_done: job.keys_done,
            keys_left: job.keys_left,
            bytes_done: job.bytes_done,
            keys_per_second: job.rate(),
            bytes_per_second: job.rate().and_then(|_| job.bytes_done.saturating_mul(1000).checked_div(ms)),
            seconds_left: job.time_left().map(|left| left.0.div_ceil(1000)),
            stalled: job.stalled.clone(),
            tries: job.tries.clone(),
        }
    }

    /// Brings the figures to those of `newer`, if it is the same move.
    pub fn count_as(&mut self, newer: &Self) {
        if (&self.source, &self.target) != (&newer.source, &newer.target) {
            return;
        }
        let Self { driver, stalled, tries, .. } = self.clone();
        *self = Self { driver, stalled, tries, ..newer.clone() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Millis;
    use crate::slots::SlotRange;

    fn job() -> Job {
        Job {
            target: "r-1".parse().unwrap(),
            driver: "import".to_owned(),
            remaining: SlotRange::full().into(),
            slots_done: 4,
            keys_done: 3000,
            keys_left: Some(2001),
            bytes_done: 9000,
            running_for: Millis(3000),
            stalled: None,
            tries: vec![Try { driver: "migrateslots".to_owned(), reason: "no".to_owned() }],
        }
    }

    #[test]
    fn a_move_has_the_figures_of_its_job_and_what_is_not_known_is_absent() {
        let source = "r-0".parse().unwrap();
        let shown = Move::of(&source, &job());
        assert_eq!((shown.slots_left, shown.keys_per_second, shown.bytes_per_second), (16384, Some(1000), Some(3000)));
        assert_eq!(shown.seconds_left, Some(3), "a second that has begun counts");
        let begun = Move::of(&source, &Job { running_for: Millis(0), ..job() });
        assert_eq!((begun.keys_per_second, begun.bytes_per_second, begun.seconds_left), (None, None, None));
    }

    #[test]
    fn figures_alone_are_no_other_move_but_a_try_is() {
        let source = "r-0".parse().unwrap();
        let newer = Move::of(&source, &Job { keys_done: 5000, slots_done: 9, ..job() });
        let mut own = Move::of(&source, &job());
        own.count_as(&newer);
        assert_eq!(own, newer);
        let failed = Move::of(&source, &Job { tries: Vec::new(), ..job() });
        own.count_as(&failed);
        assert_ne!(own, failed);
    }
}
