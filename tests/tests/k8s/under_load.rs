//! Planned work under a client that writes through pod addresses all the while: nothing acknowledged is lost, and the
//! client sees no error but connections that end with their pods.

use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_tests::kube::Pod;
use redisnode_tests::servers;
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};
use serde_json::json;

use crate::load::{Load, Sees};
use crate::product::Cluster;
use crate::run::{Scene, on_scenes};

/// How long one piece of planned work may take.
const DONE: Duration = Duration::from_mins(3);
const SPEC: &str = "numberOfMaster: 3\nreplicationFactor: 1";

#[test]
fn scaling_and_a_live_setting_cost_nothing_and_restart_nobody() {
    on_scenes("load-scale", &["redis-7.0"], Turn::alone, |scene| {
        let cluster = form(scene);
        let mut load = Load::start(&cluster, &scene.server.family);
        load.step("scale 3-5-3", Sees::Nothing, || {
            cluster.patch(&json!({"numberOfMaster": 5}));
            cluster.wait_ready(10, DONE).is_even(5).unwrap();
            cluster.patch(&json!({"numberOfMaster": 3}));
            cluster.wait_ready(6, DONE).is_even(3).unwrap();
        });
        load.step("live setting", Sees::Nothing, || {
            cluster.patch(&json!({"redisConfig": {"maxmemory-policy": "allkeys-lru"}}));
            wait_setting(&cluster, "maxmemory-policy", "allkeys-lru");
            cluster.wait_ready(6, DONE);
        });
        load.end();
        let pods = cluster.pods().unwrap();
        assert!(pods.iter().all(|pod| pod.restarts.values().all(|restarts| *restarts == 0)), "{pods:?}");
    });
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn a_deleted_pod_and_a_new_image_lose_nothing() {
    on_scenes("load-roll", &["valkey-9.1"], Turn::alone, |scene| {
        let cluster = form(scene);
        let mut load = Load::start(&cluster, &scene.server.family);
        let primary = cluster.a_primary();
        load.step("pod deletion", Sees::Reconnects, || {
            scene.kube.api().delete(&primary.path(), None).unwrap();
            wait_until(DONE, "the pod is another one", || {
                let now = scene.namespace.pod(&primary.name)?;
                check(now.uid != primary.uid && now.is_ready, || format!("{now:?}"))
            });
            cluster.wait_ready(6, DONE);
        });
        let before = cluster.pods().unwrap();
        let image = next_image(scene);
        load.step("image change", Sees::Reconnects, || {
            cluster.patch(&json!({"podTemplate": {"spec": {"containers": [{"name": "redis", "image": image}]}}}));
            wait_until(DONE, "every pod is another one, and ready", || {
                let now = cluster.pods()?;
                let old = now.iter().filter(|pod| before.iter().any(|before| before.uid == pod.uid)).count();
                check(old == 0 && now.len() == 6 && now.iter().all(|pod| pod.is_ready), || format!("{old} old pods"))
            });
            cluster.wait_ready(6, DONE).is_even(3).unwrap();
        });
        let runs = |pod: &Pod| {
            let object = scene.kube.api().get(&pod.path()).unwrap();
            object["spec"]["containers"][0]["image"] == image.as_str()
        };
        assert!(cluster.pods().unwrap().iter().all(runs), "all run {image}");
        load.end();
    });
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn more_replicas_and_fewer_and_a_setting_that_needs_a_restart_lose_nothing() {
    on_scenes("load-resize", &["redis-8.6"], Turn::alone, |scene| {
        let cluster = form(scene);
        let mut load = Load::start(&cluster, &scene.server.family);
        load.step("replicas 1-2-1", Sees::Nothing, || {
            cluster.patch(&json!({"replicationFactor": 2}));
            let view = cluster.wait_ready(9, DONE);
            assert!(view.owners().iter().all(|owner| view.replicas_of(&owner.id).len() == 2), "{view:?}");
            cluster.patch(&json!({"replicationFactor": 1}));
            let view = cluster.wait_ready(6, DONE);
            assert!(view.owners().iter().all(|owner| view.replicas_of(&owner.id).len() == 1), "{view:?}");
        });
        let before = cluster.pods().unwrap();
        load.step("restart-only setting", Sees::Reconnects, || {
            cluster.patch(&json!({"redisConfig": {"tcp-backlog": 300}}));
            wait_setting(&cluster, "tcp-backlog", "300");
            cluster.wait_ready(6, DONE).is_even(3).unwrap();
        });
        load.end();
        let after = cluster.pods().unwrap();
        let same = |(was, is): (&Pod, &Pod)| was.uid == is.uid && was.restarts == is.restarts;
        assert!(before.iter().zip(&after).all(same), "servers restart in their pods: {before:?} {after:?}");
    });
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn a_drained_node_and_a_coordinator_that_is_killed_again_and_again_lose_nothing() {
    on_scenes("load-drain", &["valkey-8.1"], Turn::alone, |scene| {
        let cluster = form(scene);
        let mut load = Load::start(&cluster, &scene.server.family);
        load.step("drain", Sees::Reconnects, || {
            let node = cluster.a_primary().node.unwrap();
            let _cordoned = scene.kube.drain(&node, "app.kubernetes.io/instance=rc", DONE);
            cluster.wait_ready(6, DONE);
            let there = cluster.pods().unwrap().iter().filter(|pod| pod.node.as_ref() == Some(&node)).count();
            assert_eq!(there, 0, "nothing is left on {node}");
        });
        load.step("coordinator kill", Sees::Nothing, || {
            cluster.patch(&json!({"numberOfMaster": 5}));
            for _ in 0..3 {
                kill_coordinator(scene);
            }
            cluster.wait_ready(10, DONE).is_even(5).unwrap();
        });
        load.end();
    });
}

/// A cluster of three and three.
fn form<'s>(scene: &'s Scene<'_>) -> Cluster<'s, 's> {
    let cluster = Cluster::apply(&scene.namespace, "rc", SPEC);
    scene.step("form 3+3", || cluster.wait_ready(6, DONE).is_even(3).unwrap());
    cluster
}

/// The image to change to: the next version of the same kind where there is one, else the same under another name.
fn next_image(scene: &Scene<'_>) -> String {
    let next = match scene.server.family.as_str() {
        "system" | "redis-7.0" => servers::family("redis-8.6"),
        "valkey-8.1" => servers::family("valkey-9.1"),
        _ => None,
    };
    let image = match next {
        Some(newer) => scene.kube.server_image(&newer),
        None => scene.kube.server_image_as(&scene.server, "again"),
    };
    scene.kube.load(&image);
    image.name
}

/// Waits until every server says that a directive has this value.
fn wait_setting(cluster: &Cluster<'_, '_>, name: &str, value: &str) {
    wait_until(DONE, &format!("all have {name} {value}"), || {
        let pods = cluster.pods()?;
        cluster.namespace.kube.inside(|| {
            for pod in &pods {
                let answer = view::call(pod.at(6379), &["CONFIG", "GET", name])?;
                let found: Vec<String> = redis::from_redis_value(answer).map_err(|error| error.to_string())?;
                check(found == [name, value], || format!("{}: {found:?}", pod.name))?;
            }
            Ok(())
        })
    });
}

/// Kills the coordinator's process, and waits until the kubelet has started it again.
fn kill_coordinator(scene: &Scene<'_>) {
    let all = scene.namespace.pods("app=coordinator").unwrap();
    let before = all.first().expect("the coordinator").clone();
    scene.kube.signal(&before, "coordinator", Signal::SIGKILL);
    wait_until(DONE, "the coordinator runs again", || {
        let now = scene.namespace.pod(&before.name)?;
        check(now.restarts["coordinator"] > before.restarts["coordinator"] && now.is_ready, || format!("{now:?}"))
    });
}
