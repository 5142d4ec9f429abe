//! What a local cluster's folder and its agents say now, without a coordinator.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use redis_coordinator::files::{is_free, read_json};
use redis_coordinator::machine::local::dir::{ClusterFile, Dir, Found, MemberFile};
use redis_coordinator::source::parse::parse;
use redisnode_http::{Client, ReportQuery, Token};
use redisnode_planner::{Heard, MachineMember, Presence, World};
use redisnode_proto::generation::next_term;
use redisnode_proto::spec::RedisCluster;
use redisnode_proto::{Member, Millis, NodeName, Uid};
use tokio::task::JoinSet;

/// How long an agent may take to answer.
const DEADLINE: Duration = Duration::from_millis(1500);

/// A local cluster.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: Dir,
    pub(crate) cluster: ClusterFile,
    pub(crate) client: Client,
}

/// What was found and heard.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) cluster: ClusterFile,
    pub(crate) resource: RedisCluster,
    pub(crate) machine: Vec<MachineMember>,
    pub(crate) heard: BTreeMap<NodeName, Heard>,
    /// Why the others were not heard.
    pub(crate) silent: BTreeMap<NodeName, String>,
}

impl Place {
    /// The cluster in `root`.
    pub(crate) fn open(root: &Path) -> Result<Self, String> {
        let dir = Dir::at(root);
        let cluster = match dir.found()? {
            Found::Cluster(cluster) => cluster,
            Found::Nothing | Found::Other(_) => {
                return Err(format!(
                    "{} keeps no cluster: give the folder that redis-coordinator local got with --dir",
                    root.display()
                ));
            }
        };
        let client = Client::new(Some(Token::in_file(dir.token())));
        Ok(Self { dir, cluster, client })
    }

    /// The last valid spec.
    pub(crate) fn resource(&self) -> Result<RedisCluster, String> {
        let path = self.dir.spec();
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Every member, by what is on disk.
    pub(crate) fn members(&self) -> Result<Vec<MachineMember>, String> {
        let index = self.dir.read_index()?;
        let members = index.iter().filter_map(|(name, uid)| self.member(name, uid));
        Ok(members.collect())
    }

    fn member(&self, name: &NodeName, uid: &Uid) -> Option<MachineMember> {
        let node = self.dir.node(name);
        let mut address = self.cluster.address(name.ordinal()?)?;
        let own = |file: &MemberFile| file.cluster == self.cluster.cluster && file.name == *name;
        if let Some(file) = read_json::<MemberFile>(&node.member()).ok().flatten().filter(own) {
            (address.port, address.bus_port, address.http_port) = (file.port, file.bus_port, file.http_port);
        }
        let runs = !is_free(&node.agent_lock()) || !is_free(&node.server_lock());
        Some(MachineMember {
            member: Member { name: name.clone(), uid: uid.clone() },
            address,
            host: None,
            zone: None,
            presence: if runs { Presence::Present } else { Presence::Down },
            outdated: false,
            unborn: false,
        })
    }

    /// Asks every agent. An error when none answers.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, String> {
        let machine = self.members()?;
        let mut asking = JoinSet::new();
        for member in &machine {
            let (client, name, agent) = (self.client.clone(), member.member.name.clone(), member.address.agent());
            asking.spawn(async move { (name, client.report(agent, ReportQuery::default(), DEADLINE).await) });
        }
        let (mut heard, mut silent) = (BTreeMap::new(), BTreeMap::new());
        for (name, answer) in asking.join_all().await {
            match answer {
                Ok(Some(report)) => drop(heard.insert(name, Heard { report, at: Millis(0) })),
                Ok(None) => drop(silent.insert(name, "its agent has nothing to say".to_owned())),
                Err(error) if error.is_refused() => drop(silent.insert(name, "its agent does not run".to_owned())),
                Err(error) => drop(silent.insert(name, error.whole())),
            }
        }
        if heard.is_empty() {
            return Err(no_answer(&self.dir, &silent));
        }
        Ok(Snapshot { cluster: self.cluster.clone(), resource: self.resource()?, machine, heard, silent })
    }
}

fn no_answer(dir: &Dir, silent: &BTreeMap<NodeName, String>) -> String {
    let place = dir.root().display();
    match silent.first_key_value() {
        Some((name, why)) => format!("no agent of {place} answers ({name}: {why}): start the cluster, or wait for it"),
        None => format!("{place} has no members yet: start the cluster with redis-coordinator local"),
    }
}

impl Snapshot {
    /// All that the planner may know, as a coordinator that takes over now would. Nothing of it is published.
    pub(crate) fn world<'a>(&'a self, resource: &'a RedisCluster) -> World<'a> {
        let layouts = self.heard.values().filter_map(|heard| heard.report.ledger.layout.as_ref());
        let terms = layouts.map(|layout| layout.generation.term);
        World {
            now: Millis(0),
            name: &self.cluster.name,
            cluster: &self.cluster.cluster,
            spec: &resource.spec,
            spec_generation: resource.metadata.generation,
            term: next_term(0, terms),
            published: None,
            machine: &self.machine,
            heard: &self.heard,
        }
    }
}
