//! The charts as their users install them: both of them to Ready, their tests, and what upgrading and uninstalling leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redisnode_tests::kube::Kubernetes;
use redisnode_tests::ports::Ports;
use redisnode_tests::servers;
use redisnode_tests::turn::Turn;
use redisnode_tests::wait::{check, wait_until};
use serde_json::{Value, json};

use crate::product::{Cluster, chart, install, of_values};

/// How long a creation may take: pods, servers, founding.
const CREATED: Duration = Duration::from_mins(1);
/// Where the definition is.
const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/redisclusters.redisnode.io";

#[test]
fn both_charts_come_to_ready_with_the_rights_that_they_give_and_their_tests_pass() {
    let _turn = Turn::take();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("charts-both");
    install(&namespace, &servers::system());
    let image = of_values(&kube.server_image(&servers::system()));
    let of = |values: &Value| {
        let values = values.to_string();
        let args = ["upgrade", "--install", "shop", &chart("redis-cluster"), "--namespace", &namespace.name];
        let output = kube.run_with("helm", &[&args[..], &["--values", "-"]].concat(), &values);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let notes = of(&json!({"image": image, "redisConfig": {"requirepass": "secret"}}));
    assert!(notes.contains("shop.charts-both.svc:6379") && notes.contains("REDISCLI_AUTH"), "{notes}");
    let cluster = Cluster { namespace: &namespace, name: "shop" };
    wait_until(CREATED, "the cluster is Ready", || {
        let resource = cluster.resource()?;
        let conditions = resource["status"]["conditions"].as_array().ok_or("no conditions")?;
        let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        check(conditions.iter().any(ready), || resource["status"].to_string())
    });
    for release in ["coordinator", "shop"] {
        let said = kube.helm(&["test", release, "--namespace", &namespace.name, "--timeout", "150s"]);
        assert!(said.contains("Succeeded"), "{said}");
    }
    assert_eq!(kube.forbidden(&namespace.name), Vec::new());
    kube.helm(&["uninstall", "shop", "--namespace", &namespace.name]);
    wait_until(CREATED, "its pods are gone", || {
        cluster.pods().and_then(|pods| check(pods.is_empty(), || format!("{pods:?}")))
    });
}

/// The chart with another definition: one that an earlier version might have had.
fn with_definition(change: impl Fn(&str) -> String) -> (PathBuf, String) {
    let folder = std::env::temp_dir().join(format!("redisnode-chart-{}", std::process::id()));
    let _absent = fs::remove_dir_all(&folder);
    copy(Path::new(&chart("redis-coordinator")), &folder);
    let file = folder.join("files/crd.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text);
    fs::write(&file, changed).unwrap();
    let path = folder.display().to_string();
    (folder, path)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn an_upgrade_upgrades_the_definition_and_uninstalling_keeps_it_and_the_clusters() {
    let ports = Ports::take();
    let Some(kube) = Kubernetes::control_plane(ports.first) else { return };
    let (folder, earlier) = with_definition(|text| text.replace("- rdc\n", "- earlier\n"));
    let release = ["--namespace", "default"];
    let short_names = || kube.api().get(DEFINITION).map(|found| found["spec"]["names"]["shortNames"].clone());
    let notes = kube.helm(&[&["install", "co", &earlier][..], &release].concat());
    assert!(notes.contains("2 coordinators look after the RedisClusters of all namespaces"), "{notes}");
    assert_eq!(short_names().unwrap(), json!(["earlier"]));
    kube.helm(&[&["upgrade", "co", &chart("redis-coordinator")][..], &release].concat());
    assert_eq!(short_names().unwrap(), json!(["rdc"]));
    wait_until(CREATED, "the resource is served", || {
        kube.try_apply(
            "{apiVersion: redisnode.io/v1alpha1, kind: RedisCluster, metadata: {name: kept, namespace: default}}",
        )
    });
    kube.helm(&[&["uninstall", "co"][..], &release].concat());
    let kept = kube.api().get("/apis/redisnode.io/v1alpha1/namespaces/default/redisclusters/kept");
    assert_eq!(kept.unwrap()["spec"]["numberOfMaster"], 3);
    // Installed again, it takes the definition over.
    let notes =
        kube.helm(&[&["install", "co", &chart("redis-coordinator"), "--set", "replicas=0"][..], &release].concat());
    assert!(notes.contains("With none, clusters serve and heal"), "{notes}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_api_server_takes_what_the_cluster_chart_makes_with_all_that_can_be_said() {
    let ports = Ports::take();
    let Some(kube) = Kubernetes::control_plane(ports.first) else { return };
    kube.apply(include_str!("../../../charts/redis-coordinator/files/crd.yaml"));
    let values = json!({
        "numberOfMaster": 5, "replicationFactor": 2, "image": {"repository": "redis", "tag": "8.6"}, "nodeTimeout": "5s",
        "imagePullSecrets": [{"name": "registry"}], "resources": {"limits": {"memory": "2Gi"}}, "serviceName": "clients",
        "redisConfig": {"repl-backlog-size": 1_610_612_736, "requirepass": "secret"},
        "maxMemory": {"enabled": true, "policy": "allkeys-lru"}, "renameCommands": {"KEYS": ""},
        "rollout": {"maxUnavailable": 2},
        "storage": {"size": "10Gi", "storageClassName": "fast", "whenDeleted": "Delete", "whenScaled": "Retain"},
        "migration": {"withoutReplicas": true, "maxLatency": "20ms", "maxBytesPerSecond": "50Mi", "pause": true},
        "balance": "Bytes",
        "additionalLabels": {"team": "shop"},
        "podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}},
    });
    let args = ["install", "shop", &chart("redis-cluster"), "--namespace", "default", "--values", "-"];
    wait_until(CREATED, "the resource is served", || {
        let output = kube.run_with("helm", &args, &values.to_string());
        check(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())
    });
    let path = "/apis/redisnode.io/v1alpha1/namespaces/default/redisclusters/shop";
    let spec = kube.api().get(path).unwrap()["spec"].clone();
    assert_eq!(spec["redisConfig"]["repl-backlog-size"], 1_610_612_736);
    assert_eq!(spec["maxMemory"], json!({"percent": 75, "policy": "allkeys-lru"}));
    assert_eq!(spec["podTemplate"]["spec"]["containers"][0]["image"], "redis:8.6");
    // Its size cannot change, and Helm says why.
    let args = ["upgrade", "shop", &chart("redis-cluster"), "--namespace", "default", "--reuse-values"];
    let refused = kube.run("helm", &[&args[..], &["--set", "storage.size=20Gi"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("storage.size cannot be changed"), "{said}");
}
