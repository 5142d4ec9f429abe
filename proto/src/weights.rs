//! What the slots of a server weigh, as its agent tells it: coarse, in runs of slots that weigh about the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::slots::{SlotRange, SlotSet};
use crate::spec::Balance;

/// What came of weighing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Weighed {
    /// It is known what each slot weighs.
    Known(Weights),
    /// This server cannot tell, as long as it runs as it does.
    Unable {
        /// By what it was to be weighed.
        by: Balance,
        /// Why, and what to do, a sentence without its end.
        reason: String,
    },
}

/// What each slot of a server weighs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// What is weighed: the unit of every weight is bytes, or nanoseconds of the server's time in a second.
    pub by: Balance,
    /// For how long the figures hold, seconds, told in a few steps: averages were taken over so long a time, and bytes have
    /// been about the same for so long.
    pub for_s: u32,
    /// The slots' bytes are estimated from samples; all of them together are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Every slot that the server owned, in order.
    pub runs: Vec<Run>,
}

/// Neighbouring slots that weigh about the same, written `5-9:1200`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Run {
    /// The slots.
    pub slots: SlotRange,
    /// What they weigh together.
    pub weight: u64,
}

/// A text that is no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no run of slots with its weight, such as 5-9:1200")]
pub struct BadRun(String);

impl Weights {
    /// The slots that were weighed.
    pub fn slots(&self) -> SlotSet {
        self.runs.iter().map(|run| run.slots).collect::<Vec<_>>().into()
    }

    /// What all slots weigh together.
    pub fn total(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.weight))
    }
}

impl Weighed {
    /// The weights, if they are known.
    pub fn known(&self) -> Option<&Weights> {
        match self {
            Self::Known(weights) => Some(weights),
            Self::Unable { .. } => None,
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slots, self.weight)
    }
}

impl FromStr for Run {
    type Err = BadRun;

    fn from_str(text: &str) -> Result<Self, BadRun> {
        let bad = || BadRun(text.to_owned());
        let (slots, weight) = text.split_once(':').ok_or_else(bad)?;
        let slots = slots.parse().map_err(|_| bad())?;
        Ok(Self { slots, weight: weight.parse().map_err(|_| bad())? })
    }
}

impl TryFrom<String> for Run {
    type Error = BadRun;

    fn try_from(text: String) -> Result<Self, BadRun> {
        text.parse()
    }
}

impl From<Run> for String {
    fn from(run: Run) -> Self {
        run.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_short_and_read_back() {
        let runs = ["0-99:12", "100:7000"].map(|text| text.parse::<Run>().unwrap()).to_vec();
        let weights = Weights { by: Balance::Bytes, for_s: 10, estimated: true, runs };
        assert_eq!((weights.total(), weights.slots().to_string().as_str()), (7012, "0-100"));
        let json = serde_json::to_string(&Weighed::Known(weights.clone())).unwrap();
        assert!(json.contains(r#"["0-99:12","100:7000"]"#) && json.len() < 120, "{json}");
        assert_eq!(serde_json::from_str::<Weighed>(&json).unwrap(), Weighed::Known(weights));
        let unable = Weighed::Unable { by: Balance::Operations, reason: "it counts none".to_owned() };
        let json = serde_json::to_string(&unable).unwrap();
        assert_eq!(serde_json::from_str::<Weighed>(&json).unwrap(), unable);
        assert!(unable.known().is_none());
    }

    #[test]
    fn what_is_no_run_is_refused() {
        for text in ["", "5", "5:", ":5", "5-4:1", "16384:1", "5:-1", "5:1:1"] {
            assert!(text.parse::<Run>().is_err(), "{text:?}");
        }
    }
}
