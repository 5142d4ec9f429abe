//! The template of the pods: the user's, with our containers in it, and our defaults where the user says nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, SecretVolumeSource, TopologySpreadConstraint, Volume,
};

use super::template::{self, Refused};
use super::{AGENT, Cluster, DATA, INSTALL, SERVER, agent, labels, security, server};

/// The volume of the program that is copied into the server's container.
pub(super) const BIN: &str = "redisnode-bin";
/// The volume of the token.
pub(super) const TOKEN: &str = "redisnode-token";
/// Long enough for a handoff, and for a save of a large data set.
const GRACE_SECONDS: i64 = 120;
/// Less is not enough for a handoff under load.
const LEAST_GRACE_SECONDS: i64 = 10;

/// The template.
pub(super) fn template(cluster: &Cluster) -> Result<PodTemplateSpec, Refused> {
    let mut template = match &cluster.spec.pod_template {
        Some(given) => template::read::<PodTemplateSpec>("podTemplate", given)?,
        None => PodTemplateSpec::default(),
    };
    let mut pod = template.spec.take().unwrap_or_default();
    let refused = refused(cluster, &pod);
    if !refused.is_empty() {
        return Err(Refused(refused));
    }
    let metadata = template.metadata.get_or_insert_default();
    metadata.name = None;
    metadata.namespace = None;
    metadata.labels.get_or_insert_default().extend(labels::all(cluster));
    // What `kubectl logs` and `kubectl exec` mean.
    let shown = "kubectl.kubernetes.io/default-container".to_owned();
    metadata.annotations.get_or_insert_default().entry(shown).or_insert_with(|| SERVER.to_owned());
    containers(cluster, &mut pod);
    volumes(cluster, &mut pod);
    defaults(cluster, &mut pod);
    template.spec = Some(pod);
    Ok(template)
}

/// Ours take the place of their names: what the user says of them is in them already.
fn containers(cluster: &Cluster, pod: &mut PodSpec) {
    let server = server::container(cluster, take(&mut pod.containers, SERVER));
    pod.containers.insert(0, server);
    let inits = pod.init_containers.get_or_insert_default();
    let install = agent::install(cluster, take(inits, INSTALL));
    let sidecar = agent::sidecar(cluster, take(inits, AGENT));
    // First, so that the agent outlives every other sidecar of the pod.
    inits.splice(0..0, [install, sidecar]);
}

/// The container called `name`, out of `containers`; an empty one if there is none.
fn take(containers: &mut Vec<Container>, name: &str) -> Container {
    let given = containers.iter().position(|container| container.name == name).map(|index| containers.remove(index));
    given.unwrap_or_else(|| Container { name: name.to_owned(), ..Container::default() })
}

fn volumes(cluster: &Cluster, pod: &mut PodSpec) {
    let volumes = pod.volumes.get_or_insert_default();
    let folder = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    volumes.push(folder(BIN));
    volumes.push(Volume {
        name: TOKEN.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(cluster.token_secret()),
            // The other keys are for environment variables.
            items: Some(vec![agent::token_item()]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    });
    if !cluster.has_claims() && !volumes.iter().any(|volume| volume.name == DATA) {
        volumes.push(folder(DATA));
    }
}

fn defaults(cluster: &Cluster, pod: &mut PodSpec) {
    pod.restart_policy = Some("Always".to_owned());
    pod.termination_grace_period_seconds.get_or_insert(GRACE_SECONDS);
    // The agent needs no API.
    pod.automount_service_account_token.get_or_insert(false);
    // A Service called redisnode would become variables that the agent takes for its own.
    pod.enable_service_links.get_or_insert(false);
    security::pod(cluster, pod);
    if pod.topology_spread_constraints.is_none() {
        let spread = |key: &str| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(labels::selector(cluster)),
            ..TopologySpreadConstraint::default()
        };
        pod.topology_spread_constraints =
            Some(vec![spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")]);
    }
}

/// What the node cannot work with.
fn refused(cluster: &Cluster, pod: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut no = |field: String, why: &str| found.push(format!("spec.podTemplate.spec.{field}: {why}"));
    if pod.restart_policy.as_ref().is_some_and(|policy| policy != "Always") {
        no("restartPolicy".to_owned(), "a node is there for good; leave it out");
    }
    if pod.termination_grace_period_seconds.is_some_and(|seconds| seconds < LEAST_GRACE_SECONDS) {
        no("terminationGracePeriodSeconds".to_owned(), "a handoff takes its time; write 10 or more, or leave it out");
    }
    for volume in pod.volumes.iter().flatten() {
        let name = &volume.name;
        if name == BIN || name == TOKEN {
            no(format!("volumes.{name}"), "this volume is the coordinator's; write another name");
        } else if name == DATA && cluster.has_claims() {
            no(format!("volumes.{name}"), "this is the volume of spec.storage's claim; leave it out here");
        }
    }
    let inits = pod.init_containers.iter().flatten();
    let all: BTreeMap<&str, &Container> = pod.containers.iter().chain(inits).map(|c| (c.name.as_str(), c)).collect();
    for name in [SERVER, AGENT, INSTALL] {
        let Some(container) = all.get(name) else { continue };
        if container.command.is_some() || container.args.is_some() {
            let why = "the coordinator says what it runs; leave command and args out (directives of the server belong \
                       into spec.redisConfig)";
            no(format!("containers.{name}"), why);
        }
        let mounts = container.volume_mounts.iter().flatten();
        for mount in mounts.filter(|mount| agent::OWN_MOUNTS.contains(&mount.mount_path.trim_end_matches('/'))) {
            let why = format!("something is mounted at {} already; write another mountPath", mount.mount_path);
            no(format!("containers.{name}.volumeMounts.{}", mount.name), &why);
        }
    }
    if pod.init_containers.iter().flatten().any(|container| container.name == SERVER) {
        no(format!("initContainers.{SERVER}"), "this is the name of the server's container; write another one");
    }
    if let Some(wrong) = pod.containers.iter().find(|container| [AGENT, INSTALL].contains(&container.name.as_str())) {
        no(format!("containers.{}", wrong.name), "this is the name of an init container; write it there");
    }
    found
}
