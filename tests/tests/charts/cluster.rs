//! The chart redis-cluster: the RedisCluster that values make, and the test that it brings along.

use redisnode_proto::spec::{ClusterSpec, RedisCluster};
use serde_json::{Value, json};

use crate::chart::{Chart, Rendered, texts};
use crate::values::refused;

/// Values that differ from all defaults.
pub(crate) fn everything() -> Value {
    json!({
        "numberOfMaster": 5, "replicationFactor": 2,
        "image": {"repository": "registry.example.com:5000/redis", "tag": "8.6", "pullPolicy": "Never",
            "digest": format!("sha256:{}", "0123456789abcdef".repeat(4))},
        "imagePullSecrets": [{"name": "registry"}], "resources": {"limits": {"memory": "2Gi"}},
        "redisConfig": {"repl-backlog-size": 1_610_612_736, "requirepass": "secret"},
        "renameCommands": {"KEYS": "", "CONFIG": "tune-1a2b"}, "rollout": {"maxUnavailable": 2},
        "maxMemory": {"enabled": true, "percent": 60, "size": "1Gi", "policy": "allkeys-lru"},
        "nodeTimeout": "5s",
        "storage": {"enabled": true, "size": "10Gi", "storageClassName": "fast", "whenDeleted": "Delete",
            "whenScaled": "Retain", "volumeClaimTemplate": {}},
        "migration": {"withoutReplicas": true, "maxLatency": "20ms", "maxBytesPerSecond": "50Mi", "pause": true},
        "balance": "Bytes",
        "serviceName": "clients", "additionalLabels": {"team": "shop"},
        "podTemplate": {
            "metadata": {"annotations": {"a": "b"}},
            "spec": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "beside", "image": "x"},
                {"name": "redis", "env": [{"name": "A", "value": "b"}]}]},
        },
        "fullnameOverride": "other", "labels": {"c": "d"}, "annotations": {"e": "f"},
        "podMonitor": {"enabled": true, "labels": {"i": "j"}, "interval": "1m", "relabelings": [{"action": "keep"}],
            "metricRelabelings": [{"action": "drop"}]},
        "test": {"image": "other:1"},
    })
}

fn chart() -> Option<Chart> {
    Chart::find("redis-cluster")
}

/// The resource as the coordinator reads it.
#[track_caller]
fn resource(rendered: &Rendered) -> RedisCluster {
    let found = rendered.one("RedisCluster");
    let cluster: RedisCluster = serde_json::from_value(found.clone()).unwrap_or_else(|why| panic!("{why}\n{found:#}"));
    if let Err(why) = cluster.validate() {
        panic!("{why:?}\n{found:#}");
    }
    cluster
}

/// Its podTemplate.
fn template(rendered: &Rendered) -> &Value {
    &rendered.one("RedisCluster")["spec"]["podTemplate"]
}

#[test]
fn the_defaults_are_those_of_the_resource() {
    let Some(chart) = chart() else { return };
    let rendered = chart.rendered(&json!({}));
    assert_eq!(rendered.0.len(), 2, "the resource and its test: {:?}", rendered.all());
    let cluster = resource(&rendered);
    assert_eq!(cluster.metadata.name, "shop");
    let spec = ClusterSpec { pod_template: None, ..cluster.spec };
    assert_eq!(spec, ClusterSpec::default());
    let containers = json!([{"name": "redis", "image": "valkey/valkey:9.1"}]);
    assert_eq!(*template(&rendered), json!({"spec": {"containers": containers}}));
}

#[test]
fn what_users_of_the_ancestor_set_works() {
    let Some(chart) = chart() else { return };
    let set = ["--set", "numberOfMaster=4", "--set", "replicationFactor=2", "--set", "image.tag=9.0"];
    let rendered = chart.render(&json!({}), &set).unwrap();
    let spec = resource(&rendered).spec;
    assert_eq!((spec.number_of_master, spec.replication_factor), (4, 2));
    assert_eq!(template(&rendered)["spec"]["containers"][0]["image"], "valkey/valkey:9.0");
}

#[test]
fn all_values_arrive_where_they_belong() {
    let Some(chart) = chart() else { return };
    let rendered = chart.rendered(&everything());
    let cluster = resource(&rendered);
    assert_eq!(cluster.metadata.name, "other");
    assert_eq!(cluster.metadata.annotations["e"], "f");
    assert_eq!(cluster.spec.service_name.as_deref(), Some("clients"));
    let spec = &rendered.one("RedisCluster")["spec"];
    assert_eq!(spec["redisConfig"]["repl-backlog-size"], 1_610_612_736, "no exponent");
    assert_eq!(spec["renameCommands"], json!({"KEYS": "", "CONFIG": "tune-1a2b"}));
    assert_eq!(spec["maxMemory"], json!({"size": "1Gi", "policy": "allkeys-lru"}));
    assert_eq!(spec["rollout"], json!({"maxUnavailable": 2}));
    let migration = json!({"withoutReplicas": true, "maxLatency": "20ms", "maxBytesPerSecond": "50Mi", "pause": true});
    assert_eq!(spec["migration"], migration);
    assert_eq!(spec["balance"], "Bytes");
    let storage = json!({"size": "10Gi", "storageClassName": "fast", "whenDeleted": "Delete", "whenScaled": "Retain"});
    assert_eq!(spec["storage"], storage);
    let containers = spec["podTemplate"]["spec"]["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 2, "the server is there once");
    assert_eq!(containers[0]["name"], "redis");
    assert_eq!(containers[0]["env"], json!([{"name": "A", "value": "b"}]));
    assert_eq!(containers[0]["resources"]["limits"]["memory"], "2Gi");
    assert_eq!(spec["podTemplate"]["spec"]["nodeSelector"], json!({"disk": "fast"}));
    assert_eq!(spec["podTemplate"]["spec"]["imagePullSecrets"], json!([{"name": "registry"}]));
    let test = &rendered.one("Pod")["spec"]["containers"][0];
    assert_eq!(test["image"], "other:1");
    let env = test["env"].as_array().expect("it has variables");
    assert!(env.contains(&json!({"name": "SERVICE", "value": "clients.ns.svc"})), "{env:?}");
    assert!(env.contains(&json!({"name": "REDISCLI_AUTH", "value": "secret"})), "{env:?}");
    let monitor = &rendered.one("PodMonitor")["spec"];
    assert_eq!(monitor["selector"]["matchLabels"]["app.kubernetes.io/instance"], "other");
}

#[test]
fn the_template_of_the_user_wins() {
    let Some(chart) = chart() else { return };
    let given = json!({"name": "redis", "image": "mine:1", "resources": {"limits": {"memory": "1Gi"}}});
    let template_given = json!({"spec": {"containers": [given], "imagePullSecrets": []}});
    let values = json!({"podTemplate": template_given, "resources": {"limits": {"memory": "2Gi", "cpu": "1"}}});
    let rendered = chart.rendered(&values);
    let container = &template(&rendered)["spec"]["containers"][0];
    assert_eq!(container["image"], "mine:1");
    assert_eq!(container["resources"]["limits"], json!({"memory": "1Gi", "cpu": "1"}));
    assert_eq!(rendered.one("Pod")["spec"]["containers"][0]["image"], "mine:1", "its test runs what it runs");
}

#[test]
fn storage_is_said_only_where_it_is_wanted() {
    let Some(chart) = chart() else { return };
    let storage = |values: Value| {
        let rendered = chart.rendered(&json!({ "storage": values }));
        resource(&rendered);
        rendered.one("RedisCluster")["spec"]["storage"].clone()
    };
    assert_eq!(storage(json!({})), Value::Null);
    assert_eq!(storage(json!({"whenDeleted": "Delete"})), Value::Null);
    assert_eq!(storage(json!({"enabled": true})), json!({"whenDeleted": "Retain", "whenScaled": "Delete"}));
    assert_eq!(storage(json!({"size": "1Gi"}))["size"], "1Gi");
    let claim = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(storage(json!({"volumeClaimTemplate": claim}))["volumeClaimTemplate"], claim);
}

#[test]
fn max_memory_is_said_only_where_it_is_wanted() {
    let Some(chart) = chart() else { return };
    let limit = json!({"limits": {"memory": "2Gi"}});
    let said = |values: Value| {
        let rendered = chart.rendered(&json!({ "maxMemory": values, "resources": limit }));
        resource(&rendered);
        rendered.one("RedisCluster")["spec"]["maxMemory"].clone()
    };
    assert_eq!(said(json!({})), Value::Null);
    assert_eq!(said(json!({"enabled": true})), json!({"percent": 75, "policy": "noeviction"}));
    assert_eq!(said(json!({"enabled": true, "percent": 50}))["percent"], 50);
    let sized = said(json!({"size": "1Gi", "policy": "volatile-ttl"}));
    assert_eq!(sized, json!({"size": "1Gi", "policy": "volatile-ttl"}));
}

#[test]
fn wrong_values_are_refused() {
    let Some(chart) = chart() else { return };
    let wrong = [
        ("numberOfMaster", json!(0)),
        ("numberOfMaster", json!("3")),
        ("replicationFactor", json!(6)),
        ("image/tag", json!(8)),
        ("image/tag", json!("")),
        ("image/repository", json!("redis:8.6")),
        ("redisConfig/appendonly", json!(true)),
        ("renameCommands/KEYS", json!("a b")),
        ("maxMemory/percent", json!(96)),
        ("maxMemory/policy", json!("lru")),
        ("rollout/maxUnavailable", json!(0)),
        ("migration/maxLatency", json!(5)),
        ("migration/maxLatency", json!("5")),
        ("migration/maxBytesPerSecond", json!("fast")),
        ("migration/pause", json!("yes")),
        ("balance", json!("bytes")),
        ("nodeTimeout", json!(15)),
        ("nodeTimeout", json!("15")),
        ("storage/size", json!("large")),
        ("storage/whenDeleted", json!("Keep")),
        ("serviceName", json!("Clients")),
        ("fullnameOverride", json!("-")),
        ("podTemplate", json!({"sepc": {}})),
    ];
    refused(&chart, &wrong);
}

#[test]
fn a_name_that_is_no_clusters_is_refused_with_what_to_do() {
    let Some(chart) = chart() else { return };
    for name in ["9lives", "with.dot", &"a".repeat(53)] {
        let said = chart.render_as(name, &json!({}), &[]).err().expect("it is refused");
        assert!(said.contains("cannot name a cluster"), "{said}");
    }
}

#[test]
fn its_test_uses_no_doubled_dollar() {
    let Some(chart) = chart() else { return };
    // Kubernetes would take one of them away.
    let rendered = chart.rendered(&json!({}));
    let test = &rendered.one("Pod")["spec"]["containers"][0];
    let script = texts(&test["args"])[0];
    assert!(script.contains("CLUSTER INFO") && !script.contains("$$"), "{script}");
}
