//! What goes into one `MIGRATE`: few keys and few bytes, since source and target do nothing else meanwhile.

/// A key to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<K> {
    /// Its name.
    pub name: K,
    /// Its size in the server's memory, bytes; absent while unknown.
    pub bytes: Option<u64>,
}

/// How much goes into one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Keys, at least 1.
    pub keys: usize,
    /// Bytes; a key above it goes alone.
    pub bytes: u64,
}

/// Splits keys into batches, in order; a key that is larger than a whole batch goes alone and last, so that it holds
/// up nobody else. A key of unknown size counts as a whole batch.
pub fn batches<K>(keys: Vec<Key<K>>, limit: BatchLimit) -> Vec<Vec<Key<K>>> {
    let (large, small): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| size(key, limit) >= limit.bytes);
    let mut out: Vec<Vec<Key<K>>> = Vec::new();
    let mut current = Vec::new();
    let mut bytes = 0u64;
    for key in small {
        let size = size(&key, limit);
        let full = current.len() >= limit.keys.max(1) || bytes.saturating_add(size) > limit.bytes;
        if full && !current.is_empty() {
            out.push(std::mem::take(&mut current));
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        current.push(key);
    }
    if !current.is_empty() {
        out.push(current);
    }
    out.extend(large.into_iter().map(|key| vec![key]));
    out
}

fn size<K>(key: &Key<K>, limit: BatchLimit) -> u64 {
    key.bytes.unwrap_or(limit.bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_is_in_one_batch_and_no_batch_is_too_large(
            sizes in proptest::collection::vec(proptest::option::of(1u64..200), 0..60), keys in 1usize..10, bytes in 50u64..300
        ) {
            let limit = BatchLimit { keys, bytes };
            let all: Vec<_> = sizes.iter().enumerate().map(|(name, bytes)| Key { name, bytes: *bytes }).collect();
            let out = batches(all.clone(), limit);
            let mut names: Vec<_> = out.iter().flatten().map(|key| key.name).collect();
            names.sort_unstable();
            prop_assert_eq!(names, (0..all.len()).collect::<Vec<_>>());
            for batch in &out {
                let sum: u64 = batch.iter().map(|key| key.bytes.unwrap_or(bytes)).sum();
                prop_assert!(batch.len() == 1 || (batch.len() <= keys && sum <= bytes));
            }
        }
    }
}
