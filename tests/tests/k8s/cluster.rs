//! A cluster comes to be from its resource, and follows it.

use std::time::Duration;

use redisnode_tests::kube::Kubernetes;
use redisnode_tests::servers;
use redisnode_tests::turn::Turn;
use serde_json::json;

use crate::product::{Cluster, install};

/// How long a creation may take: pods, servers, founding.
const CREATED: Duration = Duration::from_mins(1);

#[test]
fn a_cluster_forms_at_the_restricted_level_spread_over_zones() {
    let _turn = Turn::take();
    let Some(kube) = Kubernetes::shared() else { return };
    let namespace = kube.namespace("cluster-forms");
    install(&namespace, &servers::system());
    let cluster = Cluster::apply(&namespace, "rc", "numberOfMaster: 3\nreplicationFactor: 1\nnodeTimeout: 15s");
    let view = cluster.wait_ready(6, CREATED);
    view.is_even(3).unwrap();
    let resource = cluster.resource().unwrap();
    assert_eq!(resource["status"]["placement"], "Optimal", "{resource:#}");
    let pods = cluster.pods().unwrap();
    let role =
        |role: &str| pods.iter().filter(|pod| pod.labels.get("redisnode.io/role").is_some_and(|r| r == role)).count();
    assert_eq!((role("primary"), role("replica")), (3, 3), "{pods:?}");
    let table = namespace.kubectl(&["get", "rdc", "rc"]);
    assert!(table.contains("6/6/6") && table.contains("ClusterOK"), "{table}");
    cluster.patch(&json!({"numberOfMaster": 4}));
    cluster.wait_ready(8, CREATED).is_even(4).unwrap();
    cluster.patch(&json!({"numberOfMaster": 3}));
    cluster.wait_ready(6, CREATED).is_even(3).unwrap();
}
