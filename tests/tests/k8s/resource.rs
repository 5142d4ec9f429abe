//! The definition of the resource on a real API server: every rule with a right and a wrong value.

use std::time::Duration;

use redis_coordinator::kubernetes::crd::samples::{resource, samples};
use redis_coordinator::kubernetes::crd::yaml;
use redisnode_tests::kube::Kubernetes;
use redisnode_tests::ports::Ports;
use redisnode_tests::wait::{check, wait_until};
use serde_json::{Value, json};

const PATH: &str = "/apis/redisnode.io/v1alpha1/namespaces/default/redisclusters";

/// An API server with the definition, and the ports that are its own meanwhile.
fn control_plane() -> Option<(Kubernetes, Ports)> {
    let ports = Ports::take();
    let kube = Kubernetes::control_plane(ports.first)?;
    kube.apply(&yaml().unwrap());
    wait_until(Duration::from_secs(20), "the resource is served", || kube.api().list(PATH));
    Some((kube, ports))
}

/// Makes the resource, or changes it from `before`.
fn offer(kube: &Kubernetes, name: &str, before: Option<&Value>, spec: &Value) -> Result<Value, String> {
    let path = format!("{PATH}/{name}");
    let answer = match before {
        Some(before) => {
            kube.api().create(PATH, &resource(name, before))?;
            // A field that is left out goes.
            let output = kube.run_with("kubectl", &["replace", "-f", "-"], &resource(name, spec).to_string());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(Value::Null) } else { Err(said) }
        }
        None => kube.api().create(PATH, &resource(name, spec)),
    };
    if kube.api().delete(&path, Some(0)).is_ok() {
        wait_until(Duration::from_secs(10), "the resource is gone", || {
            check(kube.api().is_gone(&path)?, || "it is there".to_owned())
        });
    }
    answer
}

#[test]
fn every_rule_takes_what_is_right_and_says_what_to_write_instead_of_what_is_wrong() {
    let Some((kube, _ports)) = control_plane() else { return };
    let samples = samples();
    assert!(samples.len() > 10);
    for sample in samples {
        let (right, wrong) = sample.names;
        let before = sample.before.as_ref();
        if let Err(why) = offer(&kube, right, before, &sample.right) {
            panic!("{}: {} is refused: {why}", sample.message, sample.right);
        }
        let refused = offer(&kube, wrong, before, &sample.wrong);
        let why = refused.expect_err(sample.message);
        assert!(why.contains(sample.message), "{}: {why}", sample.message);
    }
}

#[test]
fn a_resource_with_every_field_comes_back_as_it_was_written_and_defaults_are_filled_in() {
    let Some((kube, _ports)) = control_plane() else { return };
    let full = json!({
        "numberOfMaster": 5, "replicationFactor": 2, "nodeTimeout": "20s", "serviceName": "cache",
        "redisConfig": {"appendfsync": "always", "hash-max-listpack-entries": 64},
        "renameCommands": {"KEYS": "", "CONFIG": "tune-1a2b"}, "rollout": {"maxUnavailable": 2},
        "maxMemory": {"percent": 60, "policy": "allkeys-lru"},
        "storage": {"size": "1Gi", "storageClassName": "fast", "whenDeleted": "Delete", "whenScaled": "Retain"},
        "migration": {"withoutReplicas": true, "maxLatency": "20ms", "maxBytesPerSecond": "50Mi", "pause": true},
        "balance": "Bytes",
        "podTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "redis", "image": "x:1",
            "resources": {"limits": {"memory": "1Gi"}}}]}},
        "additionalLabels": {"team": "storage"},
    });
    let made = kube.api().create(PATH, &resource("full", &full)).unwrap();
    assert_eq!(made["spec"], full);
    let empty = kube.api().create(PATH, &resource("empty", &json!({}))).unwrap();
    assert_eq!((&empty["spec"]["numberOfMaster"], &empty["spec"]["replicationFactor"]), (&json!(3), &json!(1)));
    let scaled = kube.kubectl(&["scale", "rdc", "empty", "--replicas=4"]);
    assert!(scaled.contains("scaled"), "{scaled}");
    let now = kube.api().get(&format!("{PATH}/empty")).unwrap();
    assert_eq!(now["spec"]["numberOfMaster"], 4);
    let explained = kube.kubectl(&["explain", "rdc.spec.replicationFactor"]);
    assert!(explained.contains("How many replicas each primary has"), "{explained}");
    let explained = kube.kubectl(&["explain", "rdc.spec.balance"]);
    assert!(explained.contains("What is shared out evenly among the primaries"), "{explained}");
}
