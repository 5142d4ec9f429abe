//! The keys of slots: listed, measured, and split into what one `MIGRATE` each can take.

use bytes::Bytes;
use redisnode_agent_core::migration::{Attempt, BatchLimit, Key, SAMPLES, TooLarge, batches, look_again};
use redisnode_proto::{Millis, Slot, SlotSet};

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

/// The keys of slots and their sizes in memory: one that changes later goes by its old size, and one that is new is found
/// when the slots are counted.
#[derive(Debug, Default)]
pub(super) struct Found {
    keys: Vec<(Slot, Key<Bytes>)>,
}

impl Found {
    /// The first key of each slot that is too large to be moved.
    pub(super) fn too_large(&self, node_timeout: Millis) -> Vec<TooLarge> {
        let mut too_large: Vec<TooLarge> = Vec::new();
        for (slot, Key { name, bytes }) in &self.keys {
            let Some(bytes) = bytes.filter(|bytes| TooLarge::is(*bytes, node_timeout)) else { continue };
            if too_large.last().is_none_or(|last| last.slot != *slot) {
                let name = String::from_utf8_lossy(name).into_owned();
                too_large.push(TooLarge { slot: *slot, name, bytes });
            }
        }
        too_large
    }

    /// The keys of these slots as batches, each of one slot (the servers refuse others).
    pub(super) fn batches(self, slots: &SlotSet) -> Vec<Batch> {
        let mut keys = self.keys.into_iter().filter(|(slot, _)| slots.contains(*slot)).peekable();
        let mut found = Vec::new();
        while let Some((slot, first)) = keys.next() {
            let mut of_slot = vec![first];
            while let Some((_, key)) = keys.next_if(|(of, _)| *of == slot) {
                of_slot.push(key);
            }
            found.extend(batches(of_slot, LIMIT).into_iter().map(|keys| Batch {
                slot,
                bytes: keys.iter().map(|key| key.bytes.unwrap_or(LIMIT.bytes)).sum(),
                keys: keys.into_iter().map(|key| key.name).collect(),
                attempts: Vec::new(),
            }));
        }
        found
    }
}

/// Looks at the keys of slots, at the first ones where there are very many. Slots that are open at their source get no new
/// ones.
pub(super) async fn find(own: &mut Lanes, slots: &[Slot]) -> Result<Found, RespError> {
    let names = list(own, slots).await?;
    Ok(Found { keys: measure(own, &names).await? })
}

/// Names of the keys of slots.
async fn list(own: &mut Lanes, slots: &[Slot]) -> Result<Vec<(Slot, Bytes)>, RespError> {
    let list = |slot: &Slot| Command::new("CLUSTER").arg("GETKEYSINSLOT").arg(slot.to_string()).number(SCAN);
    let commands: Vec<Command> = slots.iter().map(list).collect();
    let mut names = Vec::new();
    for (slot, reply) in slots.iter().zip(own.pipeline(&commands).await?) {
        let keys = reply.array("CLUSTER GETKEYSINSLOT")?;
        names.extend(keys.into_iter().filter_map(Reply::into_bytes).map(|name| (*slot, name)));
    }
    Ok(names)
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
    // Every key of a move passes here: its name is all that is written anew.
    let usage = Command::new("MEMORY").args_from(["USAGE", "key", "SAMPLES"]).number(samples);
    let commands: Vec<Command> = names.iter().map(|(_, name)| usage.with(2, name.clone())).collect();
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
