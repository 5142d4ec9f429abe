//! The latency that a move of slots may add: a duration with a unit, within bounds, and the way to say that there is no
//! bound.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duration;
use crate::Millis;

/// How much latency a move may add for clients at p99: up to 1 s, 5 ms by default, and 0 ms for no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxLatency(Millis);

/// A text or number that is no such latency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("maxLatency {text}: {why}; write a whole number with ms or s up to 1s, for instance 5ms, or 0ms for no bound")]
pub struct BadLatency {
    text: String,
    why: &'static str,
}

impl MaxLatency {
    /// The greatest: with more, a move is as good as unbounded.
    pub const MAX: Self = Self(Millis(1_000));

    /// The bound; `None` if there is none.
    pub fn bound(self) -> Option<Millis> {
        (self.0 > Millis(0)).then_some(self.0)
    }
}

impl Default for MaxLatency {
    fn default() -> Self {
        Self(Millis(5))
    }
}

impl FromStr for MaxLatency {
    type Err = BadLatency;

    fn from_str(text: &str) -> Result<Self, BadLatency> {
        let bad = |why| BadLatency { text: format!("{text:?}"), why };
        let latency = Self(duration::read(text).map_err(bad)?);
        if latency > Self::MAX { Err(bad("too long")) } else { Ok(latency) }
    }
}

/// In milliseconds, or in seconds if it is a whole number of them.
impl fmt::Display for MaxLatency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::written(self.0))
    }
}

impl Serialize for MaxLatency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MaxLatency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = MaxLatency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("maxLatency to be a duration up to 1s, for instance 5ms, or 0ms for no bound")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<MaxLatency, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<MaxLatency, E> {
        Err(E::custom(BadLatency { text: number.to_string(), why: "no unit" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_latencies_and_writes_them_back() {
        for (text, bound, back) in [
            ("5ms", Some(5), "5ms"),
            ("1s", Some(1_000), "1s"),
            ("1000ms", Some(1_000), "1s"),
            ("0ms", None, "0ms"),
            ("0s", None, "0ms"),
        ] {
            let latency: MaxLatency = text.parse().unwrap();
            assert_eq!((latency.bound(), latency.to_string().as_str()), (bound.map(Millis), back), "{text}");
            assert_eq!(back.parse::<MaxLatency>().unwrap(), latency);
        }
        assert_eq!(MaxLatency::default().to_string(), "5ms");
    }

    #[test]
    fn what_is_no_latency_or_too_long_is_refused_with_what_to_write() {
        for (json, why) in [
            (r#""5""#, "no unit"),
            ("5", "maxLatency 5: no unit"),
            (r#""0.5ms""#, "no duration"),
            (r#""-5ms""#, "no duration"),
            (r#""1001ms""#, "too long"),
            (r#""1m""#, "too long"),
        ] {
            let error = serde_json::from_str::<MaxLatency>(json).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("for instance 5ms, or 0ms"), "{json}: {error}");
        }
        let error = serde_json::from_str::<MaxLatency>("true").unwrap_err().to_string();
        assert!(error.contains("expected maxLatency to be a duration up to 1s"), "{error}");
    }
}
