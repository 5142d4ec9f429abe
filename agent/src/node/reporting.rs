//! Makes the Report, and decides when it counts as changed: plain counters alone change it once a second.

use std::sync::Arc;

use redisnode_proto::job::Job;
use redisnode_proto::report::{Report, ServerState};
use redisnode_proto::{Address, DOCUMENT_VERSION, Member, Millis, Offset};

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
    let grown = essence(&next) != essence(&before) || now.since(*last) >= COUNTERS_EVERY;
    if grown {
        next.revision += 1;
        *last = now;
    }
    shared.report.send_replace(Arc::new(next));
}

/// The Report without plain counters.
fn essence(report: &Report) -> Report {
    let mut report = report.clone();
    if let ServerState::Running(running) = &mut report.server {
        running.keys = u64::from(running.keys > 0);
        running.used_memory = 0;
        running.replication.offset = Offset(0);
        running.replication.silent_for_s = None;
        for replica in &mut running.replication.replicas {
            replica.offset = Offset(0);
        }
    }
    for job in &mut report.jobs {
        job.keys_done = 0;
        job.bytes_done = 0;
        job.keys_left = None;
        job.slots_done = 0;
        job.remaining = redisnode_proto::SlotSet::new();
        job.running_for = Millis(0);
    }
    report
}
