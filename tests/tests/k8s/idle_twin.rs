//! Two coordinators beside a control plane alone: whatever becomes of the one that leads, one leads, and only that one
//! changes anything.

use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_proto::message::LayoutAnswer;
use redisnode_tests::kube::{Kubernetes, Request, StandIns};
use redisnode_tests::ports::Ports;
use redisnode_tests::turn::Turn;
use redisnode_tests::wait::{check, wait_until};
use serde_json::{Value, json};

const NAMESPACE: &str = "leaders";
/// A Lease lasts for fifteen seconds; then the other one has to begin.
const TAKEN_OVER: Duration = Duration::from_mins(1);

/// Whether the cluster is Ready as it is wanted now, with so many members.
fn ready(kube: &Kubernetes, members: usize) -> Result<(), String> {
    let resource = kube.api().get(&path("apis/redisnode.io/v1alpha1", "redisclusters/rc"))?;
    let status = &resource["status"];
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let newest = status["observedGeneration"] == resource["metadata"]["generation"];
    let all = status["nodes"].as_array().is_some_and(|nodes| nodes.len() == members);
    check(ready && newest && all, || status.to_string())
}

fn path(group: &str, rest: &str) -> String {
    format!("/{group}/namespaces/{NAMESPACE}/{rest}")
}

fn edit(kube: &Kubernetes, spec: &Value) {
    kube.api().patch(&path("apis/redisnode.io/v1alpha1", "redisclusters/rc"), &json!({ "spec": spec })).unwrap();
}

/// Whether a request changed anything.
fn is_a_write(request: &Request) -> bool {
    !matches!(request.verb.as_str(), "get" | "list" | "watch") && request.code < 300
}

#[test]
fn a_leader_that_slept_for_longer_than_its_lease_changes_nothing_when_it_wakes() {
    let _turn = Turn::take();
    let ports = Ports::take();
    let Some(kube) = Kubernetes::control_plane(ports.first) else { return };
    kube.apply(include_str!("../../../charts/redis-coordinator/files/crd.yaml"));
    let _namespace = kube.namespace(NAMESPACE);
    let pods = StandIns::start(&kube, &ports);
    // Two accounts, so that the API server tells them apart.
    let [first, second] = ["one", "two"].map(|release| kube.account(NAMESPACE, &kube.chart_rights(release, true)));
    let mut sleeper = kube.coordinator(&first, NAMESPACE, true, "co-0");
    let object = json!({"apiVersion": "redisnode.io/v1alpha1", "kind": "RedisCluster", "metadata": {"name": "rc"},
        "spec": {"numberOfMaster": 2, "replicationFactor": 1}});
    wait_until(TAKEN_OVER, "the resource is served", || {
        kube.api().create(&path("apis/redisnode.io/v1alpha1", "redisclusters"), &object)
    });
    wait_until(TAKEN_OVER, "the cluster is Ready", || ready(&kube, 4));
    let _twin = kube.coordinator(&second, NAMESPACE, true, "co-1");
    // In the middle of work.
    edit(&kube, &json!({"numberOfMaster": 3}));
    wait_until(TAKEN_OVER, "it begins to grow", || {
        let set = kube.api().get(&path("apis/apps/v1", "statefulsets/rc"))?;
        check(set["spec"]["replicas"] == 6, || set["spec"]["replicas"].to_string())
    });
    sleeper.signal(Signal::SIGSTOP);
    wait_until(TAKEN_OVER, "the other one goes on", || ready(&kube, 6));
    edit(&kube, &json!({"replicationFactor": 2}));
    let answered = pods.answers(NAMESPACE, "rc").len();
    let requests = || kube.requests(NAMESPACE).into_iter().filter(|request| request.user.contains(":one-"));
    let before = requests().count();
    sleeper.signal(Signal::SIGCONT);
    wait_until(TAKEN_OVER, "the one that slept ends", || check(sleeper.has_ended(), || sleeper.log()));
    wait_until(TAKEN_OVER, "the cluster has grown", || ready(&kube, 9));
    let writes: Vec<Request> = requests().skip(before).filter(is_a_write).collect();
    assert_eq!(writes, Vec::new(), "{}", sleeper.log());
    let answers = pods.answers(NAMESPACE, "rc");
    let newest = answers.iter().map(|(_, generation, _)| generation.term).max().unwrap();
    assert!(newest > answers[0].1.term, "another life has another term");
    let late = answers[answered..].iter().filter(|(_, generation, _)| generation.term < newest);
    let obeyed: Vec<_> = late.filter(|(_, _, answer)| *answer == LayoutAnswer::Taken).collect();
    assert!(obeyed.is_empty(), "{obeyed:?}");
}
