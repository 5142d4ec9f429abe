//! How the figures of slots are read: from the server's statistics of slots, or from samples of their keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use redisnode_agent_core::weighing::{Figures, Sample};
use redisnode_proto::Slot;

use crate::resp::{Command, Connection, Reply, RespError};

/// Bytes of a slot's keys, in the statistics.
pub(super) const BYTES: &str = "memory-bytes";
/// Microseconds that a slot's commands took, in the statistics.
pub(super) const TIME: &str = "cpu-usec";
/// Keys of a slot that are sampled.
const SAMPLED: u32 = 2;
/// Keys that are measured at once: other clients wait that long.
const MEASURED: usize = 500;

/// How the server's figures are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// This field of its statistics.
    Statistics(&'static str),
    /// Samples of keys.
    Samples,
}

/// The figures of `slots`, of a server whose keys take `total` bytes; absent if it does not tell them of all.
pub(super) async fn read(
    connection: &mut Connection,
    means: Means,
    slots: &[Slot],
    total: u64,
) -> Result<Option<Figures>, RespError> {
    match means {
        Means::Statistics(field) => {
            let read = statistics(connection, slots, field).await?;
            Ok(read.map(if field == TIME { Figures::Counters } else { Figures::Bytes }))
        }
        Means::Samples => Ok(Some(Figures::estimated(&samples(connection, slots).await?, total))),
    }
}

/// A field of the statistics of `slots`, which are in order.
pub(super) async fn statistics(
    connection: &mut Connection,
    slots: &[Slot],
    field: &str,
) -> Result<Option<Vec<u64>>, RespError> {
    let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Ok(Some(Vec::new())) };
    let range = [first.to_string(), last.to_string()];
    let question = Command::new("CLUSTER").args_from(["SLOT-STATS", "SLOTSRANGE"]).args_from(range);
    let reply = connection.demand(&question).await?.array("CLUSTER SLOT-STATS")?;
    let told: BTreeMap<i64, u64> = reply.into_iter().filter_map(|line| number_of(line, field)).collect();
    Ok(slots.iter().map(|slot| told.get(&i64::from(slot.number())).copied()).collect())
}

/// A slot and its figure, from a line such as `[7, [key-count, 1, cpu-usec, 20]]`.
fn number_of(line: Reply, field: &str) -> Option<(i64, u64)> {
    let mut parts = line.into_array()?.into_iter();
    let slot = parts.next()?.as_integer()?;
    let fields = parts.next()?.into_array()?;
    let at = fields.iter().step_by(2).position(|name| name.as_text() == Some(field))?;
    let number = fields.get(2 * at + 1)?.as_integer()?;
    Some((slot, u64::try_from(number).unwrap_or_default()))
}

/// How many keys each of `slots` has, and what some of them take.
async fn samples(connection: &mut Connection, slots: &[Slot]) -> Result<Vec<Sample>, RespError> {
    let of_slot = |word: &str, slot: Slot| Command::new("CLUSTER").arg(word).arg(slot.to_string());
    let counts: Vec<Command> = slots.iter().map(|slot| of_slot("COUNTKEYSINSLOT", *slot)).collect();
    let mut found = Vec::with_capacity(slots.len());
    for reply in connection.pipeline(&counts).await? {
        let keys = u64::try_from(reply.integer("CLUSTER COUNTKEYSINSLOT")?).unwrap_or_default();
        found.push(Sample { keys, sizes: Vec::new() });
    }
    let filled: Vec<usize> = (0..found.len()).filter(|index| found.get(*index).is_some_and(|s| s.keys > 0)).collect();
    let in_use = filled.iter().filter_map(|index| slots.get(*index));
    let lists: Vec<Command> = in_use.map(|slot| of_slot("GETKEYSINSLOT", *slot).number(SAMPLED)).collect();
    let mut names: Vec<(usize, Bytes)> = Vec::new();
    if lists.is_empty() {
        return Ok(found);
    }
    for (index, reply) in filled.into_iter().zip(connection.pipeline(&lists).await?) {
        let keys = reply.array("CLUSTER GETKEYSINSLOT")?;
        names.extend(keys.into_iter().filter_map(Reply::into_bytes).map(|name| (index, name)));
    }
    for chunk in names.chunks(MEASURED) {
        let usage = |name: &Bytes| Command::new("MEMORY").arg("USAGE").bytes(name.clone());
        let asks: Vec<Command> = chunk.iter().map(|(_, name)| usage(name)).collect();
        for ((index, _), reply) in chunk.iter().zip(connection.pipeline(&asks).await?) {
            let size = reply.as_integer().and_then(|size| u64::try_from(size).ok());
            if let Some((sample, size)) = found.get_mut(*index).zip(size) {
                sample.sizes.push(size);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_name_and_never_made_up() {
        let text = |text: &str| Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()));
        let fields = vec![text("key-count"), Reply::Integer(1), text("cpu-usec"), Reply::Integer(20)];
        let line = || Reply::Array(vec![Reply::Integer(7), Reply::Array(fields.clone())]);
        assert_eq!(number_of(line(), TIME), Some((7, 20)));
        assert_eq!(number_of(line(), BYTES), None);
        assert_eq!(number_of(Reply::Integer(7), TIME), None);
    }
}
