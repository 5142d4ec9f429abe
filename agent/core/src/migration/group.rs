//! How many slots are open at the same time, and how their marks are set.

use redisnode_proto::Slot;

/// What one group of slots may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimit {
    /// Slots, at least 1.
    pub slots: usize,
    /// About so many keys: a group ends with the slot that reaches it.
    pub keys: u64,
}

impl GroupLimit {
    /// About so many bytes, too, if a key has `key_bytes`.
    pub fn of_bytes(self, bytes: u64, key_bytes: u64) -> Self {
        Self { keys: self.keys.min(bytes / key_bytes.max(1)).max(1), ..self }
    }
}

/// Bytes that a group has at most, about: three groups are open, and what stops a move waits for them.
pub const GROUP_BYTES: u64 = 16 << 20;

/// Few slots where the marks do not survive a failover: what is open then has to be opened again by the replica that
/// takes over, while its writes are paused.
pub const fn group_limit(marks_survive: bool) -> GroupLimit {
    GroupLimit { slots: if marks_survive { 256 } else { 64 }, keys: 4000 }
}

/// Over how many connections `SETSLOT` goes to one server. Where the marks are replicated, each waits for the replicas
/// and for two files written durably (measured: 1 to 4 ms each one after the other, 512 of them together 25 ms);
/// elsewhere they are answered at once and one connection will do.
pub const fn set_slot_lanes(marks_survive: bool) -> usize {
    if marks_survive { 64 } else { 1 }
}

/// The first of these slots, each with how many keys it holds, that make one group; never none if there is one.
pub fn group(candidates: impl IntoIterator<Item = (Slot, u64)>, limit: GroupLimit) -> Vec<Slot> {
    let mut chosen = Vec::new();
    let mut held = 0u64;
    for (slot, keys) in candidates {
        if !chosen.is_empty() && (held >= limit.keys || chosen.len() >= limit.slots) {
            break;
        }
        held = held.saturating_add(keys);
        chosen.push(slot);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(keys: &[u64]) -> Vec<(Slot, u64)> {
        (0u16..).map(|n| Slot::try_from(n).unwrap()).zip(keys.iter().copied()).collect()
    }

    const LIMIT: GroupLimit = GroupLimit { slots: 3, keys: 100 };

    #[test]
    fn a_group_ends_with_the_slot_that_brings_enough_keys() {
        assert_eq!(group(slots(&[60, 60, 60]), LIMIT).len(), 2);
        assert_eq!(group(slots(&[5000, 1]), LIMIT).len(), 1, "one slot goes, however many keys it holds");
    }

    #[test]
    fn a_group_of_large_keys_has_few_of_them() {
        assert_eq!(LIMIT.of_bytes(1000, 100).keys, 10);
        assert_eq!(LIMIT.of_bytes(1000, 1).keys, LIMIT.keys);
        assert_eq!(LIMIT.of_bytes(1000, 1_000_000).keys, 1);
    }

    #[test]
    fn empty_slots_do_not_make_an_endless_group() {
        assert_eq!(group(slots(&[0; 10]), LIMIT).len(), 3);
        assert!(group(slots(&[]), LIMIT).is_empty());
    }

    #[test]
    fn fewer_slots_are_open_where_a_failover_forgets_the_marks() {
        assert!(group_limit(false).slots < group_limit(true).slots);
        assert_eq!(set_slot_lanes(false), 1, "no wait to share");
    }
}
