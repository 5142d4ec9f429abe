//! A primary dies in its pod, or with it, while a client writes: its shard goes on, and only what nobody else had yet may
//! be missing.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_tests::kube::Pod;
use redisnode_tests::procs;
use redisnode_tests::skip::skip;
use redisnode_tests::turn::Turn;
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};

use crate::load::{Load, Sees, just_before};
use crate::product::Cluster;
use crate::run::{Scene, on_scenes};

/// How long a healing may take until every replica is in sync again.
const SOON: Duration = Duration::from_mins(2);
/// How long a shard may be without writes.
const GAP: Duration = Duration::from_secs(2);
const SPEC: &str = "numberOfMaster: 3\nreplicationFactor: 1";
const LIMITED: &str = "podTemplate: {spec: {containers: [{name: redis, resources: {limits: {memory: 192Mi}}}]}}";
/// A key whose value would not fit.
const POISON: &str = "too-large";

#[test]
fn a_primarys_pod_that_is_forced_away_costs_its_shard_a_moment() {
    on_scenes("forced", &["valkey-9.1"], Turn::alone, |scene| {
        let cluster = Cluster::apply(&scene.namespace, "rc", SPEC);
        cluster.wait_ready(6, SOON);
        let mut load = Load::start(&cluster, &scene.server.family);
        load.goes_on(1_000);
        let victim = cluster.a_primary();
        let (at, gap) = load.step("forced pod deletion", Sees::Anything, || {
            let begun = Instant::now();
            scene.kube.api().delete(&victim.path(), Some(0)).unwrap();
            let at = (begun, Instant::now());
            wait_until(SOON, "the pod is another one", || {
                let now = scene.namespace.pod(&victim.name)?;
                check(now.uid != victim.uid && now.is_ready, || format!("{now:?}"))
            });
            cluster.wait_ready(6, SOON).is_even(3).unwrap();
            at
        });
        assert!(gap < GAP, "a shard was without writes for {gap:?}");
        load.end_but(|written| just_before(written, at));
        assert_eq!(cluster.losses(), Vec::<String>::new());
    });
}

#[test]
#[ignore = "make test-k8s-all runs it"]
fn a_server_that_is_killed_for_memory_again_and_again_is_healed_each_time() {
    on_scenes("memory", &["redis-8.6"], Turn::alone, |scene| {
        let cluster = Cluster::apply(&scene.namespace, "rc", &format!("{SPEC}\n{LIMITED}"));
        cluster.wait_ready(6, SOON);
        let mut load = Load::start(&cluster, &scene.server.family);
        load.goes_on(1_000);
        let mut deaths = Vec::new();
        for _ in 0..3 {
            let (at, gap) = load.step("server killed for memory", Sees::Anything, || {
                let pod = primary_of(&cluster, POISON);
                dies(scene, &cluster, &pod, |server| poison(scene, &pod, server))
            });
            assert!(gap < GAP, "a shard was without writes for {gap:?}");
            deaths.push(at);
        }
        // Where the container is one group for the kernel its launcher dies too, and the kubelet starts it again.
        let before = restarts(&cluster, "redis");
        for _ in 0..2 {
            let (at, gap) = load.step("server's container killed for memory", Sees::Anything, || {
                let pod = primary_of(&cluster, POISON);
                dies(scene, &cluster, &pod, |_| scene.kube.signal(&pod, "redis", Signal::SIGKILL))
            });
            assert!(gap < GAP, "a shard was without writes for {gap:?}");
            deaths.push(at);
        }
        assert_eq!(restarts(&cluster, "redis"), before + 2);
        load.end_but(|written| deaths.iter().any(|at| just_before(written, *at)));
        assert_eq!(cluster.losses(), Vec::<String>::new());
        assert_eq!(restarts(&cluster, "redisnode-agent"), 0, "no agent dies with its server");
    });
}

/// The server of a pod comes to its end by `kill`, which is told its process; waits until all is healed. Answers between
/// which moments it died.
fn dies(scene: &Scene<'_>, cluster: &Cluster<'_, '_>, pod: &Pod, kill: impl FnOnce(i32)) -> (Instant, Instant) {
    let server = scene.kube.server_process(pod).expect("the server runs");
    let begun = Instant::now();
    kill(server);
    wait_until(SOON, "it dies", || check(!procs::is_alive(server), || format!("{server} lives")));
    let at = (begun, Instant::now());
    wait_until(SOON, "another server runs", || {
        let now = scene.namespace.pod(&pod.name)?;
        check(scene.kube.server_process(&now).is_some_and(|now| now != server), || format!("none: {now:?}"))
    });
    cluster.wait_caught_up(6, SOON);
    at
}

/// Has the kernel kill a server: a command asks for more than its container may have. It kills as the kernel would where
/// this machine has no such limits.
fn poison(scene: &Scene<'_>, pod: &Pod, server: i32) {
    let asked = scene.kube.inside(|| view::call(pod.at(6379), &["SETRANGE", POISON, "400000000", "x"]));
    if asked.is_ok() {
        skip(
            "limits of memory",
            "this machine's kernel does not keep containers to them; the server is killed by hand",
        );
        procs::signal(server, Signal::SIGKILL);
    }
}

/// The pod of the primary that has a key.
fn primary_of(cluster: &Cluster<'_, '_>, key: &str) -> Pod {
    let pods = cluster.pods().unwrap();
    let view = cluster.namespace.kube.inside(|| view::view(pods[0].at(6379))).unwrap();
    let owner =
        &view.nodes[view.owner_of_slots()[usize::from(view::slot_of(key.as_bytes()))].expect("it has an owner")];
    let is_owner = |pod: &Pod| pod.ip.is_some_and(|ip| ip.to_string() == owner.host);
    pods.into_iter().find(is_owner).expect("the owner is a pod")
}

fn restarts(cluster: &Cluster<'_, '_>, container: &str) -> u64 {
    cluster.pods().unwrap().iter().map(|pod| pod.restarts[container]).sum()
}
