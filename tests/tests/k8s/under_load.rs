//! Planned work under a client that writes through pod addresses all the while: nothing acknowledged is lost.

use std::time::Duration;

use redisnode_tests::at::At;
use redisnode_tests::kube::{Kubernetes, Pod};
use redisnode_tests::servers;
use redisnode_tests::turn::Turn;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::workload::{Options, Workload};
use serde_json::json;

use crate::product::{Cluster, install};

/// How long one piece of planned work may take.
const DONE: Duration = Duration::from_mins(2);

/// A client's load on a cluster, which runs inside its network.
struct Load<'c, 'n, 'k> {
    cluster: &'c Cluster<'n, 'k>,
    workload: Workload,
}

impl<'c, 'n, 'k> Load<'c, 'n, 'k> {
    fn start(cluster: &'c Cluster<'n, 'k>) -> Self {
        let servers = addresses(&cluster.pods().unwrap());
        let workload = cluster.namespace.kube.inside(|| {
            let options = Options { keys: 1_100, rate: 500, at_most: Duration::from_mins(10), ..Options::default() };
            let workload = Workload::start(&servers, options);
            wait_until(DONE, "it writes", || check(workload.acknowledged() > 500, || workload.so_far()));
            workload
        });
        Self { cluster, workload }
    }

    /// Nothing is lost. Where pods were replaced the client had to connect anew, which it may count as an error.
    fn end(mut self, replaced: bool) {
        let servers = addresses(&self.cluster.pods().unwrap());
        let (stats, audit) = self.cluster.namespace.kube.inside(|| {
            let stats = self.workload.stop();
            (stats, self.workload.audit(&servers))
        });
        audit.assert_clean();
        if !replaced {
            stats.assert_no_errors();
        }
    }
}

fn addresses(pods: &[Pod]) -> Vec<At> {
    pods.iter().filter(|pod| pod.ip.is_some()).map(|pod| pod.at(6379)).collect()
}

#[test]
fn scaling_and_a_live_setting_cost_nothing_and_restart_nobody() {
    let _turn = Turn::alone();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("load-scale");
    install(&namespace, &servers::system());
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1");
    cluster.wait_ready(6, DONE);
    let load = Load::start(&cluster);
    cluster.patch(&json!({"numberOfMaster": 5}));
    cluster.wait_ready(10, DONE).is_even(5).unwrap();
    cluster.patch(&json!({"redisConfig": {"maxmemory-policy": "allkeys-lru"}}));
    cluster.wait_ready(10, DONE);
    cluster.patch(&json!({"numberOfMaster": 3}));
    cluster.wait_ready(6, DONE).is_even(3).unwrap();
    load.end(false);
    let pods = cluster.pods().unwrap();
    assert!(pods.iter().all(|pod| pod.restarts.values().all(|restarts| *restarts == 0)), "{pods:?}");
    for pod in &pods {
        let policy = namespace.exec(&pod.name, "redis", &["redis-cli", "config", "get", "maxmemory-policy"]).unwrap();
        assert!(policy.contains("allkeys-lru"), "{policy}");
    }
}

#[test]
fn a_deleted_pod_and_a_new_template_lose_nothing() {
    let _turn = Turn::alone();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("load-roll");
    install(&namespace, &servers::system());
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1");
    cluster.wait_ready(6, DONE);
    let before = cluster.pods().unwrap();
    let load = Load::start(&cluster);
    let primary = before.iter().find(|pod| pod.labels.get("redisnode.io/role").is_some_and(|role| role == "primary"));
    let primary = primary.expect("a primary");
    kube.api().delete(&primary.path(), None).unwrap();
    wait_until(DONE, "the pod is another one", || {
        let now = namespace.pod(&primary.name)?;
        check(now.uid != primary.uid && now.is_ready, || format!("{now:?}"))
    });
    cluster.wait_ready(6, DONE);
    cluster.patch(&json!({"podTemplate": {"metadata": {"annotations": {"test/revision": "2"}}}}));
    wait_until(DONE, "every pod is another one, and ready", || {
        let now = cluster.pods()?;
        let old = now.iter().filter(|pod| before.iter().any(|before| before.uid == pod.uid)).count();
        check(old == 0 && now.len() == 6 && now.iter().all(|pod| pod.is_ready), || format!("{old} old pods"))
    });
    cluster.wait_ready(6, DONE).is_even(3).unwrap();
    load.end(true);
}
