//! The target's side of a move, and what replicas are told of open slots: done at the caller's request, on a connection
//! of its own, and answered only when it is done.

use std::time::Duration;

use redisnode_agent_core::migration::{is_heir, set_slot_lanes};
use redisnode_proto::message::{Ack, ImportReply, ImportRequest, OpenSlotsNotice, ResumeRequest};
use redisnode_proto::topology::{Direction, Role, View, ViewNode};
use redisnode_proto::{Generation, NodeId, Slot, SlotSet};
use tokio::time::timeout;

use super::peek::{count, hides};
use super::reconcile::marks_survive;
use super::shared::{Shared, whole};
use crate::resp::{Command, Lanes, RespError};

/// How long the source's newer Layout is waited for.
const LAYOUT_WITHIN: Duration = Duration::from_secs(3);
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// Opens slots for arrival. The mark is this agent's consent: only what its own Layout gives to its shard, or what is
/// half here already: marked, or with keys (a failover of this shard has dropped the marks).
pub(super) async fn import(shared: &Shared, request: &ImportRequest) -> ImportReply {
    let none = |reason: String| ImportReply { opened: Vec::new(), unwanted: Vec::new(), refused: Some(reason) };
    let asked = Asked { source: &request.source, slots: &request.slots, resume: request.resume };
    let (mine, marked) = match consent(shared, request.generation, &asked).await {
        Ok(consent) => consent,
        Err(reason) => return none(reason),
    };
    let (mut agreed, others): (Vec<Slot>, Vec<Slot>) =
        request.slots.iter().partition(|slot| mine.contains(**slot) || marked.contains(**slot));
    let mut unwanted = Vec::new();
    if request.resume {
        match split_by_keys(shared, &request.source, &others).await {
            Ok((with_keys, without)) => {
                agreed.extend(with_keys);
                unwanted = without;
            }
            Err(error) => return none(whole(&error)),
        }
    }
    match open(shared, request, &agreed).await {
        Ok(opened) => {
            let refused =
                (!others.is_empty()).then(|| "the Layout here does not give these slots to this shard".to_owned());
            ImportReply { opened, unwanted, refused }
        }
        Err(error) => none(whole(&error)),
    }
}

/// Whether the own server is well in the cluster and has the source as a primary that owns these slots. One that has just
/// met the others does not yet, and a slot that is marked before its owner is known is never bound to it: it answers
/// `CLUSTERDOWN` (measured).
fn knows_owner(shared: &Shared, asked: &Asked<'_>) -> bool {
    let state = shared.state();
    state.server.running().is_some_and(|running| {
        if !running.view.state_ok {
            return false;
        }
        let source = running.view.node(asked.source);
        source.is_some_and(|node| {
            !node.handshake
                && node.role == Role::Primary
                && asked.slots.iter().all(|slot| is_known(asked, &running.view, node, *slot))
        })
    })
}

/// A mark that is there already hides who owns the slot; what is half here is to be finished all the same.
fn is_known(asked: &Asked<'_>, view: &View, source: &ViewNode, slot: Slot) -> bool {
    let marked = || view.open.iter().any(|open| open.slot == slot && open.direction == Direction::Importing);
    source.slots.contains(slot) || (asked.resume && marked())
}

/// Slots of which this server has keys, and slots of which it has none.
async fn split_by_keys(shared: &Shared, source: &NodeId, slots: &[Slot]) -> Result<(Vec<Slot>, Vec<Slot>), RespError> {
    let _marking = shared.marking.write().await;
    let mut connection = shared.connect(CONNECT_WITHIN).await?;
    let hides = hides(&shared.state().server);
    let asked: Vec<(Slot, NodeId)> = slots.iter().map(|slot| (*slot, source.clone())).collect();
    let mut split = (Vec::new(), Vec::new());
    for (slot, keys) in count(&mut connection, &asked, hides).await? {
        if keys > 0 { split.0.push(slot) } else { split.1.push(slot) }
    }
    Ok(split)
}

/// What a source's agent wants to send.
pub(super) struct Asked<'a> {
    pub(super) source: &'a NodeId,
    pub(super) slots: &'a [Slot],
    /// Half of it may be here already.
    pub(super) resume: bool,
}

/// Slots that the Layout gives to this node's shard, and slots that are open for arrival already.
///
/// # Errors
/// If nothing should arrive here now, or the server does not know yet that the source owns what it asks for: a sentence.
pub(super) async fn consent(
    shared: &Shared,
    generation: Generation,
    asked: &Asked<'_>,
) -> Result<(SlotSet, SlotSet), String> {
    // The source may have the Layout a moment earlier. An older one that stays makes the answer below a refusal.
    let mut generations = shared.generation.subscribe();
    drop(timeout(LAYOUT_WITHIN, generations.wait_for(|held| *held >= generation)).await);
    let mut looks = shared.looks.subscribe();
    if !knows_owner(shared, asked) {
        shared.wake.notify_one();
    }
    drop(timeout(LAYOUT_WITHIN, looks.wait_for(|_| knows_owner(shared, asked))).await);
    if !knows_owner(shared, asked) {
        return Err(format!(
            "{} does not know yet that the source owns these slots; that comes with the servers' next pings",
            shared.me.name
        ));
    }
    mine(shared)
}

fn mine(shared: &Shared) -> Result<(SlotSet, SlotSet), String> {
    let state = shared.state();
    if state.stopping {
        return Err(format!("{} is stopping", shared.me.name));
    }
    let Some(running) = state.server.running() else { return Err("the server does not answer".into()) };
    if running.replication.role != Role::Primary {
        return Err(format!("{} is not the primary of its shard", shared.me.name));
    }
    if running.writes_paused {
        // Its table may be older than its last life: giving it a slot now could raise a stale claim above the true one.
        return Err(format!("{} does not know yet whether it still owns its slots", shared.me.name));
    }
    if state.ledger.open_at_start.is_some() {
        return Err(format!(
            "what the server of {} has marked by itself at its start is not closed yet",
            shared.me.name
        ));
    }
    let shard = state.ledger.layout.as_ref().and_then(|layout| layout.shard_of(&shared.me.name));
    let mine = shard.map(|shard| shard.slots.clone()).unwrap_or_default();
    let open = running.view.open.iter().filter(|open| open.direction == Direction::Importing);
    Ok((mine, open.map(|open| open.slot).collect()))
}

async fn open(shared: &Shared, request: &ImportRequest, slots: &[Slot]) -> Result<Vec<Slot>, RespError> {
    let _marking = shared.marking.read().await;
    let now = shared.now();
    {
        let mut state = shared.state();
        for slot in slots {
            state.imports.insert(slot.number(), now);
        }
    }
    let mut lanes = shared.arrivals.take(shared);
    bind(shared, &mut lanes, request, slots).await?;
    let commands: Vec<Command> = slots.iter().map(|slot| set_slot(*slot, "IMPORTING", &request.source)).collect();
    let count = set_slot_lanes(marks_survive(&shared.state().server));
    let replies = lanes.spread(&commands, count).await?;
    shared.arrivals.put_back(lanes, shared.now());
    let mut opened = Vec::new();
    for (slot, reply) in slots.iter().zip(replies) {
        match reply.ok("CLUSTER SETSLOT") {
            Ok(_) => opened.push(*slot),
            Err(error) => tracing::info!(%slot, error = %whole(&error), "slot not opened for arrival"),
        }
    }
    Ok(opened)
}

/// A slot that is marked here takes no other owner from the bus. Once its source was deposed and follows its heir, it
/// belongs to nobody, and the server answers `CLUSTERDOWN` to every key (seen on Redis 7.0: such a move never went on).
/// The heir asks now: the slot is bound to it, and stays marked.
async fn bind(shared: &Shared, lanes: &mut Lanes, request: &ImportRequest, slots: &[Slot]) -> Result<(), RespError> {
    let unbound: Vec<Slot> = {
        let state = shared.state();
        let Some(view) = state.server.running().map(|running| &running.view) else { return Ok(()) };
        slots.iter().copied().filter(|slot| is_heir(view, &request.source, *slot)).collect()
    };
    let commands: Vec<Command> = unbound.iter().map(|slot| set_slot(*slot, "NODE", &request.source)).collect();
    if commands.is_empty() {
        return Ok(());
    }
    tracing::info!(slots = commands.len(), "open slots of a former owner are bound to the source that asks");
    for reply in lanes.pipeline(&commands).await? {
        reply.ok("CLUSTER SETSLOT")?;
    }
    Ok(())
}

fn set_slot(slot: Slot, word: &str, node: &NodeId) -> Command {
    Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), word, node.as_str()])
}

/// A replica is told which slots its primary has open: in the ledger first, then the server is kept from standing for
/// election, since a promoted replica would not have the marks.
pub(super) async fn note_open_slots(shared: &Shared, notice: OpenSlotsNotice) -> Ack {
    let none = notice.open.slots.is_empty();
    let open = (!none).then_some(notice.open);
    let had_some = shared.state().ledger.open_slots.is_some();
    if let Err(error) = shared.change_ledger(|ledger| ledger.open_slots = open) {
        return Ack::Refused { reason: whole(&error) };
    }
    if had_some == none {
        // The rest of the agent has something to watch now, or nothing any more.
        shared.wake.notify_one();
    }
    let closed = !none && !marks_survive(&shared.state().server);
    match set_no_failover(shared, closed).await {
        Ok(()) => Ack::Done,
        Err(error) => Ack::Refused { reason: whole(&error) },
    }
}

async fn set_no_failover(shared: &Shared, on: bool) -> Result<(), RespError> {
    let value = if on { "yes" } else { "no" };
    let command = Command::new("CONFIG").args_from(["SET", "cluster-replica-no-failover", value]);
    let mut lanes = shared.arrivals.take(shared);
    lanes.demand(&command).await?;
    shared.arrivals.put_back(lanes, shared.now());
    Ok(())
}

/// The owner is asked to finish slots that are half at a target.
pub(super) fn resume(shared: &Shared, request: &ResumeRequest) -> Ack {
    let mut state = shared.state();
    for slot in &request.slots {
        let wish = (*slot, request.target.clone());
        if !state.inbox.resume.contains(&wish) {
            state.inbox.resume.push(wish);
        }
    }
    drop(state);
    shared.wake.notify_one();
    Ack::Done
}
