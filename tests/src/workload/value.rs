//! Values that say of themselves which write they come from, so that a value that nobody wrote, or that is cut or
//! altered, is recognised without keeping it.

/// The value of write `seq` to `element` of `key`, `len` bytes long (or a little more, if that is too short to say it).
pub(super) fn value(key: u32, element: u32, seq: u32, len: usize) -> Vec<u8> {
    let mut value = format!("{key}.{element}.{seq}.").into_bytes();
    let mut state = u64::from(key) << 40 ^ u64::from(element) << 20 ^ u64::from(seq) ^ 0x9E37_79B9_7F4A_7C15;
    while value.len() < len {
        // xorshift64: cheap, and different for each write.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        value.extend_from_slice(&bytes[..bytes.len().min(len - value.len())]);
    }
    value
}

/// Which write of `element` of `key` a value comes from; `None` if it comes from none, or not whole.
pub(super) fn origin(key: u32, element: u32, len: usize, found: &[u8]) -> Option<u32> {
    let seq = header(found)?;
    (found == value(key, element, seq, len)).then_some(seq)
}

fn header(found: &[u8]) -> Option<u32> {
    let end = found.iter().take(40).enumerate().filter(|(_, byte)| **byte == b'.').nth(2)?.0;
    std::str::from_utf8(&found[..end]).ok()?.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_recognised_and_an_altered_one_is_not() {
        let mut found = value(7, 1, 42, 100);
        assert_eq!(found.len(), 100);
        assert_eq!(origin(7, 1, 100, &found), Some(42));
        assert_eq!(origin(8, 1, 100, &found), None);
        found[99] ^= 1;
        assert_eq!(origin(7, 1, 100, &found), None);
        assert_eq!(origin(7, 1, 100, b"nonsense"), None);
    }
}
