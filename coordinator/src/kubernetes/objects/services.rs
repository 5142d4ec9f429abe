//! The two Services: one by which the nodes find each other, one for clients.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{BUS_PORT, Cluster, HTTP_PORT, PORT, labels};

/// Headless: a name for each pod, before it is ready too, because it is not before the others have found it.
pub(super) fn nodes(cluster: &Cluster) -> Service {
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        ports: Some(vec![port("redis", PORT), port("bus", BUS_PORT), port("agent", HTTP_PORT)]),
        selector: Some(pods(cluster)),
        ..ServiceSpec::default()
    };
    Service { metadata: cluster.metadata(cluster.nodes_service()), spec: Some(spec), status: None }
}

/// For clients: any ready node tells them of all others.
pub(super) fn clients(cluster: &Cluster) -> Service {
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        ports: Some(vec![port("redis", PORT)]),
        selector: Some(pods(cluster)),
        ..ServiceSpec::default()
    };
    Service { metadata: cluster.metadata(cluster.clients_service()), spec: Some(spec), status: None }
}

fn pods(cluster: &Cluster) -> BTreeMap<String, String> {
    labels::selector(cluster).match_labels.unwrap_or_default()
}

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(port)),
        ..ServicePort::default()
    }
}
