//! Stand-ins for pods where there are no nodes: the StatefulSets' pods are marked as running, each with an address of its
//! own on loopback, and an agent answers there. So the real coordinator can be run as a process beside a control plane
//! alone. They ask for no token, run no server, and keep no data.

mod agent;
mod report;
mod world;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::{Address, ClusterId, Generation, Member, NodeName};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Api, Kubernetes};
use crate::ports::{PER_BLOCK, Ports};
use agent::Cluster;

/// Where agents in pods serve, and servers would.
const AGENT: u16 = 8080;
const PORT: u16 = 6379;
const BUS_PORT: u16 = 16379;
/// How often it is looked whether there are new pods.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The first address, and how many each test process has for itself.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);
const EACH: u32 = 1024;

/// Looks after all pods of clusters until this is dropped.
#[derive(Debug)]
pub struct StandIns {
    all: Arc<All>,
    stop: Arc<AtomicBool>,
    looking: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

/// Clusters by namespace and name.
type All = Mutex<BTreeMap<(String, String), Arc<Cluster>>>;

impl StandIns {
    /// For all clusters of a control plane whose ports are of the block `ports`.
    pub fn start(kube: &Kubernetes, ports: &Ports) -> Self {
        // Each has a socket, and each call to one another.
        let limit = getrlimit(Resource::RLIMIT_NOFILE).expect("limits can be read");
        setrlimit(Resource::RLIMIT_NOFILE, limit.1, limit.1).expect("the own limit can be raised");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let first = u32::from(FIRST) + u32::from(ports.first / PER_BLOCK) * EACH;
        let (all, stop) = (Arc::<All>::default(), Arc::<AtomicBool>::default());
        let mut pods = Pods {
            api: kube.api().clone(),
            all: Arc::clone(&all),
            runtime: runtime.handle().clone(),
            next: first + 1..first + EACH,
        };
        let stopped = Arc::clone(&stop);
        let looking = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // The API server may be too busy to answer, and namespaces go away: it is looked again.
                pods.look().unwrap_or_else(|why| eprintln!("stand-ins: {why}"));
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { all, stop, looking: Some(looking), runtime: Some(runtime) }
    }

    /// Looks for no new pods any more. Those that are there go on answering.
    pub fn settle(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(looking) = self.looking.take() {
            looking.join().expect("the looking does not panic");
        }
    }

    /// Every Layout that an agent of a cluster was sent, in order, and what it answered.
    pub fn answers(&self, namespace: &str, name: &str) -> Vec<(NodeName, Generation, LayoutAnswer)> {
        let key = (namespace.to_owned(), name.to_owned());
        let cluster = self.all.lock().expect("nobody panics with it").get(&key).cloned();
        cluster.map(|cluster| cluster.answers()).unwrap_or_default()
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        self.settle();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a kubelet would do for them.
struct Pods {
    api: Api,
    all: Arc<All>,
    runtime: tokio::runtime::Handle,
    next: std::ops::Range<u32>,
}

impl Pods {
    fn look(&mut self) -> Result<(), String> {
        let selector = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dredis-coordinator";
        let pods = self.api.list(&format!("/api/v1/pods?{selector}&fieldSelector=status.phase%3DPending"))?;
        for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            if let Err(why) = self.begin(pod)
                && !why.starts_with("404")
            {
                return Err(why);
            }
        }
        Ok(())
    }

    fn begin(&mut self, pod: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &pod["metadata"];
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        let cluster = text(&metadata["labels"]["app.kubernetes.io/instance"]);
        let ip = Ipv4Addr::from(self.next.next().ok_or("all addresses are used")?);
        let wrong = |error: &dyn std::fmt::Display| format!("{namespace}/{name}: {error}");
        let member = Member {
            name: name.parse().map_err(|error| wrong(&error))?,
            uid: text(&metadata["uid"]).parse().map_err(|error| wrong(&error))?,
        };
        let id: ClusterId = format!("{namespace}.{cluster}").parse().map_err(|error| wrong(&error))?;
        let address = Address { ip: ip.into(), port: PORT, bus_port: BUS_PORT, http_port: AGENT };
        let key = (namespace.clone(), cluster);
        let cluster = Arc::clone(
            self.all
                .lock()
                .expect("nobody panics with it")
                .entry(key)
                .or_insert_with(|| Cluster::start(id, &self.runtime)),
        );
        // It listens, which belongs to a runtime.
        let _entered = self.runtime.enter();
        cluster.begin(member, address).map_err(|error| wrong(&error))?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        self.api.patch(&path, &json!({"status": running(pod, ip)})).map(drop)
    }
}

/// The status of a pod all of whose containers run.
fn running(pod: &Value, ip: Ipv4Addr) -> Value {
    let now = "2026-01-01T00:00:00Z";
    let of = |containers: &Value| {
        let one = |container: &Value| {
            let (name, image) = (&container["name"], &container["image"]);
            json!({"name": name, "image": image, "imageID": image, "ready": true, "started": true, "restartCount": 0,
                   "state": {"running": {"startedAt": now}}})
        };
        Value::from(containers.as_array().into_iter().flatten().map(one).collect::<Vec<_>>())
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    json!({
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
        "conditions": conditions,
        "containerStatuses": of(&pod["spec"]["containers"]),
        "initContainerStatuses": of(&pod["spec"]["initContainers"]),
    })
}
