//! Planned change of primary: end the moves of slots, then let the best replica's agent promote its server while this
//! one still serves. No acknowledged write is lost, since the server itself waits until the replica has everything.

use std::sync::Arc;
use std::time::Duration;

use redisnode_proto::event::Severity;
use redisnode_proto::judge::{Candidate, best_replica, is_in_sync};
use redisnode_proto::message::{Outcome, TakeoverRequest};
use redisnode_proto::report::Report;
use redisnode_proto::{NodeId, NodeName};

use super::reconcile::Reconciler;
use super::shared::Shared;
use super::tasks::Done;

/// For the open slots to be finished and closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// The server's own limit is 5 s.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(7);
const ASK_WITHIN: Duration = Duration::from_millis(500);

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
    let Some(me) = shared.state().server.running().map(|running| running.view.me.clone()) else {
        return refused("the server does not answer");
    };
    let mates = fresh_mates(shared, to.as_ref()).await;
    let Some((name, address)) = choose(&mates, &me) else {
        let whom = to.map_or_else(|| "no replica".to_owned(), |name| format!("{name} is not a replica that"));
        return refused(&format!("{whom} is in sync with this primary and stays; wait until one is"));
    };
    let request = TakeoverRequest { from: me };
    match shared.client.takeover(address, &request, TAKEOVER_WITHIN).await {
        Ok(outcome) => outcome,
        Err(error) => refused(&format!("the agent of {name} did not say how it ended: {}", error.whole())),
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

fn choose(mates: &[Report], me: &NodeId) -> Option<(NodeName, std::net::SocketAddr)> {
    let fit = mates.iter().filter(|report| !report.stopping).filter_map(|report| {
        let running = report.server.running().filter(|running| is_in_sync(running))?;
        let follows = running.view.myself().is_some_and(|line| line.primary.as_ref() == Some(me));
        let offset = running.replication.offset;
        follows.then(|| Candidate { name: report.member.name.clone(), offset, synced: true })
    });
    let best = best_replica(fit)?;
    let report = mates.iter().find(|report| report.member.name == best.name)?;
    Some((best.name, report.address.agent()))
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}
