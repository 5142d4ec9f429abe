//! Two coordinators: one leads, and whatever becomes of it, the other one goes on, and the first changes nothing more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redisnode_tests::kube::{Kubernetes, Namespace, Pod};
use redisnode_tests::servers;
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use serde_json::{Value, json};

use crate::load::addresses;
use crate::product::{Cluster, install};
use crate::run::everything;

const SOON: Duration = Duration::from_mins(2);
/// For how long nothing may happen after the old leader is back.
const QUIET: Duration = Duration::from_secs(6);

/// How long a leader sleeps at least: longer than its Lease lasts.
fn sleep() -> Duration {
    Duration::from_secs(if everything() { 60 } else { 20 })
}

#[test]
fn the_leader_dies_in_a_scale_out_and_the_next_one_goes_on() {
    let _turn = Turn::take();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("leader-dies");
    let coordinators = two_coordinators(&namespace);
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 2\nreplicationFactor: 0");
    cluster.wait_ready(2, SOON);
    let (leader, term) = lease(&namespace).unwrap();
    cluster.patch(&json!({"numberOfMaster": 3}));
    kube.api().delete(&coordinators[&leader].path(), Some(0)).unwrap();
    cluster.wait_ready(3, SOON).is_even(3).unwrap();
    let (next, raised) = lease(&namespace).unwrap();
    assert!(next != leader && raised > term, "{leader} with term {term}, then {next} with {raised}");
    agreed(&cluster);
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn a_leader_that_slept_or_was_cut_off_changes_nothing_when_it_is_back() {
    let _turn = Turn::take();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("leader-sleeps");
    let coordinators = two_coordinators(&namespace);
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 2\nreplicationFactor: 1");
    cluster.wait_ready(4, SOON);
    replaced(&cluster, &coordinators, 3, |leader| kube.freeze(leader, "coordinator"));
    replaced(&cluster, &coordinators, 2, |leader| kube.cut_from_api(leader.ip.unwrap()));
}

/// The leader is put out of action by `hold` until its result is dropped; the twin leads meanwhile, and scales to `shards`.
fn replaced<G>(
    cluster: &Cluster<'_, '_>,
    coordinators: &BTreeMap<String, Pod>,
    shards: usize,
    hold: impl FnOnce(&Pod) -> G,
) {
    let (namespace, kube) = (cluster.namespace, cluster.namespace.kube);
    let (leader, term) = lease(namespace).unwrap();
    let member = cluster.pods().unwrap().remove(0);
    let layout = namespace.ask_agent("rc", &member, "GET /v1/layout", None).unwrap();
    let restarts = || Ok::<_, String>(namespace.pod(&leader)?.restarts["coordinator"]);
    let ends = restarts().unwrap();

    let held = hold(&coordinators[&leader]);
    let since = Instant::now();
    cluster.patch(&json!({ "numberOfMaster": shards }));
    wait_until(SOON, "the twin leads", || {
        let (now, _) = lease(namespace)?;
        check(now != leader, || format!("{now} leads"))
    });
    let led_until = last_request(namespace);
    cluster.wait_ready(2 * shards, SOON).is_even(shards).unwrap();
    let (next, raised) = lease(namespace).unwrap();
    assert!(raised > term, "{leader} with term {term}, then {next} with {raised}");
    std::thread::sleep(sleep().saturating_sub(since.elapsed()));

    let before = picture(cluster).unwrap();
    drop(held);
    wait_until(SOON, "the old leader ends, and waits in another life", || {
        check(restarts()? > ends && namespace.pod(&leader)?.is_ready, || "it has not ended".to_owned())
    });
    let quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET {
        assert_eq!(picture(cluster).unwrap(), before, "something happens after the old leader is back");
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut changes = kube.changes_of(&namespace.name, &leader);
    changes.retain(|change| change.at > led_until);
    assert_eq!(changes, Vec::new(), "{leader} has not led since {led_until}");
    assert!(!kube.changes_of(&namespace.name, &next).is_empty(), "the audit log tells who has changed something");
    let refused = namespace.ask_agent("rc", &member, "PUT /v1/layout", Some(&layout)).unwrap();
    assert_eq!((&refused["answer"], &refused["held"]["term"]), (&json!("older"), &json!(raised)), "{refused}");
    agreed(cluster);
}

/// Installs, with a second coordinator. Neither is probed: a kubelet would end one that sleeps, before it wakes.
fn two_coordinators(namespace: &Namespace<'_>) -> BTreeMap<String, Pod> {
    install(namespace, &servers::system());
    let unprobed = json!([{"op": "remove", "path": "/spec/template/spec/containers/0/livenessProbe"},
        {"op": "replace", "path": "/spec/replicas", "value": 2}]);
    namespace.kubectl(&["patch", "deployment", "coordinator", "--type=json", "--patch", &unprobed.to_string()]);
    namespace.kubectl(&["rollout", "status", "deployment", "coordinator", "--timeout=60s"]);
    let pods = namespace.wait_ready("app=coordinator", 2, SOON);
    pods.into_iter().map(|pod| (pod.name.clone(), pod)).collect()
}

/// Who holds the Lease, and the highest term.
fn lease(namespace: &Namespace<'_>) -> Result<(String, u64), String> {
    let path = namespace.path("apis/coordination.k8s.io/v1", "leases/redis-coordinator");
    let lease = namespace.kube.api().get(&path)?;
    let text = |at: &str| lease.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let term = text("/metadata/annotations/redisnode.io~1term").and_then(|term| term.parse::<u64>().ok());
    Ok((text("/spec/holderIdentity").unwrap_or_default(), term.ok_or("no term")?))
}

/// All that a coordinator could change: who leads, the objects' versions, the pods, the Layout.
fn picture(cluster: &Cluster<'_, '_>) -> Result<Value, String> {
    let (holder, term) = lease(cluster.namespace)?;
    let pods: Vec<_> = cluster.pods()?.into_iter().map(|pod| (pod.uid, pod.restarts, pod.labels)).collect();
    let objects = ["services/rc-nodes", "services/rc", "secrets/rc-token"].map(|rest| ("api/v1", rest));
    let objects = objects.into_iter().chain([("apis/policy/v1", "poddisruptionbudgets/rc")]);
    let version = |(group, rest)| {
        let object = cluster.namespace.kube.api().get(&cluster.namespace.path(group, rest))?;
        Ok(object["metadata"]["resourceVersion"].clone())
    };
    let versions = objects.map(version).collect::<Result<Vec<_>, String>>()?;
    let set = cluster.set()?["metadata"].clone();
    let layout = cluster.resource()?["status"]["layoutGeneration"].clone();
    Ok(json!([holder, term, pods, versions, set["generation"], set["annotations"], layout]))
}

/// When the newest request of the namespace's coordinators arrived.
fn last_request(namespace: &Namespace<'_>) -> String {
    let all = namespace.kube.requests(&namespace.name);
    all.into_iter().map(|request| request.at).max().expect("they have asked for something")
}

fn agreed(cluster: &Cluster<'_, '_>) {
    let servers = addresses(&cluster.pods().unwrap());
    cluster.namespace.kube.inside(|| view::agreed(&servers)).unwrap();
}
