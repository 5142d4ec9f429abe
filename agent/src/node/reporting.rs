//! Makes the Report, and decides when it counts as changed: plain counters alone change it once a second.

use std::sync::Arc;

use redisnode_proto::job::Job;
use redisnode_proto::report::Report;
use redisnode_proto::{Address, DOCUMENT_VERSION, Member, Millis};

use super::shared::{Shared, State};

/// How often counters alone are worth a new revision.
const COUNTERS_EVERY: Millis = Millis(1000);

pub(super) fn build(state: &State, me: &Member, address: &Address, life: u64, revision: u64, jobs: Vec<Job>) -> Report {
    Report {
        version: DOCUMENT_VERSION,
        life,
        revision,
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

/// Publishes what is so now; `last` is when the revision last grew.
pub(super) fn publish(shared: &Shared, last: &mut Millis) {
    let jobs = shared.jobs.progress(shared.now());
    let before = Arc::clone(&shared.report.borrow());
    let mut next = build(&shared.state(), &shared.me, &shared.address, shared.life, before.revision, jobs);
    if next == *before {
        return;
    }
    let now = shared.now();
    let grown = is_news(&before, &next) || now.since(*last) >= COUNTERS_EVERY;
    if grown {
        next.revision += 1;
        *last = now;
    }
    shared.report.send_replace(Arc::new(next));
}

/// Whether more than plain counters has changed.
fn is_news(before: &Report, next: &Report) -> bool {
    let mut counted = before.clone();
    counted.count_as(next);
    counted != *next
}
