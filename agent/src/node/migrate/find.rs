//! The keys of slots: listed, measured, and split into what one `MIGRATE` each can take.

use std::collections::HashMap;

use bytes::Bytes;
use redisnode_agent_core::migration::{Attempt, BatchLimit, Key, SAMPLES, TooLarge, batches, look_again};
use redisnode_proto::{Millis, Slot};

use crate::resp::{Command, Lanes, Reply, RespError};

/// A slot's keys at once where they are few: keys of two slots cannot share a command, and what each command costs besides is
/// most of it. (Measured under compiles, Redis 7.0, 3 to 4 primaries: 20 keys a command 61 k keys/s with one in flight and
/// 101 k with eight, p99 11 ms; up to 100 keys 105 k with one, 9.8 ms.)
pub(super) const LIMIT: BatchLimit = BatchLimit { keys: 100, bytes: 64 * 1024 };
/// Keys that one look at a slot takes.
const SCAN: u32 = 5000;
/// Keys that are measured at once: other clients wait that long.
const MEASURED: usize = 500;

/// Keys of one slot for one `MIGRATE`, and what became of earlier tries.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) slot: Slot,
    pub(super) keys: Vec<Bytes>,
    pub(super) bytes: u64,
    pub(super) attempts: Vec<Attempt>,
}

impl Batch {
    pub(super) fn is_large(&self) -> bool {
        self.bytes >= LIMIT.bytes
    }

    /// The name of its first key; what is no text in it is shown as a replacement character.
    pub(super) fn first_name(&self) -> String {
        self.keys.first().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default()
    }

    /// One batch for each key.
    pub(super) fn one_by_one(self) -> impl Iterator<Item = Self> {
        let bytes = self.bytes / self.keys.len().max(1) as u64;
        let Self { slot, keys, attempts, .. } = self;
        keys.into_iter().map(move |key| Self { slot, keys: vec![key], bytes, attempts: attempts.clone() })
    }
}

/// Sizes in memory of keys that were looked at before, bytes. One that has changed since goes by its old size.
pub(super) type Sizes = HashMap<Bytes, u64>;

/// What a look at open slots has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) batches: Vec<Batch>,
    /// Slots that hold more keys than one look takes.
    pub(super) more: Vec<Slot>,
}

/// Looks at the keys of slots before they are opened: their sizes, and the first key of each slot that cannot be moved.
pub(super) async fn weigh(
    own: &mut Lanes,
    slots: &[Slot],
    node_timeout: Millis,
) -> Result<(Sizes, Vec<TooLarge>), RespError> {
    let (names, _) = list(own, slots).await?;
    let keys = measure(own, &names).await?;
    let mut too_large: Vec<TooLarge> = Vec::new();
    let mut sizes = Sizes::with_capacity(keys.len());
    for (slot, Key { name, bytes }) in keys {
        let Some(bytes) = bytes else { continue };
        if TooLarge::is(bytes, node_timeout) && too_large.last().is_none_or(|last| last.slot != slot) {
            too_large.push(TooLarge { slot, name: String::from_utf8_lossy(&name).into_owned(), bytes });
        }
        sizes.insert(name, bytes);
    }
    Ok((sizes, too_large))
}

/// The keys of the slots as batches, each of one slot (the servers refuse others). Slots that are open at their source
/// get no new keys, so a list stays good.
pub(super) async fn find(own: &mut Lanes, slots: &[Slot], known: &Sizes) -> Result<Found, RespError> {
    let (names, more) = list(own, slots).await?;
    let new: Vec<_> = names.iter().filter(|(_, name)| !known.contains_key(name)).cloned().collect();
    let new = measure(own, &new).await?;
    let known = names.into_iter().filter_map(|(slot, name)| {
        let bytes = known.get(&name).copied()?;
        Some((slot, Key { name, bytes: Some(bytes) }))
    });
    let mut keys: Vec<_> = known.chain(new).collect();
    keys.sort_by_key(|(slot, _)| *slot);
    let mut found = Found { batches: Vec::new(), more };
    let mut keys = keys.into_iter().peekable();
    while let Some((slot, first)) = keys.next() {
        let mut of_slot = vec![first];
        while let Some((_, key)) = keys.next_if(|(of, _)| *of == slot) {
            of_slot.push(key);
        }
        found.batches.extend(batches(of_slot, LIMIT).into_iter().map(|keys| Batch {
            slot,
            bytes: keys.iter().map(|key| key.bytes.unwrap_or(LIMIT.bytes)).sum(),
            keys: keys.into_iter().map(|key| key.name).collect(),
            attempts: Vec::new(),
        }));
    }
    Ok(found)
}

/// Names of the keys of slots, and the slots that have more of them.
async fn list(own: &mut Lanes, slots: &[Slot]) -> Result<(Vec<(Slot, Bytes)>, Vec<Slot>), RespError> {
    let list = |slot: &Slot| Command::new("CLUSTER").arg("GETKEYSINSLOT").arg(slot.to_string()).number(SCAN);
    let commands: Vec<Command> = slots.iter().map(list).collect();
    let (mut names, mut more) = (Vec::new(), Vec::new());
    for (slot, reply) in slots.iter().zip(own.pipeline(&commands).await?) {
        let keys = reply.array("CLUSTER GETKEYSINSLOT")?;
        if keys.len() >= SCAN as usize {
            more.push(*slot);
        }
        names.extend(keys.into_iter().filter_map(Reply::into_bytes).map(|name| (*slot, name)));
    }
    Ok((names, more))
}

/// Sizes in memory, from one sample of each collection: constant time whatever its length. The few that look large are
/// looked at again.
async fn measure(own: &mut Lanes, names: &[(Slot, Bytes)]) -> Result<Vec<(Slot, Key<Bytes>)>, RespError> {
    let mut keys = Vec::with_capacity(names.len());
    for chunk in names.chunks(MEASURED) {
        let mut of_chunk = sizes(own, chunk, 1).await?;
        let is_large = |key: &Key<Bytes>| key.bytes.is_some_and(look_again);
        let large: Vec<_> =
            of_chunk.iter().filter(|(_, key)| is_large(key)).map(|(slot, key)| (*slot, key.name.clone())).collect();
        if !large.is_empty() {
            of_chunk.retain(|(_, key)| !is_large(key));
            of_chunk.extend(sizes(own, &large, SAMPLES).await?);
        }
        keys.extend(of_chunk);
    }
    keys.sort_by_key(|(slot, _)| *slot);
    Ok(keys)
}

async fn sizes(own: &mut Lanes, names: &[(Slot, Bytes)], samples: u32) -> Result<Vec<(Slot, Key<Bytes>)>, RespError> {
    let usage = |name: &Bytes| Command::new("MEMORY").arg("USAGE").bytes(name.clone()).arg("SAMPLES").number(samples);
    let commands: Vec<Command> = names.iter().map(|(_, name)| usage(name)).collect();
    let mut keys = Vec::with_capacity(names.len());
    for ((slot, name), reply) in names.iter().zip(own.pipeline(&commands).await?) {
        let bytes = match reply {
            // Gone meanwhile (deleted, expired): nothing to move.
            Reply::Nil => continue,
            Reply::Integer(size) => u64::try_from(size).ok(),
            Reply::Status(_) | Reply::Error(_) | Reply::Bulk(_) | Reply::Array(_) => None,
        };
        keys.push((*slot, Key { name: name.clone(), bytes }));
    }
    Ok(keys)
}
