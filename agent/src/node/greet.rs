//! Looks for members that are not where they were: addresses of pods are dealt anew at each restart.
//!
//! Every address at which a missing member may be is called, with the cluster's token; who answers there says itself who
//! it is, and learns this node's own address. So one direction is enough: a member whose names are old is called by one
//! whose names are fresh. That an address may be a stranger's by now is not refused here: it is a limit
//! (`docs/architecture.md`). Runs beside the loop, and only where members are to be looked for (`--peers`).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use redisnode_agent_core::missing::{id_of, missing};
use redisnode_proto::{Millis, NodeName, Report};
use tokio::task::JoinSet;

use super::asks::{WITHIN, hello, take_newer_layout};
use super::places::Resolver;
use super::shared::Shared;

/// Between two rounds while somebody is missing or nobody is known, at first and when that lasts.
const OFTEN: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(2);
/// The same before the server's first start.
const AT_START: Duration = Duration::from_millis(100);
/// How long the first start waits for members that are missing. They may be starting too, and a server that dials one of
/// them where another one is by now has it failed in the eyes of all, at once and for twice the node time-out (seen on
/// Valkey 9.1).
const START_WAITS: Millis = Millis(3000);
/// How long after the last answer of somebody who was missing rounds are frequent.
const OFTEN_FOR: Millis = Millis(60_000);

/// Looks for missing members for ever.
pub(super) async fn run(shared: &Arc<Shared>) {
    if shared.args.peers.is_empty() {
        return std::future::pending().await;
    }
    let mut resolver = Resolver::default();
    let mut found_at = shared.now();
    loop {
        if let Some(names) = wanted(shared)
            && round(shared, &mut resolver, &names).await
        {
            found_at = shared.now();
        }
        let enough = wanted(shared).is_none() || shared.now() >= START_WAITS;
        if enough && !shared.greeted.send_replace(true) {
            shared.wake.notify_one();
        }
        let pause = match enough {
            false => AT_START,
            true if shared.now().since(found_at) < OFTEN_FOR => OFTEN,
            true => SELDOM,
        };
        tokio::time::sleep(pause).await;
    }
}

/// The members to look for; nobody's name means everybody, absent means that nobody is missing.
fn wanted(shared: &Shared) -> Option<Vec<NodeName>> {
    let state = shared.state();
    let Some(layout) = &state.ledger.layout else { return Some(Vec::new()) };
    let names = missing(&shared.me.name, layout, &state.server, &state.peers);
    (!names.is_empty()).then_some(names)
}

/// Calls every address at which one of them may be. True if somebody answered who was looked for.
async fn round(shared: &Arc<Shared>, resolver: &mut Resolver, names: &[NodeName]) -> bool {
    let port = shared.address.http_port;
    let mut agents: BTreeSet<SocketAddr> = resolver.agents(&shared.args.peers, names, port).await.into_iter().collect();
    agents.extend(names.iter().flat_map(|name| known(shared, name)));
    agents.remove(&shared.address.agent());
    let mut calls = JoinSet::new();
    for agent in agents {
        let shared = Arc::clone(shared);
        calls.spawn(async move {
            let hello = hello(&shared);
            shared.client.hello(agent, &hello, WITHIN).await
        });
    }
    let mut found = false;
    while let Some(ended) = calls.join_next().await {
        match ended {
            Ok(Ok(report)) => found |= take(shared, names, report),
            Ok(Err(error)) => tracing::debug!(error = %error.whole(), "no member answers there"),
            Err(error) => tracing::error!(%error, "a greeting ended by itself"),
        }
    }
    found
}

/// Notes who answered. True if it was looked for.
fn take(shared: &Shared, names: &[NodeName], report: Report) -> bool {
    let name = report.member.name.clone();
    if report.cluster != shared.args.cluster || name == shared.me.name {
        return false;
    }
    take_newer_layout(shared, &report);
    let wanted = names.is_empty() || names.contains(&name);
    if wanted {
        tracing::debug!(peer = %name, ip = %report.address.ip, "greeted");
        shared.wake.notify_one();
    }
    shared.heard(&name, report);
    wanted
}

/// Where a member was said to be: by itself, by the Layout, by the own server's table (its bus may have heard of it
/// before its agent has).
fn known(shared: &Shared, name: &NodeName) -> Vec<SocketAddr> {
    let state = shared.state();
    let layout = state.ledger.layout.as_ref();
    let said = state.addresses.get(name);
    let listed = layout.and_then(|layout| layout.member(name)).map(|member| &member.address);
    let mut agents: Vec<SocketAddr> = said.into_iter().chain(listed).map(redisnode_proto::Address::agent).collect();
    let seen = layout.and_then(|layout| {
        let node = state.server.running()?.view.node(&id_of(name, layout, &state.peers)?)?;
        node.ip.parse::<IpAddr>().ok()
    });
    agents.extend(seen.map(|ip| SocketAddr::new(ip, listed.map_or(shared.address.http_port, |at| at.http_port))));
    agents
}
