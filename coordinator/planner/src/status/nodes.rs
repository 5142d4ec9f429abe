//! One entry per node: its place, what its server says, and why it is not ready.

use redisnode_proto::judge::is_in_sync;
use redisnode_proto::report::{Report, Running, ServerState};
use redisnode_proto::status::NodeStatus;
use redisnode_proto::topology::Role;
use redisnode_proto::{Address, Millis};

use super::Seen;
use crate::draft::Shard;
use crate::facts::Node;
use crate::world::Presence;

/// All nodes, by shard, primary first; then those without a shard.
pub(super) fn list(seen: &Seen) -> Vec<NodeStatus> {
    let seated = seen.shards.iter().flat_map(|shard| shard.nodes().map(move |name| (Some(shard), name)));
    let others = seen.facts.nodes.iter().filter(|node| !seen.shards.iter().any(|shard| shard.has(node.name)));
    let others = others.filter(|node| !node.is_gone()).map(|node| (None, node.name));
    let all = seated.chain(others).filter_map(|(shard, name)| Some((shard, seen.facts.node(name)?)));
    all.map(|(shard, node)| entry(seen, shard, node)).collect()
}

fn entry(seen: &Seen, shard: Option<&Shard>, node: &Node) -> NodeStatus {
    let (state, message) = state(seen, node);
    let running = node.running();
    let address = node.machine.map(|machine| &machine.address).or(node.listed.map(|listed| &listed.address));
    NodeStatus {
        name: node.name.clone(),
        shard: shard.map(|shard| shard.name.clone()),
        role: node.role(),
        node_id: node.id.clone(),
        primary: node.follows().and_then(|id| seen.facts.name_of(id)).cloned(),
        address: address.map(|address: &Address| address.server().to_string()).unwrap_or_default(),
        host: node.host().map(str::to_owned),
        zone: node.zone().map(str::to_owned),
        ready: unready(seen, node).is_none(),
        state: state.to_owned(),
        message,
        server_version: running.map(|running| running.version.to_string()),
        slots: seen.facts.owned(node.name).ranges(),
        keys: running.map(|running| running.keys),
        used_memory: running.map(|running| running.used_memory),
        max_memory: running.map(|running| running.max_memory).filter(|limit| *limit > 0),
    }
}

/// Why `node` does not do its part; `None` when it does.
pub(super) fn unready(seen: &Seen, node: &Node) -> Option<String> {
    let (state, message) = state(seen, node);
    (state != "Running").then(|| message.unwrap_or_else(|| state.to_owned()))
}

/// One word, and why if it is not `Running`. A problem that the agent reports stands beside any word.
pub(super) fn state(seen: &Seen, node: &Node) -> (&'static str, Option<String>) {
    let (state, why) = word(seen, node);
    let problems = node.report.into_iter().flat_map(|report| &report.problems).map(|problem| problem.message.clone());
    let all: Vec<String> = why.into_iter().chain(problems).collect();
    (state, (!all.is_empty()).then(|| all.join("; ")))
}

fn word(seen: &Seen, node: &Node) -> (&'static str, Option<String>) {
    let Some(report) = node.report else { return absent(seen, node) };
    match &report.server {
        ServerState::Running(running) => of_running(seen, node, report, running),
        ServerState::Starting => ("Starting", Some("the server has started and does not answer yet".to_owned())),
        ServerState::Loading => ("Loading", Some("the server loads its data".to_owned())),
        ServerState::Waiting { reason } => ("Waiting", Some(reason.clone())),
        ServerState::Refused { reason } => ("Refused", Some(reason.clone())),
        ServerState::Dead { reason } => ("Dead", Some(reason.clone())),
        ServerState::Unknown { reason } => ("Unknown", Some(reason.clone())),
        ServerState::Retired => ("Left", Some("it has given up everything and is about to be removed".to_owned())),
    }
}

fn absent(seen: &Seen, node: &Node) -> (&'static str, Option<String>) {
    match node.machine.map(|machine| machine.presence) {
        None | Some(Presence::Gone) => {
            ("Gone", Some("it is gone for good; it is made anew, empty, if it is wanted".to_owned()))
        }
        Some(Presence::Down) => ("Down", Some("its processes do not run now and are started again".to_owned())),
        Some(Presence::Present) => match node.silent_for(seen.facts.world) {
            Some(Millis(silent)) => ("Silent", Some(format!("its agent has said nothing for {} s", silent / 1000))),
            None => ("Silent", Some("its agent was not heard yet".to_owned())),
        },
    }
}

fn of_running(seen: &Seen, node: &Node, report: &Report, running: &Running) -> (&'static str, Option<String>) {
    if seen.leaving.contains(node.name) {
        return ("Leaving", Some("it gives up everything".to_owned()));
    }
    if report.stopping {
        return ("Stopping", Some("its agent stops it".to_owned()));
    }
    if seen.facts.base.is_none() {
        return ("Empty", Some("it waits for the cluster to come to be".to_owned()));
    }
    if running.writes_paused {
        return ("Paused", Some("its agent holds writes back until it is sure who owns its slots".to_owned()));
    }
    if running.replication.role == Role::Replica && !is_in_sync(running) {
        return ("Syncing", Some("it is not in sync with its primary yet".to_owned()));
    }
    if !running.view.state_ok {
        return ("Joining", Some("the cluster's state is not ok in its server's eyes".to_owned()));
    }
    ("Running", None)
}
