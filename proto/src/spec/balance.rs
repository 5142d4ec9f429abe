//! What is shared out evenly among the shards.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is shared out evenly among the shards. A slot is never split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Balance {
    /// The number of slots.
    #[default]
    Slots,
    /// The memory that the keys take.
    Bytes,
    /// The time that servers spend on commands. Needs servers that count it: Valkey 8.0 or Redis 8.2 and later.
    Operations,
}

impl Balance {
    /// Whether it is nothing that agents have to weigh.
    pub fn is_by_slots(&self) -> bool {
        *self == Self::Slots
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slots => "Slots",
            Self::Bytes => "Bytes",
            Self::Operations => "Operations",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ClusterSpec;

    #[test]
    fn each_word_is_read_as_it_is_written_and_none_means_slots() {
        let read = |json: &str| serde_json::from_str::<ClusterSpec>(json).map(|spec| spec.balance);
        assert_eq!(read("{}").unwrap(), Balance::Slots);
        for balance in [Balance::Slots, Balance::Bytes, Balance::Operations] {
            assert_eq!(read(&format!(r#"{{"balance":"{balance}"}}"#)).unwrap(), balance);
            assert_eq!(serde_json::to_value(balance).unwrap(), balance.to_string());
        }
        let error = read(r#"{"balance":"bytes"}"#).unwrap_err().to_string();
        assert!(error.contains("expected one of `Slots`, `Bytes`, `Operations`"), "{error}");
    }
}
