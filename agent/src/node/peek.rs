//! Keys of slots that the own server does not own.
//!
//! Redis 8.4 and later hide them: `COUNTKEYSINSLOT` and `GETKEYSINSLOT` answer 0 and nothing for a slot that is neither the
//! server's own nor marked as arriving (measured on 8.6; `DBSIZE` counts them). There each slot is marked for the moment of
//! the question.

use bytes::Bytes;
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::Product;
use redisnode_proto::{NodeId, Slot};

use crate::resp::{Command, Connection, Reply, RespError};

/// Whether the server shows nothing of slots that are not its own.
pub(super) fn hides(server: &ServerState) -> bool {
    server.running().is_some_and(|running| {
        let version = &running.version;
        version.product == Product::Redis && (version.major, version.minor) >= (8, 4)
    })
}

/// How many keys the server holds of each slot, whose owner is named beside it.
pub(super) async fn count(
    own: &mut Connection,
    slots: &[(Slot, NodeId)],
    hides: bool,
) -> Result<Vec<(Slot, u64)>, RespError> {
    let question = |slot: Slot| Command::new("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot.to_string());
    let mut counts = Vec::with_capacity(slots.len());
    for ((slot, _), reply) in slots.iter().zip(ask(own, slots, hides, question).await?) {
        let keys = reply.integer("CLUSTER COUNTKEYSINSLOT")?;
        counts.push((*slot, u64::try_from(keys).unwrap_or(u64::MAX)));
    }
    Ok(counts)
}

/// At most so many keys of a slot that `owner` owns.
pub(super) async fn keys(
    own: &mut Connection,
    slot: Slot,
    owner: &NodeId,
    most: u32,
    hides: bool,
) -> Result<Vec<Bytes>, RespError> {
    let question = |slot: Slot| Command::new("CLUSTER").arg("GETKEYSINSLOT").arg(slot.to_string()).number(most);
    let reply = ask(own, &[(slot, owner.clone())], hides, question).await?.into_iter().next();
    let keys = reply.unwrap_or(Reply::Nil).array("CLUSTER GETKEYSINSLOT")?;
    Ok(keys.into_iter().filter_map(Reply::into_bytes).collect())
}

/// The answers to one question for each slot. Where a mark is refused, nothing is known.
async fn ask(
    own: &mut Connection,
    slots: &[(Slot, NodeId)],
    hides: bool,
    question: impl Fn(Slot) -> Command,
) -> Result<Vec<Reply>, RespError> {
    if slots.is_empty() {
        return Ok(Vec::new());
    }
    if !hides {
        let commands: Vec<Command> = slots.iter().map(|(slot, _)| question(*slot)).collect();
        return own.pipeline(&commands).await;
    }
    let marked = |(slot, owner): &(Slot, NodeId)| [mark(*slot, owner), question(*slot), unmark(*slot)];
    let commands: Vec<Command> = slots.iter().flat_map(marked).collect();
    let mut replies = own.pipeline(&commands).await?.into_iter();
    let mut answers = Vec::with_capacity(slots.len());
    while let (Some(marked), Some(answer)) = (replies.next(), replies.next()) {
        marked.ok("CLUSTER SETSLOT")?;
        answers.push(answer);
        replies.next();
    }
    Ok(answers)
}

/// From now on the server answers for the slot to who says `ASKING`.
pub(super) fn mark(slot: Slot, owner: &NodeId) -> Command {
    Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), "IMPORTING", owner.as_str()])
}

/// Takes the mark away.
pub(super) fn unmark(slot: Slot) -> Command {
    Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), "STABLE"])
}
