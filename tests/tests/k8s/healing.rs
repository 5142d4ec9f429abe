//! What somebody removes by hand comes back, a pod that is forced away is replaced, and a resource that is deleted leaves
//! nothing.

use std::time::Duration;

use redisnode_tests::kube::{Kubernetes, Namespace};
use redisnode_tests::servers;
use redisnode_tests::turn::Turn;
use redisnode_tests::wait::{check, wait_until};

use crate::product::{Cluster, install};
use crate::run::on_scenes;

const SOON: Duration = Duration::from_mins(1);

/// The uid of an object.
fn uid(namespace: &Namespace<'_>, group: &str, rest: &str) -> Result<String, String> {
    let object = namespace.kube.api().get(&namespace.path(group, rest))?;
    object["metadata"]["uid"].as_str().map(str::to_owned).ok_or_else(|| "no uid".to_owned())
}

/// The command line client that the image has, which follows redirects.
fn cli(namespace: &Namespace<'_>, pod: &str, words: &str) -> Result<String, String> {
    let script = format!("$(command -v redis-cli || command -v valkey-cli) -c {words}");
    namespace.exec(pod, "redis", &["sh", "-c", &script])
}

fn put(namespace: &Namespace<'_>, count: usize) {
    for n in 0..count {
        let key = format!("key-{n}");
        let answer = cli(namespace, "rc-0", &format!("set {key} {key}")).unwrap();
        assert_eq!(answer.trim(), "OK");
    }
}

fn missing(namespace: &Namespace<'_>, pod: &str, count: usize) -> Vec<String> {
    let has = |key: &String| {
        let answer = cli(namespace, pod, &format!("get {key}"));
        answer.is_ok_and(|answer| answer.trim() == key)
    };
    (0..count).map(|n| format!("key-{n}")).filter(|key| !has(key)).collect()
}

#[test]
fn a_statefulset_that_is_deleted_by_hand_takes_no_pod_along() {
    on_scenes("healing-set", &["redis-7.0"], Turn::take, |scene| {
        let namespace = &scene.namespace;
        let cluster = Cluster::apply(namespace, "rc", "numberOfMaster: 2\nreplicationFactor: 1");
        cluster.wait_ready(4, SOON);
        put(namespace, 10);
        let picture = || {
            let pods = cluster.pods().unwrap().into_iter();
            pods.map(|pod| (pod.uid, pod.restarts, pod.is_ending)).collect::<Vec<_>>()
        };
        let before = picture();
        for how in ["background", "foreground"] {
            let cascade = format!("--cascade={how}");
            let args = ["--namespace", &namespace.name, "delete", "statefulset", "rc", &cascade];
            let refused = scene.kube.run("kubectl", &args);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains("delete the RedisCluster"), "{said}");
        }
        let was = uid(namespace, "apis/apps/v1", "statefulsets/rc").unwrap();
        // Without waiting: the name is never gone for long.
        namespace.kubectl(&["delete", "statefulset", "rc", "--cascade=orphan", "--wait=false"]);
        let set = wait_until(SOON, "another StatefulSet has the pods", || {
            let set = cluster.set()?;
            check(set["metadata"]["uid"] != was && set["status"]["readyReplicas"] == 4, || set["status"].to_string())?;
            Ok(set)
        });
        cluster.wait_ready(4, SOON);
        assert_eq!(picture(), before, "no pod has been restarted");
        assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"], "nor will it be");
        assert_eq!(missing(namespace, "rc-1", 10), Vec::<String>::new());
    });
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
    let primary = cluster.a_primary();
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
