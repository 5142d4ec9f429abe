//! Figures as people read them in a sentence. Nothing is decided by them.

/// A number of bytes with its unit, to a tenth, rounded down.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{} {unit}", tenths(bytes, *size)),
        None => format!("{bytes} B"),
    }
}

/// How many times `unit` is in `number`, to a tenth, rounded down.
pub fn tenths(number: u64, unit: u64) -> String {
    let tenths = u128::from(number).saturating_mul(10) / u128::from(unit.max(1));
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_greatest_unit_that_fits() {
        for (number, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 19, "1.5 MiB"), (u64::MAX, "16777215.9 TiB")]
        {
            assert_eq!(bytes(number), text);
        }
    }
}
