//! The keys of open slots: listed, measured, and split into what one `MIGRATE` each can take.

use bytes::Bytes;
use redisnode_agent_core::migration::{Attempt, BatchLimit, Key, batches};
use redisnode_proto::Slot;

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

    /// One batch for each key.
    pub(super) fn one_by_one(self) -> impl Iterator<Item = Self> {
        let bytes = self.bytes / self.keys.len().max(1) as u64;
        let Self { slot, keys, attempts, .. } = self;
        keys.into_iter().map(move |key| Self { slot, keys: vec![key], bytes, attempts: attempts.clone() })
    }
}

/// What a look at open slots has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) batches: Vec<Batch>,
    /// Slots that hold more keys than one look takes.
    pub(super) more: Vec<Slot>,
}

/// The keys of the slots as batches, each of one slot (the servers refuse others). Slots that are open at their source
/// get no new keys, so a list stays good.
pub(super) async fn find(own: &mut Lanes, slots: &[Slot]) -> Result<Found, RespError> {
    let list = |slot: &Slot| Command::new("CLUSTER").arg("GETKEYSINSLOT").arg(slot.to_string()).number(SCAN);
    let commands: Vec<Command> = slots.iter().map(list).collect();
    let mut found = Found::default();
    let mut names: Vec<(Slot, Bytes)> = Vec::new();
    for (slot, reply) in slots.iter().zip(own.pipeline(&commands).await?) {
        let keys = reply.array("CLUSTER GETKEYSINSLOT")?;
        if keys.len() >= SCAN as usize {
            found.more.push(*slot);
        }
        names.extend(keys.into_iter().filter_map(Reply::into_bytes).map(|name| (*slot, name)));
    }
    let mut keys = measure(own, &names).await?.into_iter().peekable();
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

/// Sizes in memory, from one sample of each collection: constant time whatever its length.
async fn measure(own: &mut Lanes, names: &[(Slot, Bytes)]) -> Result<Vec<(Slot, Key<Bytes>)>, RespError> {
    let mut keys = Vec::with_capacity(names.len());
    for chunk in names.chunks(MEASURED) {
        let commands: Vec<Command> = chunk
            .iter()
            .map(|(_, name)| Command::new("MEMORY").arg("USAGE").bytes(name.clone()).arg("SAMPLES").arg("1"))
            .collect();
        for ((slot, name), reply) in chunk.iter().zip(own.pipeline(&commands).await?) {
            let bytes = match reply {
                // Gone meanwhile (deleted, expired): nothing to move.
                Reply::Nil => continue,
                Reply::Integer(size) => u64::try_from(size).ok(),
                Reply::Status(_) | Reply::Error(_) | Reply::Bulk(_) | Reply::Array(_) => None,
            };
            keys.push((*slot, Key { name: name.clone(), bytes }));
        }
    }
    Ok(keys)
}
