//! Amounts of bytes as Kubernetes writes them: a number and a unit.

use std::str::FromStr;

/// An amount of bytes, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u64);

/// A text that is no amount of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no size; write a number and a unit, for instance 10Gi or 500M")]
pub struct BadQuantity {
    text: String,
}

impl Quantity {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        bytes(text).map(Self).ok_or_else(|| BadQuantity { text: text.to_owned() })
    }
}

/// The bytes of a directive's value, as redis.conf has them: `100`, `100mb`, `1g`; `None` if it is no amount.
pub fn config_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The bytes of `text`, rounded up; `None` if it is no amount, zero or too much to count.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) {
        return None;
    }
    let number = |part: &str| if part.is_empty() { Some(0) } else { part.parse::<u128>().ok() };
    // Thousandths are the finest unit.
    let (up, down) = factor(unit)?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts = number(whole)?.checked_mul(scale)?.checked_add(number(fraction)?)?.checked_mul(up)?;
    u64::try_from(parts.div_ceil(scale.checked_mul(down)?)).ok().filter(|bytes| *bytes > 0)
}

/// What a unit multiplies by and divides by.
fn factor(unit: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1_u128 << (10 * power), 1));
    let decimal = |power: u32| Some((1_000_u128.pow(power), 1));
    match unit {
        "" => Some((1, 1)),
        "m" => Some((1, 1_000)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_u128.checked_pow(power).filter(|_| power <= 18).map(|factor| (factor, 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_reads_them() {
        for (text, bytes) in [
            ("1", 1),
            ("10Gi", 10 << 30),
            ("500M", 500_000_000),
            ("1.5Gi", 3 << 29),
            (".5Ki", 512),
            ("128974848000m", 128_974_848),
            ("1m", 1),
            ("129e6", 129_000_000),
            ("4E", 4_000_000_000_000_000_000),
        ] {
            assert_eq!(text.parse::<Quantity>().map(Quantity::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn directives_have_units_of_their_own() {
        for (text, bytes) in
            [("0", 0), ("7", 7), ("7b", 7), ("2k", 2_000), ("2KB", 2_048), ("3m", 3_000_000), ("1gb", 1 << 30)]
        {
            assert_eq!(config_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "mb", "1Gi", "-1", "1.5gb", "99999999999gb"] {
            assert_eq!(config_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_what_to_write() {
        for text in ["", "Gi", ".", "1.2.3", "-1Gi", "10GB", "10 Gi", "0", "0Gi", "99E", "1e400", "9999999999999999999"]
        {
            let error = text.parse::<Quantity>().unwrap_err().to_string();
            assert!(error.contains("for instance 10Gi"), "{text}: {error}");
        }
    }
}
