//! Where a cluster is, and how its agents are asked: a folder on this machine, or a Kubernetes.

pub(crate) mod kubernetes;
mod lease;
pub(crate) mod local;
mod proxy;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redisnode_planner::{Heard, MachineMember, World};
use redisnode_proto::generation::next_term;
use redisnode_proto::message::{HandoffRequest, Outcome};
use redisnode_proto::spec::{Moves, RedisCluster};
use redisnode_proto::{ClusterId, Millis, NodeName, Report};

/// How long an agent may take to answer.
pub(crate) const DEADLINE: Duration = Duration::from_millis(1500);

/// One cluster, and the way to its agents.
pub(crate) trait Place {
    /// The cluster's name.
    fn name(&self) -> &str;

    /// How people call it.
    fn title(&self) -> String;

    /// The cluster's identity, which its agents report.
    fn cluster(&self) -> &ClusterId;

    /// The last valid spec.
    async fn resource(&self) -> Result<RedisCluster, String>;

    /// The resource with its status by the word of a running coordinator, if there is one.
    async fn told(&self) -> Result<Option<RedisCluster>, String>;

    /// Every member, by the word of what runs it.
    async fn members(&self) -> Result<Vec<MachineMember>, String>;

    /// A member's Report now.
    async fn report(&self, member: &MachineMember) -> Result<Report, String>;

    /// Asks a primary's agent to hand off.
    async fn handoff(
        &self,
        member: &MachineMember,
        request: &HandoffRequest,
        within: Duration,
    ) -> Result<Outcome, String>;

    /// Has the coordinator change nothing any more, or go on.
    async fn pause(&self, paused: bool) -> Result<(), String>;

    /// Holds moves of slots up, or has them go on. Answers the resource as it is then.
    async fn hold_moves(&self, moves: Moves) -> Result<RedisCluster, String>;

    /// Asks every agent. An error when none answers.
    async fn snapshot(&self) -> Result<Snapshot, String> {
        let machine = self.members().await?;
        let answers = join_all(machine.iter().map(|member| self.report(member))).await;
        let (mut heard, mut silent) = (BTreeMap::new(), BTreeMap::new());
        for (member, answer) in machine.iter().zip(answers) {
            let name = member.member.name.clone();
            match answer {
                Ok(report) => drop(heard.insert(name, Heard { report, at: Millis(0) })),
                Err(why) => drop(silent.insert(name, why)),
            }
        }
        if heard.is_empty() {
            return Err(no_answer(&self.title(), &silent));
        }
        let (name, cluster) = (self.name().to_owned(), self.cluster().clone());
        Ok(Snapshot { name, cluster, resource: self.resource().await?, machine, heard, silent })
    }
}

/// What was found and heard.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) cluster: ClusterId,
    pub(crate) resource: RedisCluster,
    pub(crate) machine: Vec<MachineMember>,
    pub(crate) heard: BTreeMap<NodeName, Heard>,
    /// Why the others were not heard.
    pub(crate) silent: BTreeMap<NodeName, String>,
}

fn no_answer(title: &str, silent: &BTreeMap<NodeName, String>) -> String {
    match silent.first_key_value() {
        Some((name, why)) => format!("no agent of {title} answers ({name}: {why}): start the cluster, or wait for it"),
        None => format!("{title} has no members yet: its coordinator makes them"),
    }
}

impl Snapshot {
    /// All that the planner may know, as a coordinator that takes over now would. Nothing of it is published.
    pub(crate) fn world<'a>(&'a self, resource: &'a RedisCluster) -> World<'a> {
        let layouts = self.heard.values().filter_map(|heard| heard.report.ledger.layout.as_ref());
        let terms = layouts.map(|layout| layout.generation.term);
        World {
            now: Millis(0),
            name: &self.name,
            cluster: &self.cluster,
            spec: &resource.spec,
            spec_generation: resource.metadata.generation,
            paused: resource.metadata.is_paused(),
            moves: resource.metadata.moves(),
            term: next_term(0, terms),
            published: None,
            machine: &self.machine,
            heard: &self.heard,
        }
    }
}
