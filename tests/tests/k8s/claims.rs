//! Members whose claims keep their data: all of them gone at once, back at other addresses, and nobody to tell them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use redisnode_tests::kube::Pod;
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};

use crate::load::{Load, addresses};
use crate::product::Cluster;
use crate::run::{Scene, on_scenes};

/// How long pods may take to end and to come back.
const SOON: Duration = Duration::from_mins(2);
/// How long the cluster may take once all its pods run.
const HEALED: Duration = Duration::from_secs(15);

#[test]
fn all_pods_deleted_at_once_find_each_other_without_a_coordinator_and_keep_every_key() {
    on_scenes("claims", &["redis-7.0"], Turn::alone, |scene| {
        let cluster = with_claims(scene, "claims");
        let mut load = Load::start(&cluster, &scene.server.family);
        load.goes_on(1_000);
        load.pause();
        scale_coordinator(scene, 0);
        let before = cluster.pods().unwrap();
        scene.step("all pods at once, claims", || {
            scene.namespace.kubectl(&["delete", "pods", "--all", "--wait=false"]);
            heal(&cluster, &before);
        });
        load.end();
        scale_coordinator(scene, 1);
        cluster.wait_ready(6, SOON);
        assert_eq!(cluster.losses(), Vec::<String>::new());
    });
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn all_pods_forced_away_at_once_lose_no_more_than_the_last_second() {
    on_scenes("claims-forced", &["valkey-9.1"], Turn::alone, |scene| {
        let cluster = with_claims(scene, "claims-forced");
        let mut load = Load::start(&cluster, &scene.server.family);
        load.goes_on(1_000);
        scale_coordinator(scene, 0);
        let before = cluster.pods().unwrap();
        // The append-only file is synced once a second, and again only when the last sync is over.
        let from = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        scene.step("all pods forced away at once, claims", || {
            scene.namespace.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false"]);
            heal(&cluster, &before);
        });
        let until = Instant::now();
        load.pause();
        load.reconnected();
        load.reconnected();
        load.end_but(|written| written >= from && written <= until);
        scale_coordinator(scene, 1);
        cluster.wait_ready(6, SOON);
        assert_eq!(cluster.losses(), Vec::<String>::new());
    });
}

/// Waits until the pods are others, each at another address, and then until their servers agree.
fn heal(cluster: &Cluster<'_, '_>, before: &[Pod]) {
    let was: BTreeMap<&str, (&str, Option<IpAddr>)> =
        before.iter().map(|pod| (pod.name.as_str(), (pod.uid.as_str(), pod.ip))).collect();
    let running = wait_until(SOON, "all pods run anew", || {
        let now = cluster.pods()?;
        let is_new = |pod: &Pod| was.get(pod.name.as_str()).is_some_and(|(uid, _)| *uid != pod.uid);
        let runs = |pod: &Pod| is_new(pod) && pod.phase == "Running" && pod.ip.is_some() && !pod.is_ending;
        check(now.len() == before.len() && now.iter().all(runs), || format!("{now:?}"))?;
        Ok(now)
    });
    let moved = |pod: &Pod| was.get(pod.name.as_str()).is_some_and(|(_, ip)| *ip != pod.ip);
    assert!(running.iter().all(moved), "every address changes: {before:?} {running:?}");
    let began = Instant::now();
    let servers = addresses(&running);
    let view = cluster.namespace.kube.inside(|| wait_until(HEALED, "the servers agree", || view::agreed(&servers)));
    println!("healed {:?} after the pods run", began.elapsed());
    view.is_even(3).unwrap();
}

/// A cluster of three and three, each member with a volume of its own on one of the nodes.
fn with_claims<'s>(scene: &'s Scene<'_>, name: &str) -> Cluster<'s, 's> {
    let class = &scene.namespace.name;
    scene.kube.local_class(class);
    for n in 0..6 {
        scene.kube.local_volume(&format!("{class}-{n}"), n % 3 + 1, class);
    }
    let spec = format!(
        "numberOfMaster: 3\nreplicationFactor: 1\nstorage: {{size: 1Gi, storageClassName: {class}, whenDeleted: Delete}}"
    );
    let cluster = Cluster::apply(&scene.namespace, "rc", &spec);
    scene.step(&format!("form with {name}"), || cluster.wait_ready(6, SOON).is_even(3).unwrap());
    cluster
}

fn scale_coordinator(scene: &Scene<'_>, replicas: usize) {
    let replicas_wanted = format!("--replicas={replicas}");
    scene.namespace.kubectl(&["scale", "deployment", "coordinator", &replicas_wanted]);
    scene.namespace.wait_ready("app=coordinator", replicas, SOON);
}
