//! Makes the Report, and decides when it counts as changed: plain counters alone change it now and then.

use std::sync::Arc;

use redisnode_proto::job::Job;
use redisnode_proto::report::Report;
use redisnode_proto::{Address, DOCUMENT_VERSION, Member, Millis};

use super::shared::{Shared, State};

/// How often counters alone are worth a new revision while keys come, go or move.
const COUNTERS_EVERY: Millis = Millis(1000);
/// The same for offsets and a little memory, which change where nothing happens too: a coordinator has thousands of agents
/// to hear.
const IN_QUIET_EVERY: Millis = Millis(10_000);
const MIB: u64 = 1 << 20;

pub(super) fn build(state: &State, me: &Member, address: &Address, life: u64, revision: u64, jobs: Vec<Job>) -> Report {
    Report {
        version: DOCUMENT_VERSION,
        life,
        revision,
        looks: state.looks,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: state.ledger.cluster.clone(),
        member: me.clone(),
        address: address.clone(),
        server: state.server.clone(),
        disk: state.disk.clone(),
        ledger: state.ledger.clone(),
        stopping: state.stopping,
        restart_needed: state.restart_needed.clone(),
        jobs,
        problems: state.problems.values().cloned().collect(),
        events: state.events.iter().cloned().collect(),
    }
}

/// What was told when the revision last grew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    at: Millis,
    keys: Option<u64>,
    memory: Option<u64>,
}

/// Publishes what is so now.
pub(super) fn publish(shared: &Shared, told: &mut Told) {
    let jobs = shared.jobs.progress(shared.now());
    let before = Arc::clone(&shared.report.borrow());
    let mut next = build(&shared.state(), &shared.me, &shared.address, shared.life, before.revision, jobs);
    if next == *before {
        return;
    }
    let now = shared.now();
    let keys = next.server.running().map(|running| running.keys);
    let memory = next.server.running().map(|running| running.used_memory);
    let busy = !next.jobs.is_empty() || keys != told.keys || is_far(told.memory, memory);
    let every = if busy { COUNTERS_EVERY } else { IN_QUIET_EVERY };
    if is_news(&before, &next) || now.since(told.at) >= every {
        next.revision += 1;
        *told = Told { at: now, keys, memory };
    }
    shared.report.send_replace(Arc::new(next));
}

/// Whether the memory in use is another by so much that keys have grown or shrunk: moves are planned by it.
fn is_far(told: Option<u64>, now: Option<u64>) -> bool {
    told.zip(now).is_some_and(|(told, now)| now.abs_diff(told) > (told / 32).max(MIB))
}

/// Whether more than plain counters has changed.
fn is_news(before: &Report, next: &Report) -> bool {
    let mut counted = before.clone();
    counted.count_as(next);
    counted != *next
}
