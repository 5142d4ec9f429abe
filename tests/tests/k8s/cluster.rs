//! A cluster comes to be from its resource, and follows it.

use std::time::Duration;

use redisnode_tests::kube::Pod;
use redisnode_tests::turn::Turn;
use serde_json::json;

use crate::product::Cluster;
use crate::run::on_scenes;

/// How long a creation may take: pods, servers, founding.
const CREATED: Duration = Duration::from_mins(1);
/// A user that no image knows, with group 0, as OpenShift deals them.
const ASSIGNED: &str = "podTemplate: {spec: {securityContext: {runAsUser: 1000680000, runAsGroup: 0}}}";

#[test]
fn a_cluster_forms_at_the_restricted_level_as_any_user_spread_over_zones() {
    on_scenes("cluster-forms", &["redis-7.0"], Turn::take, |scene| {
        let spec = format!("numberOfMaster: 3\nreplicationFactor: 1\nnodeTimeout: 15s\n{ASSIGNED}");
        let cluster = Cluster::apply(&scene.namespace, "rc", &spec);
        scene.step("form 3+3 as any user", || cluster.wait_ready(6, CREATED).is_even(3).unwrap());
        let resource = cluster.resource().unwrap();
        assert_eq!(resource["status"]["placement"], "Optimal", "{resource:#}");
        assert!(resource["status"]["placementReason"].is_null(), "{resource:#}");
        let pods = cluster.pods().unwrap();
        let has = |pod: &&Pod, role: &str| pod.labels.get("redisnode.io/role").is_some_and(|r| r == role);
        let count = |role: &str| pods.iter().filter(|pod| has(pod, role)).count();
        assert_eq!((count("primary"), count("replica")), (3, 3), "{pods:?}");
        let user = scene.namespace.exec("rc-0", "redis", &["id"]).unwrap();
        assert!(user.contains("uid=1000680000") && user.contains("gid=0"), "{user}");
        let table = scene.namespace.kubectl(&["get", "rdc", "rc"]);
        assert!(table.contains("6/6/6") && table.contains("ClusterOK"), "{table}");
        cluster.patch(&json!({"numberOfMaster": 4}));
        cluster.wait_ready(8, CREATED).is_even(4).unwrap();
        cluster.patch(&json!({"numberOfMaster": 3}));
        cluster.wait_ready(6, CREATED).is_even(3).unwrap();
    });
}
