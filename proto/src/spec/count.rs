//! Counts of the spec: whole numbers, with an error that names the field and says what it holds.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// Reads `numberOfMaster`.
pub(super) fn number_of_master<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Count("numberOfMaster to be a whole number from 1 to 1000"))
}

/// Reads `replicationFactor`.
pub(super) fn replication_factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Count("replicationFactor to be a whole number from 0 to 5"))
}

/// Reads `maxMemory.percent`.
pub(super) fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    deserializer.deserialize_any(Count("percent to be a whole number from 1 to 95")).map(Some)
}

/// Reads `rollout.maxUnavailable`.
pub(super) fn max_unavailable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Count("maxUnavailable to be a whole number from 1 to 1000"))
}

struct Count(&'static str);

impl Visitor<'_> for Count {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u32, E> {
        u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
        u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
}
