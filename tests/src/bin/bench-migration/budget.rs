//! The budgets for the client's latency that the product is measured with.

use crate::atomic::Atomic;
use crate::data::Data;

/// The product's default.
pub(crate) const DEFAULT: &str = "";
/// Ten times the default.
pub(crate) const WIDE: &str = "50ms";
/// No limit.
pub(crate) const OFF: &str = "0ms";

/// The budgets to measure with: those that a goal speaks of.
pub(crate) fn all(data: Data, atomic: Option<Atomic>) -> Vec<&'static str> {
    match atomic {
        _ if data.is_one_big_key() => vec![DEFAULT],
        None => vec![DEFAULT, WIDE],
        Some(Atomic::MigrateSlots) => vec![DEFAULT, OFF],
        Some(Atomic::Import) => vec![DEFAULT],
    }
}

/// The line of the resource's `spec`, if there is any to write.
pub(crate) fn line(budget: &str) -> Option<String> {
    (budget != DEFAULT).then(|| format!("migration: {{maxLatency: {budget}}}"))
}
