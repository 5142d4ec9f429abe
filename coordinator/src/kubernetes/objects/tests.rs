//! Tests of the objects: what a pod looks like, that a template's words are kept, and what is refused.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, SecurityContext};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::*;

fn images() -> Images {
    Images { agent: "redisnode:1".to_owned(), server: "valkey/valkey:9.1".to_owned(), agent_pull_policy: None }
}

fn spec(json: Value) -> ClusterSpec {
    serde_json::from_value(json).unwrap()
}

fn made_of(json: Value) -> Result<Objects, Refused> {
    made(&spec(json), false)
}

fn made(spec: &ClusterSpec, users_are_assigned: bool) -> Result<Objects, Refused> {
    let images = images();
    objects(&Cluster { name: "my", namespace: "there", uid: "u-1", spec, images: &images, users_are_assigned }, 6)
}

fn template(json: &Value) -> PodTemplateSpec {
    made_of(json!({ "podTemplate": json })).unwrap().set.spec.unwrap().template
}

fn pod(json: &Value) -> PodSpec {
    template(&json!({ "spec": json })).spec.unwrap()
}

fn container<'p>(pod: &'p PodSpec, name: &str) -> &'p Container {
    pod.containers.iter().chain(pod.init_containers.iter().flatten()).find(|c| c.name == name).unwrap()
}

fn env(container: &Container, name: &str) -> Option<String> {
    container.env.iter().flatten().find(|env| env.name == name).and_then(|env| env.value.clone())
}

#[test]
fn a_pod_is_an_installer_an_agent_and_a_stock_server_under_the_launcher() {
    let pod = pod(&json!({}));
    let names: Vec<&str> = pod.init_containers.iter().flatten().map(|c| c.name.as_str()).collect();
    assert_eq!(names, [INSTALL, AGENT]);
    assert_eq!(container(&pod, AGENT).restart_policy.as_deref(), Some("Always"));
    assert_eq!(container(&pod, INSTALL).restart_policy, None);
    let server = container(&pod, SERVER);
    assert_eq!(server.image.as_deref(), Some("valkey/valkey:9.1"));
    assert_eq!(server.command.as_deref().unwrap(), ["/opt/redisnode/redisnode", "launch", "--dir", "/data"]);
    for (probe, path) in [(&server.liveness_probe, "/livez"), (&server.readiness_probe, "/readyz")] {
        let http = probe.as_ref().unwrap().http_get.as_ref().unwrap();
        assert_eq!((http.path.as_deref(), &http.port), (Some(path), &IntOrString::Int(8080)));
    }
    assert_eq!((pod.containers.len(), pod.termination_grace_period_seconds), (1, Some(120)));
    assert_eq!((pod.automount_service_account_token, pod.enable_service_links), (Some(false), Some(false)));
    assert_eq!(pod.topology_spread_constraints.unwrap().len(), 2);
}

#[test]
fn the_agent_learns_everything_from_its_environment_and_shares_the_folder_alone() {
    let pod = pod(&json!({}));
    let agent = container(&pod, AGENT);
    assert_eq!(env(agent, "REDISNODE_CLUSTER").as_deref(), Some("there.my"));
    assert_eq!(env(agent, "REDISNODE_PEERS").as_deref(), Some("my-nodes.there.svc"));
    assert_eq!(env(agent, "REDISNODE_TOKEN_FILE").as_deref(), Some("/etc/redisnode/token/token"));
    let source =
        |name: &str| agent.env.iter().flatten().find(|env| env.name == name).unwrap().value_from.clone().unwrap();
    assert_eq!(source("REDISNODE_UID").field_ref.unwrap().field_path, "metadata.uid");
    let may_found = source("REDISNODE_MAY_FOUND").secret_key_ref.unwrap();
    assert_eq!((may_found.name.as_str(), may_found.optional), ("my-token", Some(true)));
    let mounts = |name: &str| -> Vec<String> {
        let mounts = container(&pod, name).volume_mounts.iter().flatten();
        mounts.map(|mount| format!("{} {}", mount.mount_path, mount.read_only.unwrap_or(false))).collect()
    };
    assert_eq!(mounts(INSTALL), ["/opt/redisnode false"]);
    assert_eq!(mounts(AGENT), ["/data false", "/etc/redisnode/token true"]);
    assert_eq!(mounts(SERVER), ["/opt/redisnode true", "/data false"], "the server has no token");
}

/// What Kubernetes' restricted pod-security level asks of a pod.
fn is_restricted(pod: &PodSpec) -> bool {
    let whole = pod.security_context.clone().unwrap_or_default();
    let contained = |context: &SecurityContext| {
        let capabilities = context.capabilities.clone().unwrap_or_default();
        let privileged = context.privileged.unwrap_or(false) || context.run_as_non_root == Some(false);
        context.allow_privilege_escalation == Some(false)
            && capabilities.drop.unwrap_or_default().contains(&"ALL".to_owned())
            && capabilities.add.unwrap_or_default().iter().all(|name| name == "NET_BIND_SERVICE")
            && !privileged
            && context.run_as_user != Some(0)
    };
    let mut all = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    let volumes = pod.volumes.iter().flatten().all(|volume| volume.host_path.is_none());
    whole.run_as_non_root == Some(true)
        && whole.run_as_user != Some(0)
        && whole.seccomp_profile.is_some_and(|profile| profile.type_ == "RuntimeDefault")
        && all.all(|container| container.security_context.as_ref().is_some_and(contained))
        && volumes
        && pod.host_network.is_none()
        && pod.host_pid.is_none()
}

#[test]
fn pods_are_restricted_and_write_to_their_volumes_alone() {
    let plain = pod(&json!({}));
    assert!(is_restricted(&plain));
    let every = plain.containers.iter().chain(plain.init_containers.iter().flatten());
    assert!(every.clone().all(|c| c.security_context.as_ref().unwrap().read_only_root_filesystem == Some(true)));
    let context = plain.security_context.clone().unwrap();
    assert_eq!((context.run_as_user, context.fs_group), (Some(10_001), Some(10_001)));
}

#[test]
fn no_user_is_chosen_where_the_platform_or_the_template_does() {
    let assigned = made(&spec(json!({})), true).unwrap().set.spec.unwrap().template.spec.unwrap();
    let given = pod(&json!({ "securityContext": { "runAsUser": 5 } }));
    let empty = pod(&json!({ "securityContext": {} }));
    for (pod, user) in [(&assigned, None), (&given, Some(5)), (&empty, None)] {
        assert!(is_restricted(pod));
        let context = pod.security_context.clone().unwrap();
        assert_eq!((context.run_as_user, context.fs_group), (user, None));
    }
}

#[test]
fn what_the_template_says_is_kept() {
    let template = template(&json!({
        "metadata": { "labels": { "tier": "cache", "app.kubernetes.io/instance": "other" }, "annotations": { "a": "b" } },
        "spec": {
            "tolerations": [{ "key": "dedicated", "operator": "Exists" }],
            "affinity": { "podAntiAffinity": {} },
            "nodeSelector": { "disk": "ssd" },
            "terminationGracePeriodSeconds": 300,
            "topologySpreadConstraints": [],
            "imagePullSecrets": [{ "name": "mirror" }],
            "containers": [
                { "name": "exporter", "image": "exporter:1" },
                {
                    "name": "redis", "image": "redis:8.6", "env": [{ "name": "TZ", "value": "UTC" }],
                    "resources": { "requests": { "cpu": 2, "memory": "1Gi" } },
                    "readinessProbe": { "periodSeconds": 7, "exec": { "command": ["redis-cli", "ping"] } },
                    "securityContext": { "readOnlyRootFilesystem": false },
                    "volumeMounts": [{ "name": "modules", "mountPath": "/modules" }],
                },
            ],
            "initContainers": [
                { "name": "first", "image": "first:1" },
                { "name": "redisnode-agent", "env": [{ "name": "REDISNODE_LOG", "value": "debug" }, { "name": "REDISNODE_DIR", "value": "/x" }] },
            ],
            "volumes": [{ "name": "modules", "emptyDir": {} }, { "name": "data", "emptyDir": { "sizeLimit": 1000 } }],
        },
    }));
    let metadata = template.metadata.clone().unwrap();
    let labels = metadata.labels.unwrap();
    assert_eq!((labels["tier"].as_str(), labels["app.kubernetes.io/instance"].as_str()), ("cache", "my"));
    assert_eq!(metadata.annotations.unwrap()["a"], "b");
    let pod = template.spec.unwrap();
    assert_eq!((pod.tolerations.as_ref().unwrap().len(), pod.termination_grace_period_seconds), (1, Some(300)));
    assert!(pod.affinity.is_some() && pod.node_selector.is_some() && pod.image_pull_secrets.is_some());
    assert!(pod.topology_spread_constraints.as_ref().unwrap().is_empty(), "none is wanted");
    let server = container(&pod, SERVER);
    assert_eq!((server.image.as_deref(), env(server, "TZ").as_deref()), (Some("redis:8.6"), Some("UTC")));
    assert_eq!(server.resources.as_ref().unwrap().requests.as_ref().unwrap()["cpu"].0, "2");
    let probe = server.readiness_probe.as_ref().unwrap();
    assert!(probe.exec.is_none() && probe.http_get.is_some() && probe.period_seconds == Some(7));
    assert_eq!(server.security_context.as_ref().unwrap().read_only_root_filesystem, Some(false));
    assert_eq!(server.volume_mounts.as_ref().unwrap().len(), 3);
    let agent = container(&pod, AGENT);
    assert_eq!(env(agent, "REDISNODE_LOG").as_deref(), Some("debug"));
    assert_eq!(env(agent, "REDISNODE_DIR").as_deref(), Some("/data"));
    let inits: Vec<&str> = pod.init_containers.iter().flatten().map(|c| c.name.as_str()).collect();
    assert_eq!(inits, [INSTALL, AGENT, "first"]);
    let data: Vec<_> = pod.volumes.iter().flatten().filter(|volume| volume.name == DATA).collect();
    assert_eq!(data.len(), 1, "the user's");
}

#[test]
fn what_cannot_work_is_refused_with_what_to_write() {
    let claims = json!({ "size": "1Gi" });
    for (template, storage, said) in [
        (json!({ "restartPolicy": "Never" }), Value::Null, "restartPolicy"),
        (json!({ "terminationGracePeriodSeconds": 1 }), Value::Null, "write 10 or more"),
        (
            json!({ "containers": [{ "name": "redis", "command": ["redis-server"] }] }),
            Value::Null,
            "leave command and args out",
        ),
        (
            json!({ "containers": [{ "name": "redis", "volumeMounts": [{ "name": "a", "mountPath": "/data/" }] }] }),
            Value::Null,
            "write another mountPath",
        ),
        (json!({ "volumes": [{ "name": "redisnode-bin" }] }), Value::Null, "write another name"),
        (json!({ "volumes": [{ "name": "data" }] }), claims, "leave it out here"),
        (json!({ "containers": [{ "name": "redisnode-agent" }] }), Value::Null, "write it there"),
        (json!({ "initContainers": [{ "name": "redis" }] }), Value::Null, "write another one"),
        (
            json!({ "tolerationz": [] }),
            Value::Null,
            "podTemplate.spec.tolerationz: this coordinator knows no such field",
        ),
        (json!({ "containers": "redis" }), Value::Null, "Kubernetes does not take it"),
    ] {
        let mut spec = json!({ "podTemplate": { "spec": template } });
        if !storage.is_null() {
            spec["storage"] = storage;
        }
        let refused = made_of(spec).unwrap_err();
        assert!(refused.0.len() == 1 && refused.to_string().contains(said), "{said}: {refused}");
    }
}

#[test]
fn claims_follow_the_storage() {
    let set = |storage: Value| made_of(json!({ "storage": storage })).unwrap().set.spec.unwrap();
    let without = set(json!({}));
    assert!(without.volume_claim_templates.is_none() && without.persistent_volume_claim_retention_policy.is_none());
    assert!(without.template.spec.unwrap().volumes.unwrap().iter().any(|volume| volume.name == DATA));
    let with = set(json!({ "size": "10Gi", "storageClassName": "fast" }));
    let claim = with.volume_claim_templates.unwrap().remove(0);
    let policy = with.persistent_volume_claim_retention_policy.unwrap();
    assert_eq!((policy.when_deleted.as_deref(), policy.when_scaled.as_deref()), (Some("Retain"), Some("Delete")));
    assert!(with.template.spec.unwrap().volumes.unwrap().iter().all(|volume| volume.name != DATA));
    let spec = claim.spec.unwrap();
    assert_eq!((claim.metadata.name.as_deref(), spec.storage_class_name.as_deref()), (Some(DATA), Some("fast")));
    assert_eq!(spec.access_modes.unwrap(), ["ReadWriteOnce"]);
    assert_eq!(spec.resources.unwrap().requests.unwrap()["storage"].0, "10Gi");
    let template = json!({ "volumeClaimTemplate": { "spec": { "accessModes": ["ReadWriteOncePod"] } } });
    let refused = made_of(json!({ "storage": template })).unwrap_err();
    assert!(refused.to_string().contains("a claim needs a size"), "{refused}");
}

#[test]
fn the_budget_allows_no_eviction_of_an_only_copy() {
    let allowed = |json: Value| made_of(json).unwrap().budget.spec.unwrap().max_unavailable;
    assert_eq!(allowed(json!({})), Some(IntOrString::Int(1)));
    assert_eq!(allowed(json!({ "replicationFactor": 0 })), Some(IntOrString::Int(0)));
    assert_eq!(allowed(json!({ "replicationFactor": 0, "storage": {} })), Some(IntOrString::Int(0)));
    assert_eq!(allowed(json!({ "replicationFactor": 0, "storage": { "size": "1Gi" } })), Some(IntOrString::Int(1)));
}

#[test]
fn every_object_is_owned_labelled_and_finds_the_pods() {
    let Objects { set, nodes, clients, budget } =
        made_of(json!({ "serviceName": "cache", "additionalLabels": { "team": "a" } })).unwrap();
    for metadata in [&set.metadata, &nodes.metadata, &clients.metadata, &budget.metadata] {
        let owner = &metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.uid.as_str(), owner.controller), ("u-1", Some(true)));
        let labels = metadata.labels.as_ref().unwrap();
        assert_eq!(
            (labels["team"].as_str(), labels["app.kubernetes.io/managed-by"].as_str()),
            ("a", "redis-coordinator")
        );
        assert_eq!(metadata.namespace.as_deref(), Some("there"));
    }
    assert_eq!((nodes.metadata.name.as_deref(), clients.metadata.name.as_deref()), (Some("my-nodes"), Some("cache")));
    let spec = set.spec.unwrap();
    assert_eq!((spec.service_name.as_deref(), spec.replicas), (Some("my-nodes"), Some(6)));
    assert_eq!(spec.update_strategy.unwrap().type_.as_deref(), Some("OnDelete"));
    assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
    let pods = spec.template.metadata.unwrap().labels.unwrap();
    let nodes = nodes.spec.unwrap();
    assert_eq!((nodes.cluster_ip.as_deref(), nodes.publish_not_ready_addresses), (Some("None"), Some(true)));
    for selector in
        [spec.selector.match_labels.unwrap(), nodes.selector.unwrap(), clients.spec.unwrap().selector.unwrap()]
    {
        assert!(selector.iter().all(|(name, value)| pods.get(name) == Some(value)));
        assert!(!selector.contains_key("team"), "the user's labels may change, a selector may not");
    }
}

#[test]
fn the_secret_has_the_token_and_for_a_while_a_leave_to_found() {
    let (spec, images) = (spec(json!({})), images());
    let cluster =
        Cluster { name: "my", namespace: "there", uid: "u", spec: &spec, images: &images, users_are_assigned: false };
    let data = |may_found| token_secret(&cluster, "abc", may_found).data.unwrap();
    assert_eq!(data(false)[TOKEN].0, b"abc");
    assert!(data(true).contains_key(MAY_FOUND) && !data(false).contains_key(MAY_FOUND));
    assert_eq!(
        selector_text(cluster.name),
        "app.kubernetes.io/component=node,app.kubernetes.io/instance=my,app.kubernetes.io/name=redisnode"
    );
}

#[test]
fn a_new_coordinator_changes_no_pod_until_the_user_asks_for_other_ones() {
    let set = |json: Value, agent: &str| {
        let (spec, mut images) = (spec(json), images());
        images.agent = agent.to_owned();
        let cluster = Cluster {
            name: "my",
            namespace: "there",
            uid: "u",
            spec: &spec,
            images: &images,
            users_are_assigned: false,
        };
        objects(&cluster, 6).unwrap().set
    };
    let agent = |set: &StatefulSet| {
        container(set.spec.as_ref().unwrap().template.spec.as_ref().unwrap(), AGENT).image.clone().unwrap()
    };
    let old = set(json!({}), "redisnode:1");
    let mut scaled = set(json!({ "numberOfMaster": 5 }), "redisnode:2");
    keep_pods(&mut scaled, &old);
    assert_eq!(agent(&scaled), "redisnode:1");
    let mut asked = set(json!({ "podTemplate": { "metadata": { "annotations": { "a": "b" } } } }), "redisnode:2");
    keep_pods(&mut asked, &old);
    assert_eq!(agent(&asked), "redisnode:2");
}
