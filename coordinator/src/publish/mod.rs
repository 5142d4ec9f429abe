//! Brings the newest Layout to every agent, again and again until each has it. Sends only what was decided.

mod due;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redisnode_http::{CallError, Client};
use redisnode_planner::{Heard, MachineMember};
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::report::ServerState;
use redisnode_proto::{Generation, Layout, Member, NodeName};
use tokio::task::JoinSet;

use self::due::Delivery;
use crate::clock::Clock;

const DEADLINE: Duration = Duration::from_secs(2);

type Answered = (Member, Generation, Result<LayoutAnswer, CallError>);

/// Brings the newest Layout to every agent.
#[derive(Debug)]
pub struct Publisher {
    client: Client,
    clock: Clock,
    layout: Option<Arc<Layout>>,
    deliveries: BTreeMap<NodeName, Delivery>,
    sending: JoinSet<Answered>,
    refusals: BTreeMap<NodeName, String>,
    overtaken_by: Vec<u64>,
}

impl Publisher {
    /// Nothing to publish yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self {
            client,
            clock,
            layout: None,
            deliveries: BTreeMap::new(),
            sending: JoinSet::new(),
            refusals: BTreeMap::new(),
            overtaken_by: Vec::new(),
        }
    }

    /// The newest Layout that this life has published.
    pub fn published(&self) -> Option<&Layout> {
        self.layout.as_deref()
    }

    /// Why agents refuse the Layout.
    pub fn refusals(&self) -> &BTreeMap<NodeName, String> {
        &self.refusals
    }

    /// Whether every agent of `members` shows the Layout, or a newer one, and nothing is under way.
    pub fn is_delivered(&self, members: &[MachineMember], heard: &BTreeMap<NodeName, Heard>) -> bool {
        let Some(layout) = &self.layout else { return false };
        let shows = |member: &Member| {
            let shown = heard.get(&member.name).and_then(|heard| heard.report.ledger.layout.as_ref());
            shown.is_some_and(|shown| shown.generation >= layout.generation)
        };
        self.sending.is_empty() && self.refusals.is_empty() && members.iter().all(|machine| shows(&machine.member))
    }

    /// Terms of other lives that agents answered with, newer than what this life published. Empties the list.
    pub fn take_overtaken(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.overtaken_by)
    }

    /// From now on this is the Layout.
    pub fn publish(&mut self, layout: Layout) {
        tracing::info!(generation = %layout.generation, "publish a Layout");
        self.deliveries.values_mut().for_each(Delivery::begin_anew);
        self.refusals.clear();
        self.layout = Some(Arc::new(layout));
    }

    /// Sends the Layout to every agent that does not show it yet.
    pub fn deliver(&mut self, members: &[MachineMember], heard: &BTreeMap<NodeName, Heard>) {
        let Some(layout) = self.layout.clone() else { return };
        let now = self.clock.now();
        self.deliveries
            .retain(|name, delivery| members.iter().any(|m| m.member.name == *name && m.member.uid == delivery.uid));
        for machine in members {
            let Member { name, uid } = &machine.member;
            let delivery = self.deliveries.entry(name.clone()).or_insert_with(|| Delivery::new(uid.clone()));
            let report = heard.get(name).map(|heard| &heard.report).filter(|report| report.member == machine.member);
            // Its folder is not this node's: it must not come to hold anything of ours.
            if report.is_some_and(|report| matches!(report.server, ServerState::Refused { .. })) {
                continue;
            }
            let shown = report.and_then(|report| report.ledger.layout.as_ref()).map(|layout| layout.generation);
            if !delivery.is_due(layout.generation, shown, now) {
                continue;
            }
            delivery.in_flight = true;
            let (client, layout) = (self.client.clone(), layout.clone());
            let (member, agent) = (machine.member.clone(), machine.address.agent());
            self.sending.spawn(async move {
                let answer = client.put_layout(agent, &layout, DEADLINE).await;
                (member, layout.generation, answer)
            });
        }
    }

    /// Comes back when an agent has answered. May be dropped at any time.
    pub async fn changed(&mut self) {
        match self.sending.join_next().await {
            Some(Ok(answered)) => self.take(answered),
            Some(Err(error)) => tracing::error!(%error, "the sending of a Layout broke off"),
            None => std::future::pending().await,
        }
    }

    fn take(&mut self, (member, generation, answer): Answered) {
        let now = self.clock.now();
        let published = self.layout.as_ref().map(|layout| layout.generation);
        let Some(delivery) = self.deliveries.get_mut(&member.name).filter(|d| d.uid == member.uid) else { return };
        delivery.in_flight = false;
        match answer {
            Ok(LayoutAnswer::Taken) => {
                delivery.succeeded(generation, now);
                self.refusals.remove(&member.name);
            }
            // A newer one of our own may have come by another member: that is no other life.
            Ok(LayoutAnswer::Older { held }) if Some(held) <= published => delivery.succeeded(held, now),
            Ok(LayoutAnswer::Older { held } | LayoutAnswer::Conflict { held }) => {
                tracing::warn!(name = %member.name, %held, "another life of a coordinator has published");
                delivery.failed(now);
                self.overtaken_by.push(held.term);
            }
            Ok(LayoutAnswer::Refused { reason }) => {
                delivery.failed(now);
                self.refusals.insert(member.name, reason);
            }
            Err(error) => {
                tracing::debug!(name = %member.name, error = error.whole(), "the Layout did not arrive");
                delivery.failed(now);
            }
        }
    }
}
