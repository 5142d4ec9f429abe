//! The agent's two init containers: one that copies its program for the server's container, one that is the agent.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector, Probe, ResourceRequirements, SecretKeySelector,
    TCPSocketAction, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::{BIN, TOKEN};
use super::{BUS_PORT, Cluster, DATA, HTTP_PORT, PORT, security, server, token};

/// Where the program is.
pub(super) const BIN_DIR: &str = "/opt/redisnode";
/// The member's folder.
pub(super) const DATA_DIR: &str = "/data";
/// Where the token is.
const TOKEN_DIR: &str = "/etc/redisnode/token";
/// Where the user's volumes cannot be mounted.
pub(super) const OWN_MOUNTS: [&str; 3] = [BIN_DIR, DATA_DIR, TOKEN_DIR];

/// Copies the program, and ends.
pub(super) fn install(cluster: &Cluster, given: Container) -> Container {
    let mut container = common(cluster, given, &["install", BIN_DIR]);
    container.volume_mounts.get_or_insert_default().push(mount(BIN, BIN_DIR, false));
    container
}

/// The agent: a native sidecar, which starts before the server and stops after it.
pub(super) fn sidecar(cluster: &Cluster, given: Container) -> Container {
    let mut container = common(cluster, given, &["agent"]);
    container.restart_policy = Some("Always".to_owned());
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(mount(DATA, DATA_DIR, false));
    mounts.push(mount(TOKEN, TOKEN_DIR, true));
    let env = container.env.get_or_insert_default();
    let own = environment(cluster);
    env.retain(|given| !own.iter().any(|own| own.name == given.name));
    env.extend(own);
    let ports = container.ports.get_or_insert_default();
    if !ports.iter().any(|port| port.container_port == HTTP_PORT) {
        ports.push(server::port("agent", HTTP_PORT));
    }
    container.liveness_probe = Some(container.liveness_probe.unwrap_or_else(liveness));
    container
}

fn common(cluster: &Cluster, mut container: Container, args: &[&str]) -> Container {
    container.image.get_or_insert_with(|| cluster.images.agent.clone());
    if container.image_pull_policy.is_none() {
        container.image_pull_policy.clone_from(&cluster.images.agent_pull_policy);
    }
    container.args = Some(args.iter().map(|arg| (*arg).to_owned()).collect());
    container.resources.get_or_insert_with(resources);
    container.security_context = Some(security::container(container.security_context));
    container
}

/// Of its own: the server's hunger for memory does not end the agent.
fn resources() -> ResourceRequirements {
    let amounts = |all: &[(&str, &str)]| {
        Some(all.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect())
    };
    ResourceRequirements {
        requests: amounts(&[("cpu", "10m"), ("memory", "16Mi")]),
        limits: amounts(&[("memory", "128Mi")]),
        claims: None,
    }
}

/// Whether the agent itself answers at all: its own word about the server is the server's probe.
fn liveness() -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(HTTP_PORT), host: None }),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        failure_threshold: Some(6),
        ..Probe::default()
    }
}

fn environment(cluster: &Cluster) -> Vec<EnvVar> {
    let value = |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    let field = |name: &str, path: &str| {
        let field_ref = Some(ObjectFieldSelector { field_path: path.to_owned(), api_version: Some("v1".to_owned()) });
        let source = EnvVarSource { field_ref, ..EnvVarSource::default() };
        EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
    };
    vec![
        field("REDISNODE_NAME", "metadata.name"),
        field("REDISNODE_UID", "metadata.uid"),
        field("REDISNODE_IP", "status.podIP"),
        value("REDISNODE_CLUSTER", format!("{}.{}", cluster.namespace, cluster.name)),
        value("REDISNODE_DIR", DATA_DIR.to_owned()),
        value("REDISNODE_TOKEN_FILE", format!("{TOKEN_DIR}/{}", token::TOKEN)),
        value("REDISNODE_SERVER", "auto".to_owned()),
        value("REDISNODE_PEERS", format!("{}.{}.svc", cluster.nodes_service(), cluster.namespace)),
        // Port-forwarding and `kubectl exec … redis-cli` come in over the pod's loopback.
        value("REDISNODE_LISTEN", "all".to_owned()),
        value("REDISNODE_PORT", PORT.to_string()),
        value("REDISNODE_BUS_PORT", BUS_PORT.to_string()),
        value("REDISNODE_HTTP_PORT", HTTP_PORT.to_string()),
        may_found(cluster),
    ]
}

fn may_found(cluster: &Cluster) -> EnvVar {
    let secret_key_ref = Some(SecretKeySelector {
        name: cluster.token_secret(),
        key: token::MAY_FOUND.to_owned(),
        optional: Some(true),
    });
    let source = EnvVarSource { secret_key_ref, ..EnvVarSource::default() };
    EnvVar { name: "REDISNODE_MAY_FOUND".to_owned(), value: None, value_from: Some(source) }
}

/// The key of the Secret that is a file.
pub(super) fn token_item() -> KeyToPath {
    KeyToPath { key: token::TOKEN.to_owned(), path: token::TOKEN.to_owned(), mode: None }
}

/// A mount of `volume` at `path`.
pub(super) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
