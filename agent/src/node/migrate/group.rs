//! A few slots that are open at the same time: opened on both sides with the replicas told, and closed target first.

use redisnode_agent_core::migration::{CloseStep, Closing, next_step};
use redisnode_proto::message::ImportRequest;
use redisnode_proto::topology::ClusterInfo;
use redisnode_proto::{Address, NodeId, Slot, SlotSet};

use super::super::look::LookError;
use super::super::shared::{Shared, whole};
use super::keys::Found;
use super::notices;
use crate::resp::{Command, Connection, Reply, RespError};

/// Most slots and (about) most keys that one group has.
const MOST_SLOTS: usize = 64;
const ENOUGH_KEYS: i64 = 1500;
/// Valkey answers SETSLOT with NOREPLICAS if a replica lags; the same command again is the remedy.
const TRIES: usize = 3;
/// Epochs travel with the servers' pings; no event tells of them.
const EPOCH_TRIES: usize = 40;
const EPOCH_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
const IMPORT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Slots that are open, and what is to be moved.
pub(super) struct Group {
    pub(super) slots: Vec<Slot>,
    pub(super) found: Found,
}

/// Source and target of a move.
pub(super) struct Pair<'a> {
    pub(super) shared: &'a Shared,
    pub(super) target_id: &'a NodeId,
    pub(super) target: &'a Address,
}

/// Takes slots from `left`: those that are open already come first, alone; then few enough that they hold about [`ENOUGH_KEYS`].
pub(super) async fn choose(own: &mut Connection, left: &SlotSet, open: &SlotSet) -> Result<Vec<Slot>, RespError> {
    let resumed: Vec<Slot> = left.intersection(open).iter().take(MOST_SLOTS).collect();
    if !resumed.is_empty() {
        return Ok(resumed);
    }
    let candidates: Vec<Slot> = left.iter().take(MOST_SLOTS).collect();
    let commands: Vec<Command> = candidates.iter().map(|slot| count_command(*slot)).collect();
    let replies = own.pipeline(&commands).await?;
    let mut keys = 0;
    let mut chosen = Vec::new();
    for (slot, reply) in candidates.into_iter().zip(replies) {
        if !chosen.is_empty() && keys >= ENOUGH_KEYS {
            break;
        }
        keys += reply.integer("CLUSTER COUNTKEYSINSLOT")?;
        chosen.push(slot);
    }
    Ok(chosen)
}

/// Opens slots: the target's agent agrees first, then the replicas are told, then the source is marked.
pub(super) async fn open(
    pair: &Pair<'_>,
    own: &mut Connection,
    slots: &[Slot],
    resume: bool,
) -> Result<Vec<Slot>, String> {
    let source = my_id(pair.shared)?;
    let generation = pair.shared.layout().map(|layout| layout.generation).unwrap_or_default();
    let request = ImportRequest { generation, source, slots: slots.to_vec(), resume };
    let reply = pair.shared.client.import(pair.target.agent(), &request, IMPORT_WITHIN).await;
    let reply = reply.map_err(|error| format!("the target's agent does not answer: {}", error.whole()))?;
    if !reply.unwanted.is_empty() {
        // Open here only, with nothing of it over there: closing it loses nothing and changes no owner.
        let closed = Command::new("CLUSTER");
        for slot in &reply.unwanted {
            let stable = closed.clone().args_from(["SETSLOT", &slot.to_string(), "STABLE"]);
            own.demand(&stable).await.map_err(|error| whole(&error))?;
        }
        pair.shared.jobs.change_open(pair.target_id, &[], &reply.unwanted);
    }
    if reply.opened.is_empty() && reply.unwanted.is_empty() {
        return Err(format!(
            "the target's agent opens nothing: {}",
            reply.refused.unwrap_or_else(|| "no reason given".into())
        ));
    }
    {
        let _one_at_a_time = pair.shared.jobs.telling.lock().await;
        let open = pair.shared.jobs.change_open(pair.target_id, &reply.opened, &[]);
        notices::tell(pair.shared, &open).await?;
    }
    let replies = set_slots(own, &reply.opened, "MIGRATING", pair.target_id).await.map_err(|error| whole(&error))?;
    for (slot, refusal) in replies {
        if let Some(refusal) = refusal {
            return Err(format!("the source cannot open slot {slot}: {refusal}"));
        }
    }
    Ok(reply.opened)
}

/// Closes slots that are empty here, target first. Returns how many have a new owner.
pub(super) async fn close(
    pair: &Pair<'_>,
    own: &mut Connection,
    remote: &mut Connection,
    slots: &[Slot],
) -> Result<u32, String> {
    let mut state: Vec<(Slot, Closing)> = counted(own, slots).await.map_err(|error| whole(&error))?;
    target_outranks(own, remote).await?;
    let kept = state.iter().filter(|(_, closing)| next_step(*closing) == CloseStep::MoveKeys).count();
    for step in [CloseStep::AssignAtTarget, CloseStep::AssignAtSource] {
        let due: Vec<Slot> = state.iter().filter(|(_, c)| next_step(*c) == step).map(|(slot, _)| *slot).collect();
        let connection = if step == CloseStep::AssignAtTarget { &mut *remote } else { &mut *own };
        let done = assign(connection, &due, pair.target_id).await?;
        for (slot, closing) in &mut state {
            if done.contains(*slot) {
                match step {
                    CloseStep::AssignAtTarget => closing.owned_by_target = true,
                    CloseStep::AssignAtSource => closing.released_by_source = true,
                    CloseStep::MoveKeys | CloseStep::Done => {}
                }
            }
        }
    }
    let closed: Vec<Slot> = state.iter().filter(|(_, c)| next_step(*c) == CloseStep::Done).map(|(s, _)| *s).collect();
    pair.shared.jobs.change_open(pair.target_id, &[], &closed);
    if kept > 0 {
        return Err(format!("{kept} slots still hold keys at the source; they stay open and are tried again"));
    }
    Ok(u32::try_from(closed.len()).unwrap_or(u32::MAX))
}

/// The target takes a slot under the highest epoch that it knows, plus one. If it does not know the source's own, a
/// promoted replica of the source could win the slot back (simulated): then it is waited for.
async fn target_outranks(own: &mut Connection, remote: &mut Connection) -> Result<(), String> {
    for _ in 0..EPOCH_TRIES {
        let (here, there) = tokio::join!(cluster_info(own), cluster_info(remote));
        let (here, there) = (here.map_err(|error| whole(&error))?, there.map_err(|error| whole(&error))?);
        if there.current_epoch >= here.my_epoch {
            return Ok(());
        }
        tokio::time::sleep(EPOCH_PAUSE).await;
    }
    Err("the target has not heard of the source's epoch yet; the slots stay open and are tried again".to_owned())
}

async fn cluster_info(connection: &mut Connection) -> Result<ClusterInfo, LookError> {
    let text = connection.demand(&Command::new("CLUSTER").arg("INFO")).await?.text("CLUSTER INFO")?;
    Ok(ClusterInfo::parse(&text)?)
}

async fn counted(own: &mut Connection, slots: &[Slot]) -> Result<Vec<(Slot, Closing)>, RespError> {
    let commands: Vec<Command> = slots.iter().map(|slot| count_command(*slot)).collect();
    let replies = own.pipeline(&commands).await?;
    let mut out = Vec::new();
    for (slot, reply) in slots.iter().zip(replies) {
        let empty_at_source = reply.integer("CLUSTER COUNTKEYSINSLOT")? == 0;
        out.push((*slot, Closing { empty_at_source, owned_by_target: false, released_by_source: false }));
    }
    Ok(out)
}

async fn assign(connection: &mut Connection, slots: &[Slot], owner: &NodeId) -> Result<SlotSet, String> {
    let mut done = SlotSet::new();
    let mut due = slots.to_vec();
    let mut last = String::new();
    for _ in 0..TRIES {
        if due.is_empty() {
            return Ok(done);
        }
        let replies = set_slots(connection, &due, "NODE", owner).await.map_err(|error| whole(&error))?;
        due.clear();
        for (slot, refusal) in replies {
            match refusal {
                None => {
                    done.insert(slot);
                }
                Some(refusal) => {
                    last = refusal;
                    due.push(slot);
                }
            }
        }
    }
    if due.is_empty() { Ok(done) } else { Err(format!("a slot cannot be given to its new owner: {last}")) }
}

async fn set_slots(
    connection: &mut Connection,
    slots: &[Slot],
    word: &str,
    peer: &NodeId,
) -> Result<Vec<(Slot, Option<String>)>, RespError> {
    let commands: Vec<Command> = slots
        .iter()
        .map(|slot| Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), word, peer.as_str()]))
        .collect();
    let replies = connection.pipeline(&commands).await?;
    Ok(slots.iter().zip(replies).map(|(slot, reply)| (*slot, reply.error_text().map(str::to_owned))).collect())
}

fn count_command(slot: Slot) -> Command {
    Command::new("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot.to_string())
}

fn my_id(shared: &Shared) -> Result<NodeId, String> {
    let state = shared.state();
    let running = state.server.running().ok_or("the own server does not answer")?;
    Ok(running.view.me.clone())
}

/// Whether the source has functions that the target lacks; then they are carried over.
pub(super) async fn carry_functions(own: &mut Connection, remote: &mut Connection) -> Result<(), RespError> {
    let list = Command::new("FUNCTION").arg("LIST");
    let here = own.run(&list).await?.into_array().unwrap_or_default();
    if here.is_empty() {
        return Ok(());
    }
    let there = remote.run(&list).await?.into_array().unwrap_or_default();
    if !there.is_empty() {
        return Ok(());
    }
    let Reply::Bulk(dump) = own.demand(&Command::new("FUNCTION").arg("DUMP")).await? else { return Ok(()) };
    remote.demand(&Command::new("FUNCTION").arg("RESTORE").bytes(dump)).await.map(drop)
}
