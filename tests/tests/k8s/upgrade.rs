//! A coordinator of an earlier commit is replaced by this one, and by itself again, under a client's writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redisnode_tests::kube::{Kubernetes, Pod};
use redisnode_tests::servers;
use redisnode_tests::skip::skip;
use redisnode_tests::turn::Turn;
use serde_json::json;

use crate::load::{Load, Sees};
use crate::product::{Cluster, release};
use crate::run::Scene;

/// How long one piece of planned work may take.
const DONE: Duration = Duration::from_mins(3);
/// So many writes are a few seconds of them.
const SOME: u64 = 1_500;

#[test]
#[ignore = "make test-k8s-all runs it"]
fn a_coordinator_of_the_previous_commit_is_replaced_and_comes_back_and_nobody_notices() {
    let _turn = Turn::alone();
    let Some(previous) = std::env::var_os("REDISNODE_PREVIOUS").map(PathBuf::from) else {
        skip("a coordinator of the previous commit", "make test-k8s-all builds one; REDISNODE_PREVIOUS names none");
        return;
    };
    let Some(kube) = Kubernetes::shared() else { return };
    let scene = Scene::set(kube, "upgrade", &servers::system());
    let run = |folder: Option<&PathBuf>| {
        let [agent, coordinator] = match folder {
            Some(folder) => ["redisnode", "redis-coordinator"].map(|name| kube.previous_image(name, &binaries(folder))),
            None => [kube.agent_image(), kube.coordinator_image()],
        };
        let root = folder.cloned().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        // Helm brings the definition first, and the coordinator after it.
        let definition = root.join("charts/redis-coordinator/files/crd.yaml");
        kube.apply(&fs::read_to_string(definition).expect("each commit has the definition"));
        let chart = root.join("charts/redis-coordinator").display().to_string();
        release(&scene.namespace, &scene.server, &["upgrade", "coordinator", &chart], &agent, &coordinator);
    };
    run(Some(&previous));
    let cluster = Cluster::apply(&scene.namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1");
    cluster.wait_ready(6, DONE).is_even(3).unwrap();
    let before = cluster.pods().unwrap();
    let mut load = Load::start(&cluster, &scene.server.family);
    for (name, folder, shards) in [("coordinator upgrade", None, 4), ("coordinator rollback", Some(&previous), 3)] {
        load.step(name, Sees::Nothing, || {
            run(folder);
            cluster.wait_ready(cluster.pods().unwrap().len(), DONE);
        });
        load.goes_on(SOME);
        same_pods(&before, &cluster.pods().unwrap());
        load.step(&format!("scale after {name}"), Sees::Nothing, || {
            cluster.patch(&json!({ "numberOfMaster": shards }));
            cluster.wait_ready(2 * shards, DONE).is_even(shards).unwrap();
        });
    }
    load.end();
    same_pods(&before, &cluster.pods().unwrap());
}

/// Where the Makefile of a clone leaves its binaries: there is one target.
fn binaries(clone: &Path) -> PathBuf {
    let targets = fs::read_dir(clone.join("target")).expect("it was built");
    let folders = targets.filter_map(|entry| Some(entry.ok()?.path().join("release")));
    folders.into_iter().find(|folder| folder.join("redis-coordinator").exists()).expect("it has static binaries")
}

/// None of these pods is another one, or has restarted.
#[track_caller]
fn same_pods(before: &[Pod], after: &[Pod]) {
    for was in before {
        let is = after.iter().find(|pod| pod.name == was.name);
        assert!(is.is_some_and(|is| is.uid == was.uid && is.restarts == was.restarts), "{was:?} is {is:?}");
    }
}
