//! Durations as the spec writes them: a whole number and its unit. What is long enough is the business of each field.

use crate::Millis;

/// Reads `15s`, `5ms` or `1m`. The error is what is wrong with the text, a few words.
pub(super) fn read(text: &str) -> Result<Millis, &'static str> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or("no unit")?;
    let (digits, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("no duration"),
    };
    let number: u64 = digits.parse().map_err(|_| "no duration")?;
    Ok(Millis(number.saturating_mul(factor)))
}

/// In seconds, or in milliseconds if it is no whole number of them, or none.
pub(super) fn written(duration: Millis) -> String {
    match duration.0 {
        ms if ms > 0 && ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}
