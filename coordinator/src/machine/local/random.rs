//! Random words: a cluster's identity, a member's incarnation, the token.

use rand::TryRng;
use rand::rngs::SysRng;

/// `bytes` random bytes as hex digits.
pub(super) fn hex(bytes: usize) -> Result<String, String> {
    let mut random = vec![0_u8; bytes];
    SysRng.try_fill_bytes(&mut random).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_are_never_the_same() {
        let (one, two) = (super::hex(16).unwrap(), super::hex(16).unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
    }
}
