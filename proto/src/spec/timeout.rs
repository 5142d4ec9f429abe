//! The node time-out: a duration with a unit, within bounds.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duration;
use crate::Millis;

/// `cluster-node-timeout`: 3 s to 300 s, 15 s by default. Below 3 s a server that has just started can declare others
/// failed all alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTimeout(Millis);

/// A text or number that is no node time-out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nodeTimeout {text}: {why}; write a whole number with ms, s or m from 3s to 300s, for instance 15s")]
pub struct BadTimeout {
    text: String,
    why: &'static str,
}

impl NodeTimeout {
    /// The shortest.
    pub const MIN: Self = Self(Millis(3_000));
    /// The longest.
    pub const MAX: Self = Self(Millis(300_000));

    /// The duration.
    pub fn millis(self) -> Millis {
        self.0
    }
}

impl Default for NodeTimeout {
    fn default() -> Self {
        Self(Millis(15_000))
    }
}

impl TryFrom<Millis> for NodeTimeout {
    type Error = BadTimeout;

    fn try_from(duration: Millis) -> Result<Self, BadTimeout> {
        let timeout = Self(duration);
        let bad = |why| BadTimeout { text: timeout.to_string(), why };
        if timeout < Self::MIN {
            Err(bad("too short"))
        } else if timeout > Self::MAX {
            Err(bad("too long"))
        } else {
            Ok(timeout)
        }
    }
}

impl FromStr for NodeTimeout {
    type Err = BadTimeout;

    fn from_str(text: &str) -> Result<Self, BadTimeout> {
        let bad = |why| BadTimeout { text: format!("{text:?}"), why };
        Self::try_from(duration::read(text).map_err(bad)?).map_err(|e| bad(e.why))
    }
}

/// In seconds, or in milliseconds if it is no whole number of them.
impl fmt::Display for NodeTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::written(self.0))
    }
}

impl Serialize for NodeTimeout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeTimeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = NodeTimeout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nodeTimeout to be a duration from 3s to 300s, for instance 15s")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NodeTimeout, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<NodeTimeout, E> {
        Err(E::custom(BadTimeout { text: number.to_string(), why: "no unit" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_and_writes_them_back() {
        for (text, ms, back) in
            [("15s", 15_000, "15s"), ("3500ms", 3_500, "3500ms"), ("1m", 60_000, "60s"), ("3s", 3_000, "3s")]
        {
            let timeout: NodeTimeout = text.parse().unwrap();
            assert_eq!((timeout.millis(), timeout.to_string().as_str()), (Millis(ms), back));
            assert_eq!(back.parse::<NodeTimeout>().unwrap(), timeout);
        }
        assert_eq!(NodeTimeout::default().to_string(), "15s");
    }

    #[test]
    fn what_is_no_duration_or_out_of_bounds_is_refused_with_what_to_write() {
        for (json, why) in [
            (r#""15""#, "no unit"),
            ("15", "nodeTimeout 15: no unit"),
            (r#""""#, "no unit"),
            (r#""s""#, "no duration"),
            (r#""1.5s""#, "no duration"),
            (r#""-5s""#, "no duration"),
            (r#""15 s""#, "no duration"),
            (r#""1h""#, "no duration"),
            (r#""1500ms""#, "\"1500ms\": too short"),
            (r#""301s""#, "too long"),
            (r#""99999999999999999999s""#, "no duration"),
            (r#""999999999999999999m""#, "too long"),
        ] {
            let error = serde_json::from_str::<NodeTimeout>(json).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("for instance 15s"), "{json}: {error}");
        }
        let error = serde_json::from_str::<NodeTimeout>("true").unwrap_err().to_string();
        assert!(error.contains("expected nodeTimeout to be a duration from 3s to 300s"), "{error}");
    }
}
