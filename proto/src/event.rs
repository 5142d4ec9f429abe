//! Things that happened and that a person would want to know, and problems that last.

use serde::{Deserialize, Serialize};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Severity {
    /// As planned.
    Normal,
    /// A person should look.
    Warning,
}

/// Something that happened once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Grows with each event of one agent's or coordinator's life.
    pub number: u64,
    /// How much it matters.
    pub severity: Severity,
    /// A CamelCase word, for instance `TakeoverDone`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Wall clock, milliseconds since 1970-01-01 UTC; for people only, nothing is decided by it.
    pub at_unix_ms: u64,
}

/// Something that is wrong now, and will be said until it is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// A CamelCase word, for instance `ServerExits`.
    pub reason: String,
    /// A sentence: what happened and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of kind `reason`.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}
