//! Asks agents to restart their servers, each at most once at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use redisnode_http::{CallError, Client};
use redisnode_proto::message::Ack;
use redisnode_proto::{Millis, NodeName};
use tokio::task::JoinSet;

use crate::clock::Clock;

const DEADLINE: Duration = Duration::from_secs(5);
/// An agent that still needs a restart after this is asked again.
const AGAIN_AFTER: Millis = Millis(5000);

/// The restarts that were asked for.
#[derive(Debug)]
pub struct Restarts {
    client: Client,
    clock: Clock,
    asked: BTreeMap<NodeName, Millis>,
    asking: JoinSet<(NodeName, Result<Ack, CallError>)>,
}

impl Restarts {
    /// None yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, asked: BTreeMap::new(), asking: JoinSet::new() }
    }

    /// Asks the agent of `name`, unless it was asked a moment ago.
    pub fn ask(&mut self, name: &NodeName, agent: SocketAddr) {
        let now = self.clock.now();
        if self.asked.get(name).is_some_and(|at| now.since(*at) < AGAIN_AFTER) {
            return;
        }
        self.asked.insert(name.clone(), now);
        tracing::info!(%name, "ask for a restart of the server");
        let (client, name) = (self.client.clone(), name.clone());
        self.asking.spawn(async move {
            let answer = client.restart(agent, DEADLINE).await;
            (name, answer)
        });
    }

    /// Comes back when an agent has answered. May be dropped at any time.
    pub async fn changed(&mut self) {
        match self.asking.join_next().await {
            Some(Ok((name, Ok(Ack::Refused { reason })))) => tracing::warn!(%name, reason, "no restart"),
            Some(Ok((name, Err(error)))) => tracing::warn!(%name, error = error.whole(), "no restart"),
            Some(Ok((_, Ok(Ack::Done)))) => {}
            Some(Err(error)) => tracing::error!(%error, "the call for a restart broke off"),
            None => std::future::pending().await,
        }
    }
}
