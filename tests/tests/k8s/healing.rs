//! What somebody removes by hand comes back, a pod that is forced away is replaced, and a resource that is deleted leaves
//! nothing.

use std::time::Duration;

use redisnode_tests::kube::{Kubernetes, Namespace};
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use redisnode_tests::{at::At, servers};

use crate::product::{Cluster, install};

const SOON: Duration = Duration::from_mins(1);

/// The uid of an object.
fn uid(namespace: &Namespace<'_>, group: &str, rest: &str) -> Result<String, String> {
    let object = namespace.kube.api().get(&namespace.path(group, rest))?;
    object["metadata"]["uid"].as_str().map(str::to_owned).ok_or_else(|| "no uid".to_owned())
}

/// Writes keys through one of the servers' own command line clients, which follows redirects.
fn put(namespace: &Namespace<'_>, count: usize) {
    for n in 0..count {
        let key = format!("key-{n}");
        let answer = namespace.exec("rc-0", "redis", &["redis-cli", "-c", "set", &key, &key]).unwrap();
        assert_eq!(answer.trim(), "OK");
    }
}

fn missing(namespace: &Namespace<'_>, pod: &str, count: usize) -> Vec<String> {
    let has = |key: &String| {
        let answer = namespace.exec(pod, "redis", &["redis-cli", "-c", "get", key]);
        answer.is_ok_and(|answer| answer.trim() == key)
    };
    (0..count).map(|n| format!("key-{n}")).filter(|key| !has(key)).collect()
}

#[test]
fn what_is_deleted_by_hand_comes_back_and_a_deleted_resource_leaves_nothing() {
    let _turn = Turn::take();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("healing");
    install(&namespace, &servers::system());
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1\nserviceName: cache");
    cluster.wait_ready(6, SOON);
    put(&namespace, 30);

    let objects = [
        ("api/v1", "services/rc-nodes"),
        ("api/v1", "services/cache"),
        ("api/v1", "secrets/rc-token"),
        ("apis/policy/v1", "poddisruptionbudgets/rc"),
    ];
    for (group, rest) in objects {
        let before = uid(&namespace, group, rest).unwrap();
        kube.api().delete(&namespace.path(group, rest), Some(0)).unwrap();
        wait_until(SOON, &format!("{rest} comes back"), || {
            let now = uid(&namespace, group, rest)?;
            check(now != before, || "it is the old one".to_owned())
        });
    }
    let pods = cluster.pods().unwrap();
    let primary = pods.iter().find(|pod| pod.labels.get("redisnode.io/role").is_some_and(|role| role == "primary"));
    let primary = primary.expect("a primary").clone();
    kube.api().delete(&primary.path(), Some(0)).unwrap();
    wait_until(SOON, "the pod is another one", || {
        let now = namespace.pod(&primary.name)?;
        check(now.uid != primary.uid && now.is_ready, || format!("{now:?}"))
    });
    cluster.wait_ready(6, SOON);
    assert_eq!(missing(&namespace, "rc-1", 30), Vec::<String>::new());

    namespace.kubectl(&["delete", "rdc", "rc", "--timeout=60s"]);
    wait_until(SOON, "nothing of the cluster is left", || {
        let left = namespace.kubectl(&["get", "pods,services,secrets,pdb,statefulsets,pvc", "-o", "name"]);
        let left: Vec<&str> = left.lines().filter(|line| line.contains("/rc") || line.contains("/cache")).collect();
        check(left.is_empty(), || left.join(" "))
    });
}

#[test]
fn the_leader_dies_in_a_scale_out_and_the_next_one_goes_on() {
    let _turn = Turn::take();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("healing-leader");
    install(&namespace, &servers::system());
    namespace.kubectl(&["scale", "deployment", "coordinator", "--replicas=2"]);
    let coordinators = namespace.wait_ready("app=coordinator", 2, SOON);
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 2\nreplicationFactor: 0");
    cluster.wait_ready(2, SOON);
    let lease = || {
        let lease = kube.api().get(&namespace.path("apis/coordination.k8s.io/v1", "leases/redis-coordinator"))?;
        let text = |at: &str| lease.pointer(at).and_then(serde_json::Value::as_str).map(str::to_owned);
        let term = text("/metadata/annotations/redisnode.io~1term").and_then(|term| term.parse::<u64>().ok());
        Ok::<_, String>((text("/spec/holderIdentity").unwrap_or_default(), term.ok_or("no term")?))
    };
    let (leader, term) = lease().unwrap();
    cluster.patch(&serde_json::json!({"numberOfMaster": 3}));
    let dead = coordinators.iter().find(|pod| pod.name == leader).expect("the leader is one of them");
    kube.api().delete(&dead.path(), Some(0)).unwrap();
    cluster.wait_ready(3, SOON).is_even(3).unwrap();
    let (next, raised) = lease().unwrap();
    assert!(next != leader && raised > term, "{leader} with term {term}, then {next} with {raised}");
    let servers: Vec<At> = cluster.pods().unwrap().iter().map(|pod| pod.at(6379)).collect();
    kube.inside(|| view::agreed(&servers)).unwrap();
}
