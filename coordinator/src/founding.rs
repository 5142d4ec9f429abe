//! When a first creation cannot succeed: nobody holds anything yet, and no server or no agent stays up. Then the
//! process ends with one sentence instead of trying for ever. Pure.

use std::collections::BTreeMap;

use redisnode_planner::{Heard, MachineMember};
use redisnode_proto::NodeName;
use redisnode_proto::event::Problem;
use redisnode_proto::report::{Report, ServerState};

/// Why the creation cannot succeed, a sentence; `None` while it may, and for every cluster that exists already.
pub fn failed(
    members: &[MachineMember],
    wanted: u32,
    heard: &BTreeMap<NodeName, Heard>,
    machine: &[Problem],
) -> Option<String> {
    if wanted == 0 || members.len() < wanted.try_into().ok()? {
        return None;
    }
    if heard.is_empty() {
        // Every agent ends by itself, again and again: one sentence of them is enough.
        let agents_end = machine.iter().filter(|problem| problem.message.starts_with("the agent of ")).count();
        let all = agents_end >= members.len();
        return machine.first().filter(|_| all).map(|problem| problem.message.clone());
    }
    let reports = members.iter().map(|m| heard.get(&m.member.name).map(|heard| &heard.report));
    let reports: Vec<&Report> = reports.collect::<Option<_>>()?;
    let reasons: Vec<String> = reports.iter().map(|report| hopeless(report)).collect::<Option<_>>()?;
    reasons.into_iter().next()
}

/// Why this node's server will not run, if nothing was ever in this cluster.
fn hopeless(report: &Report) -> Option<String> {
    let ledger = &report.ledger;
    if ledger.layout.is_some() || ledger.identity.is_some() || report.disk.identity.is_some() || report.disk.has_data {
        return None;
    }
    match &report.server {
        ServerState::Refused { reason } => Some(reason.clone()),
        ServerState::Dead { .. } | ServerState::Waiting { .. } => {
            report.problems.iter().find(|problem| problem.reason == "ServerExits").map(|p| p.message.clone())
        }
        _ => None,
    }
}
