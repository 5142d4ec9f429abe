//! A local cluster: its folder, and its agents on this machine, without a coordinator.

use std::path::Path;
use std::time::Duration;

use redis_coordinator::admin::STATUS;
use redis_coordinator::files::{is_free, read_json};
use redis_coordinator::machine::local::dir::{ClusterFile, Dir, Found, MemberFile};
use redis_coordinator::source::parse::parse;
use redisnode_http::{Client, ReportQuery, Token};
use redisnode_planner::{MachineMember, Presence};
use redisnode_proto::message::{HandoffRequest, Outcome};
use redisnode_proto::spec::{ContainerMemory, MIGRATION, Moves, PAUSED, RedisCluster};
use redisnode_proto::{ClusterId, Member, NodeName, Report, Uid};

use super::{DEADLINE, Place};

/// A local cluster.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: Dir,
    cluster: ClusterFile,
    client: Client,
}

impl Folder {
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
            memory: ContainerMemory::default(),
        })
    }
}

impl Place for Folder {
    fn name(&self) -> &str {
        &self.cluster.name
    }

    fn title(&self) -> String {
        self.dir.root().display().to_string()
    }

    fn cluster(&self) -> &ClusterId {
        &self.cluster.cluster
    }

    async fn resource(&self) -> Result<RedisCluster, String> {
        let path = self.dir.spec();
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    async fn told(&self) -> Result<Option<RedisCluster>, String> {
        let Some(coordinator) = self.dir.running_coordinator()? else { return Ok(None) };
        // One that does not answer is no worse than none.
        Ok(self.client.get_json(coordinator.listen, STATUS, DEADLINE).await.ok())
    }

    async fn members(&self) -> Result<Vec<MachineMember>, String> {
        let index = self.dir.read_index()?;
        Ok(index.iter().filter_map(|(name, uid)| self.member(name, uid)).collect())
    }

    async fn report(&self, member: &MachineMember) -> Result<Report, String> {
        match self.client.report(member.address.agent(), ReportQuery::default(), DEADLINE).await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err("its agent has nothing to say".to_owned()),
            Err(error) if error.is_refused() => Err("its agent does not run".to_owned()),
            Err(error) => Err(error.whole()),
        }
    }

    async fn handoff(
        &self,
        member: &MachineMember,
        request: &HandoffRequest,
        within: Duration,
    ) -> Result<Outcome, String> {
        self.client.handoff(member.address.agent(), request, within).await.map_err(|error| error.whole())
    }

    /// The file is the user's: it is not written to.
    async fn pause(&self, paused: bool) -> Result<(), String> {
        let word = if paused { "true" } else { "false" };
        Err(format!(
            "the coordinator of a local cluster obeys its file: write {PAUSED}: \"{word}\" under \
             metadata.annotations there"
        ))
    }

    /// As above.
    async fn hold_moves(&self, moves: Moves) -> Result<RedisCluster, String> {
        let what = match moves.written(None) {
            Some(word) => format!("write {MIGRATION}: {word} under metadata.annotations there"),
            None => format!("take {MIGRATION} away from metadata.annotations there"),
        };
        Err(format!("the coordinator of a local cluster obeys its file: {what}"))
    }
}
