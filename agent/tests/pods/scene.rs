//! A cluster of pods, founded by the test in place of a coordinator.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use redisnode_http::{Client, Method, ReportQuery, StatusCode, Token};
use redisnode_proto::layout::{MigrationSettings, Settings};
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::spec::Balance;
use redisnode_proto::{
    DOCUMENT_VERSION, Generation, Layout, LayoutMember, LayoutShard, Member, Millis, NodeId, Report, Slot, SlotSet,
};
use tokio::time::{Instant, sleep};

use crate::pod::{Pod, Told};

/// For everything that is not measured; long enough that a busy machine does not matter.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_secs(2);
/// As a cluster has it that says nothing.
const NODE_TIMEOUT: Millis = Millis(15_000);

/// The ports that all members have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) client: u16,
    pub(crate) bus: u16,
    pub(crate) http: u16,
}

pub(crate) struct Scene {
    pub(crate) pods: Vec<Pod>,
    pub(crate) told: Told,
    pub(crate) shards: usize,
    node_timeout: Millis,
    client: Client,
    folder: PathBuf,
}

/// Where launchers find servers: the families that are here, by name.
pub(crate) fn servers(family: &str) -> Option<String> {
    if family == "system" {
        return ["/usr/bin", "/usr/local/bin"].into_iter().find(|bin| has_server(bin)).map(str::to_owned);
    }
    let folders = ["REDISNODE_SERVERS_DIR", "REDISNODE_SERVERS"].iter().filter_map(std::env::var_os);
    let bins = folders.map(|folder| PathBuf::from(folder).join(family).join("bin").display().to_string());
    let found = bins.into_iter().find(|bin| has_server(bin));
    if found.is_none() {
        println!("skipped: {family} is not here");
    }
    found
}

fn has_server(bin: &str) -> bool {
    ["redis-server", "valkey-server"].iter().any(|name| PathBuf::from(bin).join(name).exists())
}

/// The loopback address of a member: `net` tells tests apart.
pub(crate) fn ip(net: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(127, 64, net, host).into()
}

impl Scene {
    /// A healthy cluster of so many shards with a replica each.
    pub(crate) async fn start(name: &str, net: u8, shards: usize, path: String, pool: u8) -> Self {
        Self::start_with(name, net, shards, path, pool, NODE_TIMEOUT).await
    }

    /// The same with a node time-out of the test's own.
    pub(crate) async fn start_with(
        name: &str,
        net: u8,
        shards: usize,
        path: String,
        pool: u8,
        node_timeout: Millis,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("redisnode-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let token_file = folder.join("token");
        fs::write(&token_file, "token-of-a-test").unwrap();
        let ports = free_ports(&(1..=pool).map(|host| ip(net, host)).collect::<Vec<_>>());
        let peers: Vec<String> = (1..=pool).map(|host| format!("{}:{}", ip(net, host), ports.http)).collect();
        let told = Told { token_file: token_file.clone(), peers: peers.join(","), founding: true, path };
        let pod = |ordinal: usize| Pod {
            name: format!("c-{ordinal}"),
            ip: ip(net, u8::try_from(ordinal + 1).unwrap()),
            folder: folder.join(format!("c-{ordinal}")),
            ports,
            agent: None,
            launcher: None,
        };
        let client = Client::new(Some(Token::in_file(&token_file)));
        let mut scene = Self { pods: (0..2 * shards).map(pod).collect(), told, shards, node_timeout, client, folder };
        scene.start_all();
        scene.found().await;
        scene.told.founding = false;
        scene
    }

    pub(crate) fn start_all(&mut self) {
        for pod in &mut self.pods {
            pod.start(&self.told);
        }
    }

    async fn found(&self) {
        let mut ids = Vec::new();
        for pod in &self.pods {
            let id = |report: Report| report.server.running().map(|running| running.view.me.clone());
            ids.push(self.until(PATIENT, "a server", async || id(self.report(pod).await?)).await);
        }
        self.publish(&self.layout(1, &ids, Some(ids.clone()))).await;
        self.until_ready(PATIENT).await;
        self.publish(&self.layout(2, &ids, None)).await;
        self.until_ready(PATIENT).await;
    }

    fn layout(&self, sequence: u64, ids: &[NodeId], founding: Option<Vec<NodeId>>) -> Layout {
        let border = |shard: usize| u16::try_from(16384 * shard / self.shards).unwrap();
        let share = |shard| -> SlotSet {
            (border(shard)..border(shard + 1)).map(|slot| Slot::try_from(slot).unwrap()).collect()
        };
        let members = self.pods.iter().zip(ids).map(|(pod, id)| LayoutMember {
            member: Member { name: pod.name.parse().unwrap(), uid: format!("uid-of-{}", pod.name).parse().unwrap() },
            address: pod.address(),
            node_id: Some(id.clone()),
            leaving: false,
        });
        let shards = (0..self.shards).map(|shard| LayoutShard {
            name: format!("s-{shard}").parse().unwrap(),
            slots: share(shard),
            primary: self.pods[shard].name.parse().unwrap(),
            replicas: vec![self.pods[self.shards + shard].name.parse().unwrap()],
            handoff: None,
        });
        // A server that is killed may not have written down the last second otherwise.
        let redis_config = BTreeMap::from([("appendfsync".to_owned(), "always".to_owned())]);
        Layout {
            version: DOCUMENT_VERSION,
            cluster: "test.pods".parse().unwrap(),
            generation: Generation { term: 1, sequence },
            founding,
            settings: Settings {
                node_timeout: self.node_timeout,
                storage: true,
                redis_config,
                rename_commands: BTreeMap::new(),
                migration: MigrationSettings::default(),
                balance: Balance::default(),
            },
            members: members.collect(),
            shards: shards.collect(),
            forget: Vec::new(),
        }
    }

    async fn publish(&self, layout: &Layout) {
        for pod in &self.pods {
            let answer = self.client.put_layout(pod.http(), layout, CALL).await.unwrap();
            assert_eq!(answer, LayoutAnswer::Taken, "{}", pod.name);
        }
    }

    /// The Layout that the members have, with commands renamed.
    pub(crate) async fn rename(&self, renamed: &[(&str, &str)]) {
        let report = self.report(&self.pods[0]).await.unwrap();
        let mut layout = report.ledger.layout.unwrap();
        layout.generation.sequence += 1;
        layout.settings.rename_commands =
            renamed.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        self.publish(&layout).await;
    }

    pub(crate) async fn report(&self, pod: &Pod) -> Option<Report> {
        self.client.report(pod.http(), ReportQuery::default(), CALL).await.ok()?
    }

    /// Asks a pod's agent for a restart of its server.
    pub(crate) async fn restart(&self, pod: &Pod) {
        self.client.restart(pod.http(), CALL).await.unwrap();
    }

    /// A probe's answer: whether it is well, and what it says.
    pub(crate) async fn probe(&self, pod: &Pod, path: &str) -> Result<(), String> {
        match self.client.call(pod.http(), Method::GET, path, Bytes::new(), CALL).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok(()),
            Ok(answer) => Err(format!("{}: {}", pod.name, String::from_utf8_lossy(&answer.body))),
            Err(error) => Err(format!("{}: {}", pod.name, error.whole())),
        }
    }

    pub(crate) async fn until_ready(&self, within: Duration) {
        for pod in &self.pods {
            let by = Instant::now() + within;
            while let Err(why) = self.probe(pod, "/readyz").await {
                if Instant::now() >= by {
                    self.print_logs();
                    panic!("not ready within {within:?}: {why}");
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Looks again until there is an answer.
    pub(crate) async fn until<T>(&self, within: Duration, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let by = Instant::now() + within;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            if Instant::now() >= by {
                self.print_logs();
                panic!("waited in vain for {what}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn print_logs(&self) {
        for pod in &self.pods {
            for log in ["agent.log", "launcher.log", "server.log", "nodes.conf"] {
                let text = pod.log(log);
                let last: Vec<&str> = text.lines().rev().take(40).collect();
                eprintln!("--- {} {} {log}", pod.name, pod.ip);
                last.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.pods.clear();
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Ports that are free on all these addresses, below those that the system gives to clients.
fn free_ports(ips: &[IpAddr]) -> Ports {
    let first = 12_000 + u16::try_from(std::process::id() % 500).unwrap() * 4;
    let mut all = (0..500).map(|n| 12_000 + (first - 12_000 + 4 * n) % 2000).map(|client| Ports {
        client,
        bus: client + 1,
        http: client + 2,
    });
    let is_free = |ports: &Ports| {
        let sockets = ips.iter().flat_map(|ip| [(*ip, ports.client), (*ip, ports.bus), (*ip, ports.http)]);
        sockets.into_iter().all(|socket| TcpListener::bind(socket).is_ok())
    };
    all.find(is_free).unwrap()
}
