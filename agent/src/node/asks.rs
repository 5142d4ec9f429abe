//! Calls to other agents: who I am and where, answered by their Report. Never more than one at a time to the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redisnode_agent_core::obey::judge_layout;
use redisnode_http::CallError;
use redisnode_proto::message::{Hello, LayoutAnswer};
use redisnode_proto::{Millis, NodeName, Report};
use tokio::task::JoinSet;

use super::shared::Shared;
use super::tasks::Done;

/// How long another agent may take. It answers from memory, or after one look at its server.
pub(super) const WITHIN: Duration = Duration::from_millis(500);
/// Pause between two calls of the same agent.
const PAUSE: Millis = Millis(20);

/// Which calls are under way, and when the last ones ended.
#[derive(Debug, Default)]
pub(super) struct Asks {
    under_way: BTreeSet<NodeName>,
    ended: BTreeMap<NodeName, Millis>,
}

impl Asks {
    /// Calls those of `names` that are not being called, and were not just now.
    pub(super) fn ask(&mut self, shared: &Arc<Shared>, names: Vec<NodeName>, tasks: &mut JoinSet<Done>) {
        let now = shared.now();
        for name in names {
            let recent = self.ended.get(&name).is_some_and(|at| now.since(*at) < PAUSE);
            if recent || name == shared.me.name || self.under_way.contains(&name) {
                continue;
            }
            let Some(address) = shared.agent_of(&name) else { continue };
            self.under_way.insert(name.clone());
            let shared = Arc::clone(shared);
            tasks.spawn(async move {
                let hello = hello(&shared);
                let answer = shared.client.hello(address.agent(), &hello, WITHIN).await;
                Done::Asked(name, address.agent(), answer.map(Box::new))
            });
        }
    }

    /// A call has ended: its answer goes into what is known of the peer. If the peer has said meanwhile that it is
    /// elsewhere, a call that failed says nothing: it would take back what it said there, and the server would be started
    /// without knowing its address (seen).
    pub(super) fn ended(
        &mut self,
        shared: &Shared,
        name: &NodeName,
        at: SocketAddr,
        answer: Result<Box<Report>, CallError>,
    ) {
        let has_moved = shared.agent_of(name).is_some_and(|address| address.agent() != at);
        self.under_way.remove(name);
        self.ended.insert(name.clone(), shared.now());
        match answer {
            Ok(report) if has_moved && !is_from(shared, name, &report) => {
                tracing::debug!(peer = %name, found = %report.member.name, "another node answers where the peer was");
            }
            Err(error) if has_moved => {
                tracing::debug!(peer = %name, error = %error.whole(), "nobody answers where the peer was");
            }
            Ok(report) if !is_from(shared, name, &report) => {
                tracing::warn!(peer = %name, found = %report.member.name, "another node answers at the peer's address");
                shared.unheard(name);
            }
            Ok(report) => {
                take_newer_layout(shared, &report);
                shared.heard(name, *report);
            }
            Err(error) => {
                tracing::debug!(peer = %name, error = %error.whole(), "no answer");
                shared.unheard(name);
            }
        }
    }
}

/// Whether this is the peer's word, and not that of who is at its address by now.
fn is_from(shared: &Shared, name: &NodeName, report: &Report) -> bool {
    report.cluster == shared.args.cluster && report.member.name == *name
}

/// How this node introduces itself.
pub(super) fn hello(shared: &Shared) -> Hello {
    let state = shared.state();
    let running = state.server.running().map(|running| running.view.me.clone());
    Hello {
        member: shared.me.clone(),
        node_id: running.or_else(|| state.disk.identity.as_ref().map(|identity| identity.id.clone())),
        address: shared.address.clone(),
        generation: state.ledger.layout.as_ref().map(|layout| layout.generation),
    }
}

/// A newer Layout may come from any member.
pub(super) fn take_newer_layout(shared: &Shared, report: &Report) {
    let Some(theirs) = &report.ledger.layout else { return };
    let ours = shared.state().ledger.clone();
    let newer = ours.layout.as_ref().is_none_or(|layout| theirs.generation > layout.generation);
    if newer && judge_layout(&ours, theirs) == LayoutAnswer::Taken {
        tracing::info!(generation = %theirs.generation, from = %report.member.name, "layout taken from a peer");
        if let Err(error) = shared.change_ledger(|ledger| ledger.layout = Some(theirs.clone())) {
            tracing::error!(error = %super::shared::whole(&error), "cannot keep the layout");
        }
    }
}
