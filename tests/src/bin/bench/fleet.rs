//! What one coordinator needs for many clusters in which nothing happens: memory, processor time, and requests to the API
//! server. The API server is real, and so is the coordinator with the rights of its chart; agents are stand-ins.

use std::time::Duration;

use redisnode_tests::kube::{Kubernetes, StandIns};
use redisnode_tests::ports::Ports;
use redisnode_tests::procs;
use redisnode_tests::servers::Server;
use redisnode_tests::wait::{check, wait_until};
use serde_json::{Value, json};

use crate::table::{Table, mib, share_of_a_core, time};

const CLUSTERS: usize = 50;
const NAMESPACE: &str = "fleet";
const CLUSTERS_PATH: &str = "/apis/redisnode.io/v1alpha1/namespaces/fleet/redisclusters";
/// How long it may take until all are Ready.
const READY: Duration = Duration::from_mins(4);
/// What the last changes leave to do is done by then, and the connections that they needed are closed.
const SETTLE: Duration = Duration::from_secs(100);
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(30);

pub(crate) fn measure(server: &Server, table: &mut Table) {
    if server.family != "system" {
        return;
    }
    let ports = Ports::take();
    let Some(kube) = Kubernetes::control_plane(ports.first) else { return };
    kube.apply(include_str!("../../../../charts/redis-coordinator/files/crd.yaml"));
    let _namespace = kube.namespace(NAMESPACE);
    let account = kube.account(NAMESPACE, &kube.chart_rights("co", false));
    let mut stand_ins = StandIns::start(&kube, &ports);
    let coordinator = kube.coordinator(&account, NAMESPACE, false, "co-0");
    let began = std::time::Instant::now();
    for number in 0..CLUSTERS {
        let cluster = json!({"apiVersion": "redisnode.io/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": format!("rc-{number}")}, "spec": {"numberOfMaster": 3, "replicationFactor": 1}});
        wait_until(READY, "the resource is served", || kube.api().create(CLUSTERS_PATH, &cluster));
    }
    wait_until(READY, "all clusters are Ready", || {
        let ready = kube.api().list(CLUSTERS_PATH)?.iter().filter(|cluster| is_ready(cluster)).count();
        check(ready == CLUSTERS, || format!("{ready} of {CLUSTERS} are"))
    });
    let all_ready = began.elapsed();
    stand_ins.settle();
    // Spans of the measurement, not waits for a state.
    std::thread::sleep(SETTLE);
    let (asked, ticks) = (kube.requests(NAMESPACE).len(), procs::cpu_ticks(coordinator.pid()));
    std::thread::sleep(IDLE);
    let used = procs::cpu_ticks(coordinator.pid()).zip(ticks).map(|(after, before)| after - before);
    let requests = kube.requests(NAMESPACE);
    let idle = requests.get(asked..).unwrap_or_default();
    for kind in ["coordination.k8s.io/leases", "redisnode.io/redisclusters/status", "secrets"] {
        let count = idle.iter().filter(|request| request.what == kind).count();
        eprintln!("  of {} requests in {IDLE:?}: {count} about {kind}", idle.len());
    }
    let name = |what: &str| format!("{CLUSTERS} clusters of 6: {what}");
    let mut row = |what: &str, ours: String| table.row(&name(what), "stand-ins", ours, "-".to_owned());
    row("all Ready after", time(all_ready));
    row("coordinator, resident memory", mib(procs::resident_bytes(coordinator.pid()).unwrap_or(0)));
    row("coordinator, idle processor", share_of_a_core(used.expect("the coordinator runs"), IDLE));
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    row("coordinator, requests to the API server", format!("{:.1} /s", idle.len() as f64 / IDLE.as_secs_f64()));
}

fn is_ready(cluster: &Value) -> bool {
    let conditions = cluster["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
