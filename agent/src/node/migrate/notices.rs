//! Replicas' agents are told the open slots before the first key moves, where the marks do not survive a failover: a
//! replica that is promoted without them would lose what was written meanwhile (measured: a list of 100 became 1).

use std::time::Duration;

use redisnode_agent_core::migration::longest;
use redisnode_proto::ledger::OpenSlots;
use redisnode_proto::message::{Ack, OpenSlotsNotice};
use redisnode_proto::report::ServerState;
use redisnode_proto::{Address, NodeName};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::reconcile::marks_survive;
use super::super::shared::Shared;
use super::open_now::Told;

const WITHIN: Duration = Duration::from_secs(2);

/// A server that a large key holds up does not answer a look, and then answers the next one: for so long as a key may hold
/// it up, that is waited for. One that is dead is not.
async fn until_seen(shared: &Shared) {
    let is_known = |server: &ServerState| !matches!(server, ServerState::Unknown { .. });
    let mut looks = shared.looks.subscribe();
    drop(timeout(longest(shared.node_timeout()), looks.wait_for(|_| is_known(&shared.state().server))).await);
}

/// Tells all replicas' agents which slots are open now; where marks survive, only if there is a doubt to tell of. An
/// attached replica whose agent does not take the notice is an error: then nothing must be opened.
pub(super) async fn tell(shared: &Shared, told: &Told) -> Result<(), String> {
    until_seen(shared).await;
    let (me, mates) = {
        let state = shared.state();
        if marks_survive(&state.server) && told.doubtful.is_empty() {
            return Ok(());
        }
        let Some(running) = state.server.running() else { return Err("the server does not answer".into()) };
        let shard = state.ledger.layout.as_ref().and_then(|layout| layout.shard_of(&shared.me.name));
        let names: Option<Vec<NodeName>> =
            shard.map(|shard| shard.nodes().filter(|n| **n != shared.me.name).cloned().collect());
        let attached: Vec<u16> = running.replication.replicas.iter().map(|replica| replica.port).collect();
        (running.view.me.clone(), (names.unwrap_or_default(), attached))
    };
    let (names, attached) = mates;
    let known: Vec<(NodeName, Address)> =
        names.into_iter().filter_map(|name| shared.agent_of(&name).map(|address| (name, address))).collect();
    let heir = known.iter().filter(|(_, a)| attached.contains(&a.port)).map(|(name, _)| name).min();
    let Some(heir) = heir.or_else(|| known.iter().map(|(name, _)| name).min()).cloned() else { return Ok(()) };
    let slots = told.open.iter().map(|(slot, target)| (*slot, target.clone())).collect();
    let notice = OpenSlotsNotice { open: OpenSlots { source: me, slots, doubtful: told.doubtful.clone(), heir } };
    let mut calls = JoinSet::new();
    for (name, address) in known {
        let (client, notice) = (shared.client.clone(), notice.clone());
        let needed = attached.contains(&address.port);
        calls.spawn(async move {
            match client.open_slots(address.agent(), &notice, WITHIN).await {
                Ok(Ack::Refused { reason }) if needed => Err(format!("the agent of replica {name} says: {reason}")),
                Err(error) if needed => Err(format!("the agent of replica {name} does not answer: {}", error.whole())),
                Ok(Ack::Done | Ack::Refused { .. }) | Err(_) => Ok(()),
            }
        });
    }
    calls.join_all().await.into_iter().collect()
}
