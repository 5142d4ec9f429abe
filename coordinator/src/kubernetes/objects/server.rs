//! The container of the server: the user's image, with the launcher as its process 1.

use k8s_openapi::api::core::v1::{Container, ContainerPort, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::BIN;
use super::{BUS_PORT, Cluster, DATA, HTTP_PORT, PORT, agent, security};

/// From what the user says of it.
pub(super) fn container(cluster: &Cluster, mut container: Container) -> Container {
    container.image.get_or_insert_with(|| cluster.images.server.clone());
    let command = [&format!("{}/redisnode", agent::BIN_DIR), "launch", "--dir", agent::DATA_DIR];
    container.command = Some(command.map(str::to_owned).into());
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(agent::mount(BIN, agent::BIN_DIR, true));
    mounts.push(agent::mount(DATA, agent::DATA_DIR, false));
    let ports = container.ports.get_or_insert_default();
    for (name, number) in [("redis", PORT), ("bus", BUS_PORT)] {
        if !ports.iter().any(|port| port.container_port == number) {
            ports.push(port(name, number));
        }
    }
    // The agent excuses a server that loads, saves or waits; how long it may take to answer is the user's.
    container.liveness_probe = Some(probe(container.liveness_probe, "/livez", (10, 5, 6)));
    container.readiness_probe = Some(probe(container.readiness_probe, "/readyz", (2, 3, 2)));
    container.security_context = Some(security::container(container.security_context));
    container
}

/// A question to the agent, at the user's pace or at (period, time-out, failures) of ours.
fn probe(given: Option<Probe>, path: &str, (period, timeout, failures): (i32, i32, i32)) -> Probe {
    let given = given.unwrap_or_default();
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(HTTP_PORT),
            ..HTTPGetAction::default()
        }),
        exec: None,
        grpc: None,
        tcp_socket: None,
        period_seconds: given.period_seconds.or(Some(period)),
        timeout_seconds: given.timeout_seconds.or(Some(timeout)),
        failure_threshold: given.failure_threshold.or(Some(failures)),
        ..given
    }
}

/// A port, over TCP.
pub(super) fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}
