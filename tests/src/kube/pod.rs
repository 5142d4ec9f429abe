//! A pod as the API server describes it. What is not known yet is `None`, not empty.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::at::At;

/// A pod, as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another pod of the same name has another.
    pub uid: String,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// Its node, once it is scheduled.
    pub node: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// Whether its condition Ready is true.
    pub is_ready: bool,
    /// Whether it has been told to end.
    pub is_ending: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The ids of its containers that have run, init containers (and so native sidecars) too, by name.
    pub containers: BTreeMap<String, String>,
    /// How often each container was started again.
    pub restarts: BTreeMap<String, u64>,
}

impl Pod {
    /// Reads a pod of the API.
    pub fn read(object: &Value) -> Result<Self, String> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let must = |at: &str| text(at).ok_or_else(|| format!("a pod without {at}"));
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        let (containers, restarts) = statuses(object);
        Ok(Self {
            namespace: must("/metadata/namespace")?,
            name: must("/metadata/name")?,
            uid: must("/metadata/uid")?,
            ip: text("/status/podIP").and_then(|ip| ip.parse().ok()),
            node: text("/spec/nodeName"),
            phase: text("/status/phase").unwrap_or_default(),
            is_ready: is_ready(object),
            is_ending: text("/metadata/deletionTimestamp").is_some(),
            labels: labels
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
            containers,
            restarts,
        })
    }

    /// Where one of its ports is. Panics if it has no address yet.
    #[track_caller]
    pub fn at(&self, port: u16) -> At {
        let Some(ip) = self.ip else { panic!("pod {} has no address yet", self.name) };
        SocketAddr::new(ip, port).into()
    }

    /// Its path in the API.
    pub fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }
}

fn is_ready(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn statuses(object: &Value) -> (BTreeMap<String, String>, BTreeMap<String, u64>) {
    let (mut ids, mut restarts) = (BTreeMap::new(), BTreeMap::new());
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in object.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = status["name"].as_str() else { continue };
            if let Some(count) = status["restartCount"].as_u64() {
                restarts.insert(name.to_owned(), count);
            }
            if let Some(id) = status["containerID"].as_str().and_then(|id| id.strip_prefix("containerd://")) {
                ids.insert(name.to_owned(), id.to_owned());
            }
        }
    }
    (ids, restarts)
}

#[cfg(test)]
mod tests {
    use super::Pod;

    #[test]
    fn a_pod_that_has_only_been_made_has_no_address_and_is_not_ready() {
        let object = serde_json::json!({"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "spec": {},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}});
        let pod = Pod::read(&object).unwrap();
        assert_eq!((pod.ip, pod.node, pod.is_ready, pod.is_ending), (None, None, false, false));
        assert!(Pod::read(&serde_json::json!({})).is_err());
    }

    #[test]
    fn a_sidecar_is_found_among_the_init_containers() {
        let object = serde_json::json!({"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "status": {
            "podIP": "10.244.1.2", "initContainerStatuses": [{"name": "side", "containerID": "containerd://a", "restartCount": 2}],
            "containerStatuses": [{"name": "main", "containerID": "containerd://b", "restartCount": 0}]}});
        let pod = Pod::read(&object).unwrap();
        assert_eq!(pod.containers["side"], "a");
        assert_eq!(pod.restarts["side"], 2);
        assert_eq!(pod.at(6379).to_string(), "10.244.1.2:6379");
    }
}
