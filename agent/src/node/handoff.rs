//! Planned change of primary: end the moves of slots, then let the best replica's agent promote its server while this
//! one still serves. No acknowledged write is lost, since the server itself waits until the replica has everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redisnode_proto::event::Severity;
use redisnode_proto::judge::{Candidate, best_replica, is_linked_to, knows_slots_of};
use redisnode_proto::message::{Outcome, TakeoverRequest};
use redisnode_proto::report::{Report, Running};
use redisnode_proto::topology::Role;
use redisnode_proto::{NodeId, NodeName, Offset, SlotSet};
use tokio::time::Instant;

use super::reconcile::Reconciler;
use super::shared::{Shared, whole};
use super::tasks::Done;
use crate::resp::{Command, Connection, Reply, RespError};

/// For the open slots to be finished and closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// Votes, or the wait for the last bytes and the promotion.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(3);
/// For a replica that is behind.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1);
/// Longer than a replica's agent may take for its order.
const HOLD_MS: i64 = 5000;
/// So long the outcome of an order without votes is asked for: a replica that answers nothing for longer is one that the
/// other servers take for failed at the usual node time-out.
const HELD_AT_MOST: Duration = Duration::from_secs(15);
/// The same before a stop: no write comes after it, so a replica that obeys later has everything, too. Mostly its agent is
/// stopped at the same time (all pods deleted at once took 15 s longer, seen once).
const HELD_BEFORE_STOP: Duration = Duration::from_secs(5);
/// A successor tells everybody at once; a ping later it is seen in any case.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
const ASK_WITHIN: Duration = Duration::from_millis(500);
/// What `ROLE` calls a replica.
const REPLICA: &str = "slave";

impl Reconciler {
    /// Begins a handoff, if none is under way.
    pub(super) fn hand_off(&mut self, to: Option<NodeName>) {
        if std::mem::replace(&mut self.handing_off, true) {
            return;
        }
        self.shared.jobs.stop_all("a handoff comes first");
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move { Done::HandedOff(run(&shared, to).await) });
    }

    pub(super) fn handoff_ended(&mut self, outcome: Outcome) {
        self.handing_off = false;
        let mut state = self.shared.state();
        match &outcome {
            Outcome::Done { name, .. } => {
                let text = format!("{} has handed its slots to {name}", self.shared.me.name);
                state.event(Severity::Normal, "HandoffDone", text);
                state.settle("HandoffFailed");
            }
            Outcome::Refused { reason } | Outcome::Pending { reason } => {
                state.problem("HandoffFailed", format!("{} keeps its slots: {reason}", self.shared.me.name));
            }
        }
        state.inbox.handoff = None;
        state.handoff_outcome = Some(outcome);
        drop(state);
        self.shared.looks.send_modify(|looks| *looks += 1);
    }
}

async fn run(shared: &Arc<Shared>, to: Option<NodeName>) -> Outcome {
    if !shared.jobs.wait_until_idle(CLOSE_WITHIN).await {
        return refused("slots that are open could not be finished in time; try again when the move is over");
    }
    let Some((me, role)) = role(shared) else { return refused("the server does not answer") };
    if role != Role::Primary {
        return refused("its server is a replica, and has nothing to hand over");
    }
    let chosen = match caught_up(shared, to.as_ref(), &me).await {
        Ok(chosen) => chosen,
        Err(error) => return refused(&format!("the server does not answer: {}", whole(&error))),
    };
    let Some((name, address, _)) = chosen else {
        let whom = to.map_or_else(|| "no replica".to_owned(), |name| format!("{name} is not a replica that"));
        return refused(&format!(
            "{whom} is in sync with this primary, knows its slots and stays; wait until one does"
        ));
    };
    match ask(shared, &name, address, TakeoverRequest { from: me.clone(), held_at: None }).await {
        Ok(Outcome::Pending { reason }) => {
            tracing::info!(%reason, "writes are held for a handoff without votes");
            held(shared, &name, address, me).await
        }
        Ok(outcome) => outcome,
        Err(reason) => refused(&reason),
    }
}

fn role(shared: &Shared) -> Option<(NodeId, Role)> {
    let state = shared.state();
    state.server.running().map(|running| (running.view.me.clone(), running.replication.role))
}

async fn ask(
    shared: &Shared,
    name: &NodeName,
    address: SocketAddr,
    request: TakeoverRequest,
) -> Result<Outcome, String> {
    let outcome = shared.client.takeover(address, &request, TAKEOVER_WITHIN).await;
    outcome.map_err(|error| format!("the agent of {name} did not say how it ended: {}", error.whole()))
}

/// Primaries that have voted for this shard a moment ago do not vote again: this server holds its writes, and says up to
/// where the replica must have come. Whatever happens, the hold ends by itself.
async fn held(shared: &Arc<Shared>, name: &NodeName, address: SocketAddr, me: NodeId) -> Outcome {
    let (mut own, held_at) = match hold(shared).await {
        Ok(Some(held)) => held,
        Ok(None) => return elected(shared, name).await,
        Err(error) => return refused(&format!("writes cannot be held for the handoff: {}", whole(&error))),
    };
    let request = TakeoverRequest { from: me, held_at: Some(held_at) };
    let deadline = Instant::now() + if shared.state().stopping { HELD_BEFORE_STOP } else { HELD_AT_MOST };
    let outcome = loop {
        let outcome = ask(shared, name, address, request.clone()).await;
        // What was ordered may still be obeyed: the hold is renewed, and the same one is asked again how it ended.
        let unsettled = matches!(outcome, Ok(Outcome::Pending { .. }) | Err(_));
        if !unsettled || Instant::now() >= deadline || own.demand(&pause()).await.is_err() {
            break outcome;
        }
    };
    let may_flow = match &outcome {
        // The hold lasts until this server has seen its successor, so that none is acknowledged in between.
        Ok(Outcome::Done { .. }) => became_replica(&mut own).await,
        Ok(Outcome::Refused { .. }) => true,
        // Nobody knows: the hold ends by itself.
        Ok(Outcome::Pending { .. }) | Err(_) => false,
    };
    if may_flow {
        let_flow(&mut own).await;
    }
    outcome.unwrap_or_else(|reason| refused(&reason))
}

/// Holds writes; the offset has everything that was ever acknowledged. Nothing is held by a server that is a replica already:
/// it may be the primary again before a hold has ended by itself, and would hold up its clients (seen: 3.6 s).
async fn hold(shared: &Shared) -> Result<Option<(Connection, Offset)>, RespError> {
    let mut own = connect(shared).await?;
    own.demand(&pause()).await?;
    match offset(&mut own).await {
        Ok(Some(offset)) => Ok(Some((own, offset))),
        other => {
            let_flow(&mut own).await;
            other.map(|_| None)
        }
    }
}

async fn let_flow(own: &mut Connection) {
    if let Err(error) = own.demand(&Command::new("CLIENT").arg("UNPAUSE")).await {
        tracing::warn!(error = %whole(&error), "writes stay held for some seconds");
    }
}

async fn connect(shared: &Shared) -> Result<Connection, RespError> {
    let mut own = shared.connect(ASK_WITHIN).await?;
    own.set_deadline(Duration::from_secs(1));
    Ok(own)
}

fn pause() -> Command {
    Command::new("CLIENT").arg("PAUSE").number(HOLD_MS).arg("WRITE")
}

/// A primary's own offset; nothing of a replica.
async fn offset(own: &mut Connection) -> Result<Option<Offset>, RespError> {
    let role = own.demand(&Command::new("ROLE")).await?.array("ROLE")?;
    if role.first().and_then(Reply::as_text) == Some(REPLICA) {
        return Ok(None);
    }
    let offset = role.get(1).and_then(Reply::as_integer).and_then(|offset| u64::try_from(offset).ok());
    let offset = offset.ok_or_else(|| RespError::Protocol { what: "ROLE".into(), reason: "no offset".into() })?;
    Ok(Some(Offset(offset)))
}

/// The votes came after all, and this server is a replica already. Nothing is ordered any more: it may follow another one.
async fn elected(shared: &Arc<Shared>, name: &NodeName) -> Outcome {
    let deadline = Instant::now() + SEEN_WITHIN;
    while Instant::now() < deadline {
        let mates = fresh_mates(shared, Some(name)).await;
        let owner = mates.iter().filter_map(|mate| mate.server.running()?.view.myself());
        if let Some(owner) = owner.into_iter().find(|node| node.role == Role::Primary && !node.slots.is_empty()) {
            return Outcome::Done { primary: owner.id.clone(), name: name.clone() };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    refused(&format!("its server is a replica now, and {name} does not show that it is its primary"))
}

async fn became_replica(own: &mut Connection) -> bool {
    let deadline = Instant::now() + SEEN_WITHIN;
    while Instant::now() < deadline {
        let role = own.demand(&Command::new("ROLE")).await.ok().and_then(Reply::into_array).unwrap_or_default();
        if role.first().and_then(Reply::as_text) == Some(REPLICA) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// The best replica, as soon as it follows without delay: writes stop for as long as it needs to come to the end, and one
/// that has just synced may be half a second behind. It is not waited for longer than that is worth.
async fn caught_up(shared: &Arc<Shared>, to: Option<&NodeName>, me: &NodeId) -> Result<Option<Heir>, RespError> {
    let mut own = connect(shared).await?;
    let deadline = Instant::now() + CAUGHT_UP_WITHIN;
    loop {
        let Some(before) = offset(&mut own).await? else { return Ok(None) };
        let owned = {
            let state = shared.state();
            state.server.running().and_then(|running| Some(running.view.myself()?.slots.clone())).unwrap_or_default()
        };
        let mates = fresh_mates(shared, to).await;
        let chosen = choose(&mates, me, &owned);
        let is_joining = chosen.is_none() && mates.iter().any(|mate| follows(mate, me).is_some());
        let is_ready = !is_joining && chosen.as_ref().is_none_or(|(_, _, has)| *has >= before);
        if is_ready || Instant::now() >= deadline {
            return Ok(chosen);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reports of the mates (or of the wished one), asked for now.
async fn fresh_mates(shared: &Arc<Shared>, to: Option<&NodeName>) -> Vec<Report> {
    let layout = shared.layout();
    let shard = layout.as_ref().and_then(|layout| layout.shard_of(&shared.me.name));
    let names: Vec<NodeName> = match (to, shard) {
        (Some(to), _) => vec![to.clone()],
        (None, Some(shard)) => shard.nodes().filter(|name| **name != shared.me.name).cloned().collect(),
        (None, None) => Vec::new(),
    };
    let mut calls = tokio::task::JoinSet::new();
    for name in names {
        let Some(address) = shared.agent_of(&name) else { continue };
        let shared = Arc::clone(shared);
        calls.spawn(async move {
            let hello = super::asks::hello(&shared);
            shared
                .client
                .hello(address.agent(), &hello, ASK_WITHIN)
                .await
                .ok()
                .filter(|report| report.member.name == name)
        });
    }
    calls.join_all().await.into_iter().flatten().collect()
}

/// Who takes over, where its agent is, and how far its server is.
type Heir = (NodeName, SocketAddr, Offset);

/// Its server, if it is linked to this one and stays.
fn follows<'a>(mate: &'a Report, me: &NodeId) -> Option<&'a Running> {
    mate.server.running().filter(|running| !mate.stopping && is_linked_to(running, me))
}

fn choose(mates: &[Report], me: &NodeId, owned: &SlotSet) -> Option<Heir> {
    let fit = mates.iter().filter_map(|report| {
        let running = follows(report, me).filter(|running| knows_slots_of(running, me, owned))?;
        Some(Candidate { name: report.member.name.clone(), offset: running.replication.offset, synced: true })
    });
    let best = best_replica(fit)?;
    let report = mates.iter().find(|report| report.member.name == best.name)?;
    Some((best.name, report.address.agent(), best.offset))
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}
