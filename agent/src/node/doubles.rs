//! Keys that a promoted server still has although they had moved: the source sent them, deleted them, and died before its
//! replica heard of it.
//!
//! The target's copy is the newer one as long as this server has taken no write since its promotion: so it is looked for
//! while writes are held, and the copy here goes before they flow. Later nobody could tell, and the move would stop at
//! BUSYKEY (seen on Redis 7.0). Slots whose keys were sent without an answer are left alone: there the source may have
//! gone on with its own copy.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use redisnode_proto::{NodeId, Slot};

use super::shared::{Shared, whole};
use crate::resp::{Command, Connection, Reply, RespError};

/// Most keys of one slot that are looked at. A group of open slots has some thousands at most.
const MOST: i64 = 5000;
const WITHIN: Duration = Duration::from_secs(1);

/// The keys of open slots that their targets have too. A target that does not answer has none, as far as is known: its
/// keys stay, and the move that finds them stops and says so.
pub(super) async fn doubles(
    shared: &Shared,
    own: &mut Connection,
    slots: &[(Slot, NodeId)],
) -> Result<Vec<Bytes>, RespError> {
    let lists: Vec<Command> = slots
        .iter()
        .map(|(slot, _)| Command::new("CLUSTER").arg("GETKEYSINSLOT").arg(slot.to_string()).number(MOST))
        .collect();
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_target: BTreeMap<&NodeId, Vec<Bytes>> = BTreeMap::new();
    for ((_, target), reply) in slots.iter().zip(own.pipeline(&lists).await?) {
        let keys = reply.array("CLUSTER GETKEYSINSLOT")?.into_iter().filter_map(Reply::into_bytes);
        by_target.entry(target).or_default().extend(keys);
    }
    let mut found = Vec::new();
    for (target, keys) in by_target.into_iter().filter(|(_, keys)| !keys.is_empty()) {
        match at_target(shared, target, &keys).await {
            Ok(there) => found.extend(there),
            Err(error) => {
                tracing::warn!(target = %target.short(), error = %whole(&error), "cannot ask which keys have moved");
            }
        }
    }
    Ok(found)
}

async fn at_target(shared: &Shared, target: &NodeId, keys: &[Bytes]) -> Result<Vec<Bytes>, RespError> {
    let Some(address) = address_of(shared, target) else { return Ok(Vec::new()) };
    let mut connection = Connection::open(address, &shared.access(), WITHIN).await?;
    connection.set_deadline(WITHIN);
    let asks: Vec<Command> =
        keys.iter().flat_map(|key| [Command::new("ASKING"), Command::new("EXISTS").bytes(key.clone())]).collect();
    let replies = connection.pipeline(&asks).await?;
    let answers = replies.iter().skip(1).step_by(2);
    if let Some(refusal) = answers.clone().find_map(Reply::error_text) {
        tracing::warn!(target = %target.short(), %refusal, "the target does not say of some keys whether they have moved");
    }
    Ok(keys
        .iter()
        .zip(answers)
        .filter(|(_, reply)| reply.as_integer() == Some(1))
        .map(|(key, _)| key.clone())
        .collect())
}

fn address_of(shared: &Shared, id: &NodeId) -> Option<SocketAddr> {
    let state = shared.state();
    let node = state.server.running()?.view.node(id)?;
    Some(SocketAddr::new(node.ip.parse::<IpAddr>().ok()?, node.port))
}
