//! From pods and machines, as the API server shows them, to members. Pure.
//!
//! A member is gone for good when its pod is deleted and nothing but the pod kept its data, or when its machine is. One
//! whose claim keeps the data comes back: it is listed, silent, until its next pod speaks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kube::ResourceExt;
use redisnode_planner::{MachineMember, Presence};
use redisnode_proto::event::Problem;
use redisnode_proto::spec::{ContainerMemory, Quantity};
use redisnode_proto::{Address, Member, NodeName, Uid};

/// The server's container.
pub const SERVER: &str = "redis";
/// Ports of a node in a pod.
const PORT: u16 = 6379;
const BUS_PORT: u16 = 16379;
const HTTP_PORT: u16 = 8080;
/// The label of a StatefulSet's pod that says which revision of the template it was made from.
pub const REVISION: &str = "controller-revision-hash";
const ZONE: &str = "topology.kubernetes.io/zone";
/// A machine with this taint is off for sure, by the word of who set it.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What there is of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct There<'a> {
    /// The cluster's name: its pods are called `<name>-<ordinal>`.
    pub name: &'a str,
    /// How many pods its StatefulSet runs.
    pub replicas: u32,
    /// The revision that new pods get; absent while the StatefulSet's controller has not said it.
    pub revision: Option<&'a str>,
    /// A claim keeps each member's data when its pod goes.
    pub claims: bool,
}

impl<'a> There<'a> {
    /// The cluster `name`, by its StatefulSet.
    pub fn by(name: &'a str, set: Option<&'a StatefulSet>, claims: bool) -> Self {
        let spec = set.and_then(|set| set.spec.as_ref());
        let status = set.and_then(|set| set.status.as_ref());
        Self {
            name,
            replicas: spec.and_then(|spec| u32::try_from(spec.replicas?).ok()).unwrap_or(0),
            revision: status.and_then(|status| status.update_revision.as_deref()),
            claims,
        }
    }
}

/// The members, by ordinal.
pub fn members(there: &There, pods: &[&Pod], machine: impl Fn(&str) -> Option<NodeState>) -> Vec<MachineMember> {
    let mut members: Vec<MachineMember> = pods.iter().filter_map(|pod| of_pod(there, pod, &machine)).collect();
    if there.claims {
        let missing = (0..there.replicas).filter_map(|ordinal| NodeName::of(there.name, ordinal).ok());
        let missing = missing.filter(|name| members.iter().all(|member| member.member.name != *name));
        let missing: Vec<MachineMember> = missing.filter_map(between_pods).collect();
        members.extend(missing);
    }
    members.sort_by_key(|member| member.member.name.ordinal());
    members
}

/// What counts of the machine that a pod runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Its zone, if it has the label.
    pub zone: Option<String>,
    /// It is off for sure.
    pub out_of_service: bool,
}

impl NodeState {
    /// What counts of `node`.
    pub fn of(node: &Node) -> Self {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
        Self {
            zone: node.labels().get(ZONE).cloned(),
            out_of_service: taints.is_some_and(|taints| taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)),
        }
    }
}

fn of_pod(there: &There, pod: &Pod, machine: impl Fn(&str) -> Option<NodeState>) -> Option<MachineMember> {
    let name: NodeName = pod.name_any().parse().ok()?;
    let uid: Uid = pod.uid()?.parse().ok()?;
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref();
    let host = spec.node_name.clone();
    let state = host.as_deref().map(&machine);
    // Its machine was deleted, or is off for sure: nothing of the pod runs any more.
    let lost = matches!(&state, Some(None)) || state.iter().flatten().any(|state| state.out_of_service);
    let over =
        status.and_then(|status| status.phase.as_deref()).is_some_and(|phase| matches!(phase, "Failed" | "Succeeded"));
    let presence = match (lost, over) {
        (true, _) if !there.claims => Presence::Gone,
        (true, _) | (_, true) => Presence::Down,
        (false, false) => Presence::Present,
    };
    let ip = status.and_then(|status| status.pod_ip.as_deref()?.parse().ok());
    let revision = pod.labels().get(REVISION).map(String::as_str);
    Some(MachineMember {
        member: Member { name, uid },
        address: address(ip),
        host,
        zone: state.flatten().and_then(|state| state.zone),
        presence,
        outdated: matches!((there.revision, revision), (Some(wanted), Some(has)) if wanted != has)
            && pod.metadata.deletion_timestamp.is_none(),
        unborn: server_status(pod).is_none_or(never_ran) && !lost,
        memory: memory(spec),
    })
}

/// Of the server's container, as it was admitted: a LimitRange may have filled in what the template left open.
fn memory(pod: &PodSpec) -> ContainerMemory {
    let resources = pod.containers.iter().find(|container| container.name == SERVER).and_then(|c| c.resources.as_ref());
    let of = |amounts: Option<&BTreeMap<String, Amount>>| {
        amounts?.get("memory")?.0.parse::<Quantity>().ok().map(Quantity::bytes)
    };
    ContainerMemory {
        limit: of(resources.and_then(|resources| resources.limits.as_ref())),
        request: of(resources.and_then(|resources| resources.requests.as_ref())),
    }
}

fn server_status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == SERVER)
}

/// Why a pod does not come up, if it says so.
pub fn trouble(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let all = [&status.init_container_statuses, &status.container_statuses];
    let waiting = all.into_iter().flatten().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason =
            waiting.reason.as_deref().filter(|reason| !matches!(*reason, "PodInitializing" | "ContainerCreating"))?;
        let message = waiting.message.as_deref().unwrap_or("no details");
        Some(format!("container {} of pod {} waits: {reason}: {message}", container.name, pod.name_any()))
    });
    let unschedulable = || {
        let condition =
            status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        let message = condition.message.as_deref().unwrap_or("no details");
        Some(format!("pod {} cannot be placed on any machine: {message}", pod.name_any()))
    };
    waiting.or_else(unschedulable).map(|sentence| Problem::new("PodNotRunning", sentence))
}

fn never_ran(status: &ContainerStatus) -> bool {
    let waits = status.state.as_ref().is_some_and(|state| state.running.is_none() && state.terminated.is_none());
    let ran = status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    status.restart_count == 0 && waits && !ran
}

/// A member whose pod is not there while its claim is: another incarnation than any that was heard.
fn between_pods(name: NodeName) -> Option<MachineMember> {
    Some(MachineMember {
        member: Member { uid: "between-pods".parse().ok()?, name },
        address: address(None),
        host: None,
        zone: None,
        presence: Presence::Present,
        outdated: false,
        unborn: false,
        memory: ContainerMemory::default(),
    })
}

/// A pod without an address yet has an unspecified one: nobody is called there.
fn address(ip: Option<IpAddr>) -> Address {
    let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Address { ip, port: PORT, bus_port: BUS_PORT, http_port: HTTP_PORT }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const THERE: There<'static> = There { name: "my", replicas: 3, revision: Some("r2"), claims: false };

    fn pod(ordinal: u32, revision: &str, container: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("my-{ordinal}"), "uid": format!("uid-{ordinal}"), "labels": {REVISION: revision},
            },
            "spec": {"nodeName": "node-1", "containers": []},
            "status": {"podIP": "10.0.0.7", "phase": "Running", "containerStatuses": [container]},
        }))
        .unwrap()
    }

    fn server(state: &Value, restarts: u32) -> Value {
        json!({
            "name": "redis", "image": "", "imageID": "", "ready": true, "restartCount": restarts, "state": state,
        })
    }

    fn running() -> Value {
        server(&json!({"running": {}}), 0)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the caller needs it")]
    fn here(_: &str) -> Option<NodeState> {
        Some(NodeState { zone: Some("a".to_owned()), out_of_service: false })
    }

    #[test]
    fn a_pod_is_a_member_with_its_address_machine_and_zone() {
        let pod = pod(1, "r2", &running());
        let members = members(&THERE, &[&pod], here);
        let member = &members[0];
        assert_eq!((member.member.name.as_str(), member.member.uid.as_str()), ("my-1", "uid-1"));
        assert_eq!(member.address.server().to_string(), "10.0.0.7:6379");
        assert_eq!((member.host.as_deref(), member.zone.as_deref()), (Some("node-1"), Some("a")));
        assert_eq!((member.presence, member.outdated, member.unborn), (Presence::Present, false, false));
    }

    #[test]
    fn a_pod_of_an_older_template_is_outdated_until_it_is_being_deleted() {
        let mut old = pod(1, "r1", &running());
        assert!(members(&THERE, &[&old], here)[0].outdated);
        old.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert!(!members(&THERE, &[&old], here)[0].outdated);
        let unsaid = There { revision: None, ..THERE };
        assert!(!members(&unsaid, &[&pod(1, "r1", &running())], here)[0].outdated, "unknown is not outdated");
    }

    #[test]
    fn the_memory_is_that_of_the_servers_container() {
        let mut sized = pod(1, "r2", &running());
        let containers = json!([
            {"name": "beside", "resources": {"limits": {"memory": "1Mi"}}},
            {"name": "redis", "resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "500M", "cpu": "1"}}},
        ]);
        sized.spec.as_mut().unwrap().containers = serde_json::from_value(containers).unwrap();
        let memory = members(&THERE, &[&sized], here)[0].memory;
        assert_eq!((memory.limit, memory.request), (Some(1 << 30), Some(500_000_000)));
        assert_eq!(members(&THERE, &[&pod(1, "r2", &running())], here)[0].memory, ContainerMemory::default());
    }

    #[test]
    fn only_a_server_that_was_never_started_is_unborn() {
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff"}});
        let unborn = |container: &Value| members(&THERE, &[&pod(1, "r2", container)], here)[0].unborn;
        assert!(unborn(&server(&waiting, 0)));
        assert!(!unborn(&server(&waiting, 1)) && !unborn(&running()));
        assert!(!unborn(&server(&json!({"terminated": {"exitCode": 1}}), 0)));
    }

    #[test]
    fn a_member_whose_machine_is_gone_is_gone_unless_a_claim_keeps_its_data() {
        let pod = pod(1, "r2", &running());
        let off = |_: &str| Some(NodeState { zone: None, out_of_service: true });
        assert_eq!(members(&THERE, &[&pod], |_| None)[0].presence, Presence::Gone);
        assert_eq!(members(&THERE, &[&pod], off)[0].presence, Presence::Gone);
        let claims = There { claims: true, replicas: 2, ..THERE };
        assert_eq!(members(&claims, &[&pod], off)[1].presence, Presence::Down);
    }

    #[test]
    fn a_member_between_two_pods_is_listed_only_where_a_claim_keeps_its_data() {
        let pod = pod(1, "r2", &running());
        assert_eq!(members(&THERE, &[&pod], here).len(), 1);
        let claims = There { claims: true, ..THERE };
        let three = members(&claims, &[&pod], here);
        assert_eq!(three.iter().map(|m| m.member.name.as_str()).collect::<Vec<_>>(), ["my-0", "my-1", "my-2"]);
        assert!(three[0].address.ip.is_unspecified() && !three[0].unborn);
    }
}
