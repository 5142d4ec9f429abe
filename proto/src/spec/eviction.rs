//! What gives way when a server is full: the words of `maxmemory-policy`, as the servers know them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::suggest::nearest;

/// What gives way when a server is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "kebab-case")]
pub enum EvictionPolicy {
    /// Nothing: writes that need memory are refused.
    #[default]
    Noeviction,
    /// The key that was not used for longest.
    AllkeysLru,
    /// The key that is used least often.
    AllkeysLfu,
    /// The key that was not changed for longest. Redis 8.6 and later.
    AllkeysLrm,
    /// Any key.
    AllkeysRandom,
    /// As allkeys-lru, but only keys that expire.
    VolatileLru,
    /// As allkeys-lfu, but only keys that expire.
    VolatileLfu,
    /// As allkeys-lrm, but only keys that expire. Redis 8.6 and later.
    VolatileLrm,
    /// Any key that expires.
    VolatileRandom,
    /// The key that expires next.
    VolatileTtl,
}

/// A text that is no eviction policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no eviction policy; {what}")]
pub struct BadPolicy {
    text: String,
    what: String,
}

impl EvictionPolicy {
    /// All of them, by their names.
    pub const ALL: [(&'static str, Self); 10] = [
        ("noeviction", Self::Noeviction),
        ("allkeys-lru", Self::AllkeysLru),
        ("allkeys-lfu", Self::AllkeysLfu),
        ("allkeys-lrm", Self::AllkeysLrm),
        ("allkeys-random", Self::AllkeysRandom),
        ("volatile-lru", Self::VolatileLru),
        ("volatile-lfu", Self::VolatileLfu),
        ("volatile-lrm", Self::VolatileLrm),
        ("volatile-random", Self::VolatileRandom),
        ("volatile-ttl", Self::VolatileTtl),
    ];
}

impl EvictionPolicy {
    /// Whether any key at all may go, not only those that expire.
    pub fn may_drop_any_key(self) -> bool {
        matches!(self, Self::AllkeysLru | Self::AllkeysLfu | Self::AllkeysLrm | Self::AllkeysRandom)
    }
}

impl FromStr for EvictionPolicy {
    type Err = BadPolicy;

    fn from_str(text: &str) -> Result<Self, BadPolicy> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, policy)| policy);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name);
            let what = match nearest(text, &names) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("write one of {}", names.join(", ")),
            };
            BadPolicy { text: text.to_owned(), what }
        })
    }
}

impl fmt::Display for EvictionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(_, policy)| policy == self).map_or("noeviction", |(name, _)| name);
        f.write_str(name)
    }
}

impl<'de> Deserialize<'de> for EvictionPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = EvictionPolicy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("policy to be the name of an eviction policy, for instance allkeys-lru")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EvictionPolicy, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_and_written_as_the_server_has_it() {
        for (name, policy) in EvictionPolicy::ALL {
            assert_eq!((name.parse(), policy.to_string().as_str()), (Ok(policy), name));
            assert_eq!(serde_json::to_value(policy).unwrap(), name);
            assert_eq!(serde_json::from_value::<EvictionPolicy>(name.into()).unwrap(), policy);
        }
    }

    #[test]
    fn what_is_none_is_refused_with_what_was_meant_or_all_that_there_are() {
        let said = |text: &str| text.parse::<EvictionPolicy>().unwrap_err().to_string();
        assert_eq!(said("allkeys_lru"), "\"allkeys_lru\" is no eviction policy; did you mean allkeys-lru?");
        assert_eq!(said("no-eviction"), "\"no-eviction\" is no eviction policy; did you mean noeviction?");
        assert!(said("lru").contains("write one of noeviction, allkeys-lru"), "{}", said("lru"));
        let number = serde_json::from_str::<EvictionPolicy>("5").unwrap_err().to_string();
        assert!(number.contains("expected policy to be the name of an eviction policy"), "{number}");
    }
}
