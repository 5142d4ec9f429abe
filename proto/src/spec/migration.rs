//! How slots are moved, and whether they are: the limits of the spec, and the switch beside it that people throw in a
//! hurry. The planner and the agents obey; nothing is decided here.

use serde::{Deserialize, Serialize};

use super::{Invalid, MaxLatency, Metadata, Quantity};
use crate::layout::MigrationSettings;

/// The annotation of a RedisCluster that holds moves of slots up: `paused`, `aborted`, or `aborted@N` for the edit of the
/// spec whose generation is N.
pub const MIGRATION: &str = "redisnode.io/migration";
/// The least `maxBytesPerSecond`: with less a single large key would take for ever.
pub const MIN_RATE: u64 = 64 << 10;

/// How slots are moved. A change counts for moves that are under way, too; no server restarts for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Migration {
    /// The latency that a move may add for clients at p99: up to 1s, and 0ms for no bound. While clients do not ask for
    /// much, a move is as fast as the servers are.
    pub max_latency: MaxLatency,
    /// The most that each server sends to others in a second, for instance 50Mi: 64Ki or more. No bound if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_second: Option<String>,
    /// Begin to move nothing. Slots that are half moved are finished.
    pub pause: bool,
    /// Send slots also to a shard whose replicas are not in sync. Until they are, the moved keys exist once.
    pub without_replicas: bool,
}

/// Whether slots may move, by the word of [`MIGRATION`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// They may.
    #[default]
    GoOn,
    /// None begins to; where they are to go is kept.
    Paused,
    /// They stay with whoever owns them now.
    Aborted,
    /// The annotation is none of its words: as paused, since somebody wanted them to stop.
    Unclear,
}

impl Migration {
    pub(super) fn validate(&self) -> Option<Invalid> {
        let text = self.max_bytes_per_second.as_deref()?;
        let message = match text.parse::<Quantity>() {
            Err(bad) => bad.to_string(),
            Ok(rate) if rate.bytes() < MIN_RATE => {
                format!("{text} a second is so little that a move would not end; write 64Ki or more, for instance 50Mi")
            }
            Ok(_) => return None,
        };
        Some(Invalid::new("spec.migration.maxBytesPerSecond", message))
    }

    /// What agents are told, from a spec that is valid.
    pub(super) fn settings(&self) -> MigrationSettings {
        let rate = self.max_bytes_per_second.as_ref().and_then(|text| text.parse::<Quantity>().ok());
        MigrationSettings {
            max_latency: self.max_latency.bound(),
            max_bytes_per_second: rate.map(Quantity::bytes),
            pause: self.pause,
        }
    }
}

impl Moves {
    /// Whether nothing new is moved.
    pub fn are_held(self) -> bool {
        self != Self::GoOn
    }

    /// The value of [`MIGRATION`] that says so, an abort for the edit `generation` if it is known; `None` where there is to
    /// be no such annotation.
    pub fn written(self, generation: Option<u64>) -> Option<String> {
        match (self, generation) {
            (Self::GoOn, _) => None,
            (Self::Paused | Self::Unclear, _) => Some("paused".to_owned()),
            (Self::Aborted, Some(generation)) => Some(format!("aborted@{generation}")),
            (Self::Aborted, None) => Some("aborted".to_owned()),
        }
    }
}

impl Metadata {
    /// Whether slots may move. An abort of an edit before this one is over.
    pub fn moves(&self) -> Moves {
        let Some(value) = self.annotations.get(MIGRATION) else { return Moves::GoOn };
        match (value.as_str(), value.strip_prefix("aborted@").map(str::parse::<u64>)) {
            ("paused", _) => Moves::Paused,
            ("aborted", _) => Moves::Aborted,
            (_, Some(Ok(of))) if self.generation.is_none_or(|now| now == of) => Moves::Aborted,
            (_, Some(Ok(_))) => Moves::GoOn,
            _ => Moves::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Millis;

    fn read(json: &str) -> Migration {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_limits_reach_the_agents_as_numbers() {
        assert_eq!(read("{}").settings(), MigrationSettings::default());
        let settings = read(r#"{"maxLatency":"0ms","maxBytesPerSecond":"50Mi","pause":true}"#).settings();
        let expected = MigrationSettings { max_latency: None, max_bytes_per_second: Some(50 << 20), pause: true };
        assert_eq!(settings, expected);
        assert_eq!(read(r#"{"maxLatency":"20ms"}"#).settings().max_latency, Some(Millis(20)));
    }

    #[test]
    fn a_rate_that_never_ends_or_is_none_is_refused_with_what_to_write() {
        for (rate, said) in [("63Ki", "write 64Ki or more, for instance 50Mi"), ("50MB", "for instance 10Gi")] {
            let found = read(&format!(r#"{{"maxBytesPerSecond":"{rate}"}}"#)).validate().unwrap();
            assert!(found.to_string().starts_with("spec.migration.maxBytesPerSecond: "), "{found}");
            assert!(found.message.contains(said), "{found}");
        }
        assert_eq!(read(r#"{"maxBytesPerSecond":"64Ki"}"#).validate(), None);
    }

    #[test]
    fn an_abort_counts_for_its_edit_and_what_nobody_understands_holds_moves_up() {
        let of = |value: &str, generation| {
            let annotations = [(MIGRATION.to_owned(), value.to_owned())].into();
            Metadata { annotations, generation, ..Metadata::default() }.moves()
        };
        assert_eq!(Metadata::default().moves(), Moves::GoOn);
        assert_eq!(of("paused", Some(3)), Moves::Paused);
        assert_eq!((of("aborted", Some(3)), of("aborted", None)), (Moves::Aborted, Moves::Aborted));
        assert_eq!((of("aborted@3", Some(3)), of("aborted@3", Some(4))), (Moves::Aborted, Moves::GoOn));
        for moves in [Moves::Paused, Moves::Aborted] {
            assert_eq!(of(&moves.written(Some(3)).unwrap(), Some(3)), moves);
        }
        assert_eq!((Moves::GoOn.written(Some(3)), Moves::Aborted.written(None).as_deref()), (None, Some("aborted")));
        assert_eq!((of("pasued", Some(3)), of("aborted@x", Some(3))), (Moves::Unclear, Moves::Unclear));
    }
}
