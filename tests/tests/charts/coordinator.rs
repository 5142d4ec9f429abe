//! The chart redis-coordinator: what it runs, how, and with which rights.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chart::{Chart, Rendered, text, texts};
use crate::values::refused;

/// Group, resource and verbs of what it may do to clusters.
const RIGHTS: [(&str, &str, &str); 9] = [
    ("redisnode.io", "redisclusters", "list watch"),
    ("redisnode.io", "redisclusters/status", "patch"),
    ("redisnode.io", "redisclusters/finalizers", "update"),
    ("", "pods", "list watch patch delete"),
    ("apps", "statefulsets", "list watch create patch"),
    ("", "services", "list watch create patch"),
    ("policy", "poddisruptionbudgets", "list watch create patch"),
    ("", "secrets", "get create patch"),
    ("events.k8s.io", "events", "create patch"),
];
/// What no namespace holds.
const OF_NODES: (&str, &str, &str) = ("", "nodes", "list watch");
/// In its own namespace.
const OF_LEASES: (&str, &str, &str) = ("coordination.k8s.io", "leases", "get create update");

/// Values that differ from all defaults.
pub(crate) fn everything() -> Value {
    let image = |name: &str| {
        json!({"repository": format!("registry.example.com:5000/team/{name}"), "tag": "7", "pullPolicy": "Always",
            "digest": format!("sha256:{}", "0123456789abcdef".repeat(4))})
    };
    json!({
        "replicas": 3, "namespaced": true, "image": image("c"), "agentImage": image("a"), "serverImage": "redis:8.6",
        "imagePullSecrets": [{"name": "registry"}], "usersAreAssigned": true, "logLevel": "info,redis_coordinator=debug",
        "lease": {"name": "leader"}, "crd": {"install": false},
        "protectStatefulSets": true, "serviceAccount": {"create": true, "name": "account", "annotations": {"a": "b"}}, "rbac": {"create": true},
        "nameOverride": "name", "fullnameOverride": "full", "labels": {"team": "shop"},
        "podLabels": {"team": "pods", "app.kubernetes.io/name": "mine"}, "podAnnotations": {"c": "d"},
        "resources": {"limits": {"memory": "64Mi"}}, "podSecurityContext": {"runAsUser": 1234},
        "securityContext": {"runAsGroup": 0}, "nodeSelector": {"e": "f"}, "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}}, "topologySpreadConstraints": [{"maxSkew": 2}], "priorityClassName": "high",
        "terminationGracePeriodSeconds": 5, "podDisruptionBudget": {"create": true},
        "service": {"create": true, "port": 80, "annotations": {"g": "h"}},
        "podMonitor": {"enabled": true, "labels": {"i": "j"}, "interval": "1m", "relabelings": [{"action": "keep"}],
            "metricRelabelings": [{"action": "drop"}]},
    })
}

fn chart() -> Option<Chart> {
    Chart::find("redis-coordinator")
}

fn container(rendered: &Rendered) -> &Value {
    &rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_defaults_are_two_restricted_coordinators_of_all_namespaces() {
    let Some(chart) = chart() else { return };
    let rendered = chart.rendered(&json!({}));
    let name = "shop-redis-coordinator";
    let wanted = ["Deployment", "Role", "RoleBinding", "Service", "ServiceAccount", "PodDisruptionBudget"];
    let mut wanted: BTreeSet<String> = wanted.iter().map(|kind| format!("{kind}/{name}")).collect();
    let of_all = ["ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    wanted.extend(of_all.map(|kind| format!("{kind}/ns-{name}")));
    wanted.extend([format!("Pod/{name}-test"), "CustomResourceDefinition/redisclusters.redisnode.io".to_owned()]);
    assert_eq!(rendered.all(), wanted);
    assert_eq!(rendered.one("Deployment")["spec"]["replicas"], 2);
    let container = container(&rendered);
    let args = texts(&container["args"]);
    assert_eq!(args[0], "kubernetes");
    let version = env!("CARGO_PKG_VERSION");
    assert!(args.contains(&format!("--agent-image=redisnode/redisnode:{version}").as_str()), "{args:?}");
    assert!(args.contains(&"--lease-namespace=ns"), "{args:?}");
    assert!(!args.iter().any(|arg| arg.starts_with("--namespace") || arg.starts_with("--users")), "{args:?}");
    for pod in [&rendered.one("Deployment")["spec"]["template"]["spec"], &rendered.one("Pod")["spec"]] {
        let (whole, container) = (&pod["securityContext"], &pod["containers"][0]["securityContext"]);
        assert_eq!(*whole, json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}));
        assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(
            (&container["allowPrivilegeEscalation"], &container["readOnlyRootFilesystem"]),
            (&json!(false), &json!(true))
        );
    }
}

#[test]
fn all_values_arrive_where_they_belong() {
    let Some(chart) = chart() else { return };
    let rendered = chart.rendered(&everything());
    assert_eq!(rendered.all().len(), 12, "no definition, but a PodMonitor: {:?}", rendered.all());
    let protected = &rendered.one("ValidatingAdmissionPolicy")["spec"]["matchConstraints"];
    assert_eq!(protected["namespaceSelector"]["matchLabels"], json!({"kubernetes.io/metadata.name": "ns"}));
    let deployment = rendered.one("Deployment");
    let (pod, container) = (&deployment["spec"]["template"], container(&rendered));
    let digest = format!("registry.example.com:5000/team/c@sha256:{}", "0123456789abcdef".repeat(4));
    assert_eq!(container["image"], digest);
    let args = texts(&container["args"]);
    for arg in ["--namespace=ns", "--users-are-assigned", "--lease-name=leader", "--server-image=redis:8.6"] {
        assert!(args.contains(&arg), "no {arg} in {args:?}");
    }
    assert!(args.contains(&"--agent-pull-policy=Always"), "{args:?}");
    assert_eq!(pod["metadata"]["labels"]["team"], "pods");
    assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/name"], "name", "what finds the pods is not overridden");
    let spec = &pod["spec"];
    assert_eq!(spec["securityContext"]["runAsUser"], 1234);
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "the rest stays");
    assert_eq!(container["securityContext"]["runAsGroup"], 0);
    assert_eq!(spec["serviceAccountName"], "account");
    assert_eq!(spec["topologySpreadConstraints"], json!([{"maxSkew": 2}]));
    assert_eq!(rendered.one("Service")["spec"]["ports"][0]["port"], 80);
    assert_eq!(texts(&rendered.one("Pod")["spec"]["containers"][0]["args"]), ["check", "full.ns.svc:80"]);
    assert_eq!(rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"][0]["interval"], "1m");
}

#[test]
fn openshift_is_recognised() {
    let Some(chart) = chart() else { return };
    let there = ["--api-versions", "security.openshift.io/v1"];
    let args = |values: Value| {
        let rendered = chart.render(&values, &there).unwrap();
        texts(&container(&rendered)["args"]).contains(&"--users-are-assigned")
    };
    assert!(args(json!({})));
    assert!(!args(json!({"usersAreAssigned": false})));
}

#[test]
fn wrong_values_are_refused() {
    let Some(chart) = chart() else { return };
    let wrong = [
        ("replicas", json!("two")),
        ("replicas", json!(9)),
        ("namespaced", json!("yes")),
        ("image/tag", json!(8)),
        ("image/repository", json!("name:tag")),
        ("agentImage/pullPolicy", json!("Sometimes")),
        ("serverImage", json!("")),
        ("usersAreAssigned", json!("perhaps")),
        ("logLevel", json!("loud")),
        ("service/port", json!(0)),
        ("podMonitor/interval", json!("often")),
        ("lease/name", json!("A_B")),
    ];
    refused(&chart, &wrong);
}

#[test]
fn the_definition_is_the_generated_one_and_is_kept() {
    let Some(chart) = chart() else { return };
    let rendered = chart.rendered(&json!({}));
    let definition = rendered.one("CustomResourceDefinition");
    assert_eq!(*definition, chart.yaml("files/crd.yaml"));
    assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
}

/// The rules of a role, as (group, resource, verbs).
fn rules(role: &Value) -> BTreeSet<(String, String, String)> {
    let one = |list: &Value| {
        let list = texts(list);
        assert_eq!(list.len(), 1, "a rule is about one thing: {role:#}");
        list[0].to_owned()
    };
    let rules = role["rules"].as_array().expect("a role has rules");
    let read = |rule: &Value| {
        assert_eq!(rule.as_object().expect("a rule").len(), 3, "{rule}");
        (one(&rule["apiGroups"]), one(&rule["resources"]), texts(&rule["verbs"]).join(" "))
    };
    rules.iter().map(read).collect()
}

fn owned(rules: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    rules.iter().map(|(group, resource, verbs)| ((*group).into(), (*resource).into(), (*verbs).into())).collect()
}

#[test]
fn its_rights_are_these_and_no_more() {
    let Some(chart) = chart() else { return };
    let everywhere = chart.rendered(&json!({}));
    assert_eq!(rules(everywhere.one("ClusterRole")), owned(&[&RIGHTS[..], &[OF_NODES]].concat()));
    assert_eq!(rules(everywhere.one("Role")), owned(&[OF_LEASES]));
    let here = chart.rendered(&json!({"namespaced": true}));
    assert_eq!(rules(here.one("ClusterRole")), owned(&[OF_NODES]));
    assert_eq!(rules(here.one("Role")), owned(&[&RIGHTS[..], &[OF_LEASES]].concat()));
    for rendered in [everywhere, here] {
        for kind in ["RoleBinding", "ClusterRoleBinding"] {
            let binding = rendered.one(kind);
            let subject = json!({"kind": "ServiceAccount", "name": "shop-redis-coordinator", "namespace": "ns"});
            assert_eq!(binding["subjects"], json!([subject]));
            let role = rendered.one(kind.trim_end_matches("Binding"));
            assert_eq!(text(&binding["roleRef"]["name"]), text(&role["metadata"]["name"]));
        }
        assert!(
            text(&rendered.one("ClusterRole")["metadata"]["name"]).starts_with("ns-"),
            "two releases do not share it"
        );
    }
}

#[test]
fn each_rule_has_its_reason() {
    let Some(chart) = chart() else { return };
    let file = chart.file("templates/_rules.tpl");
    let lines: Vec<&str> = file.lines().collect();
    let is_rule = |line: &&str| line.starts_with("- apiGroups");
    assert_eq!(lines.iter().filter(|line| is_rule(line)).count(), RIGHTS.len() + 2);
    for pair in lines.windows(2).filter(|pair| is_rule(&pair[1])) {
        assert!(pair[0].starts_with("# "), "no reason before {}", pair[1]);
    }
}
