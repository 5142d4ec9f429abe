//! Nodes: one that dies with all that runs on it, and a Kubernetes that has only one.

use std::time::{Duration, Instant};

use redisnode_tests::kube::{Kubernetes, Pod};
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};

use crate::load::{Load, Sees, just_before};
use crate::product::Cluster;
use crate::run::{Scene, on_servers};

const SOON: Duration = Duration::from_mins(2);
/// A lost node's pods are removed by controllers that look every twenty seconds.
const REPLACED: Duration = Duration::from_mins(3);
/// How long a shard may be without writes when its primary's node dies: its agent is dead too, so the servers' own
/// election decides, after the node time-out of the spec and a vote.
const GAP: Duration = Duration::from_secs(12);

#[test]
#[ignore = "make test-k8s-all runs it"]
fn a_node_that_dies_costs_its_shards_an_election_and_its_members_are_replaced_when_it_is_declared_lost() {
    on_servers(&["redis-7.0"], |server| {
        let _turn = Turn::alone();
        let Some(kube) = Kubernetes::start(3) else { return };
        let scene = Scene::set(&kube, "node-dies", server);
        let cluster =
            Cluster::apply(&scene.namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1\nnodeTimeout: 5s");
        cluster.wait_ready(6, SOON).is_even(3).unwrap();
        let mut load = Load::start(&cluster, &server.family);
        load.goes_on(1_000);
        let victim = victim(&scene, &cluster);
        let (at, gap) = load.step("node death", Sees::Anything, || {
            let begun = Instant::now();
            kube.kill_node(victim);
            let at = (begun, Instant::now());
            wait_until(SOON, "all slots have primaries on other nodes", || owned_elsewhere(&cluster, victim));
            at
        });
        assert!(gap < GAP, "a shard was without writes for {gap:?}");
        load.step("node declared lost", Sees::Anything, || {
            kube.wait_node(victim, false, SOON);
            let node = format!("node-{victim}");
            kube.kubectl(&["taint", "node", &node, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"]);
            wait_until(REPLACED, "the members run on other nodes", || {
                let pods = cluster.pods()?;
                let elsewhere = |pod: &Pod| pod.is_ready && pod.node.as_ref() != Some(&node);
                check(pods.len() == 6 && pods.iter().all(elsewhere), || format!("{pods:?}"))
            });
            cluster.wait_ready(6, SOON).is_even(3).unwrap();
        });
        load.end_but(|written| just_before(written, at));
        assert_eq!(cluster.losses(), Vec::<String>::new());
    });
}

/// Whether the servers of the living nodes give every slot to one of them.
fn owned_elsewhere(cluster: &Cluster<'_, '_>, dead: u8) -> Result<(), String> {
    let dead = format!("node-{dead}");
    let (lost, here): (Vec<Pod>, Vec<Pod>) =
        cluster.pods()?.into_iter().partition(|pod| pod.node.as_ref() == Some(&dead));
    let lost: Vec<String> = lost.iter().filter_map(|pod| Some(pod.ip?.to_string())).collect();
    let view = cluster.namespace.kube.inside(|| view::view(here[0].at(6379)))?;
    view.is_even(3)?;
    check(view.owners().iter().all(|owner| !lost.contains(&owner.host)), || format!("{view:?}"))
}

/// A node with a primary, and without the coordinator, which Kubernetes would replace only after five minutes.
fn victim(scene: &Scene<'_>, cluster: &Cluster<'_, '_>) -> u8 {
    let coordinator = scene.namespace.pods("app=coordinator").unwrap().remove(0).node;
    let is_primary = |pod: &&Pod| pod.labels.get("redisnode.io/role").is_some_and(|role| role == "primary");
    let pods = cluster.pods().unwrap();
    let pod = pods.iter().filter(is_primary).find(|pod| pod.node != coordinator).expect("primaries are spread");
    pod.node.as_ref().and_then(|node| node.strip_prefix("node-")?.parse().ok()).expect("nodes are numbered")
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn on_one_node_the_placement_is_a_best_effort_and_says_why() {
    on_servers(&["redis-7.0"], |server| {
        let _turn = Turn::take();
        let Some(kube) = Kubernetes::start(1) else { return };
        let scene = Scene::set(&kube, "one-node", server);
        let cluster = Cluster::apply(&scene.namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1");
        scene.step("form on one node", || cluster.wait_ready(6, SOON).is_even(3).unwrap());
        let status = cluster.resource().unwrap()["status"].clone();
        assert_eq!(status["placement"], "BestEffort", "{status:#}");
        let why = status["placementReason"].as_str().unwrap_or_default();
        assert!(why.contains("are on the same machine node-1"), "{status:#}");
    });
}
