//! Every write to the API server for one cluster. Each is made only while this process leads, and carries what it was
//! decided on: a leader that has slept changes nothing. A write that was on its way when the leader fell asleep, or was
//! cut off, arrives after the next one has marked the StatefulSet with its life, and is refused.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kubernetes::ask::{CHANGED, DEADLINE, GONE, ask_within};
use crate::kubernetes::lease::Leadership;

/// Whose fields are ours, for the API server.
pub const MANAGER: &str = "redis-coordinator";

/// Writes in one namespace.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    namespace: String,
    leadership: Leadership,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Writer").field(&self.namespace).finish()
    }
}

impl Writer {
    /// Writes in `namespace` as long as `leadership` lasts.
    pub fn new(client: Client, namespace: String, leadership: Leadership) -> Self {
        Self { client, namespace, leadership }
    }

    /// A view of the API that is only read.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes an object be as wanted: fields of others stay, fields of ours that are not wanted any more go. `seen` is the
    /// object that this was decided on; if it has changed meanwhile, nothing is written, and the answer is `None`: the next
    /// decision is made on what it is then.
    pub async fn apply<K>(&self, wanted: &K, seen: Option<&K>) -> Result<Option<K>, String>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let time = self.time().await?;
        let mut wanted = wanted.clone();
        if let Some(seen) = seen {
            wanted.meta_mut().uid.clone_from(&seen.meta().uid);
            wanted.meta_mut().resource_version.clone_from(&seen.meta().resource_version);
        }
        let name = wanted.name_any();
        let params = PatchParams::apply(MANAGER).force();
        let (api, patch) = (self.api::<K>(), Patch::Apply(&wanted));
        let what = format!("{} {name}", K::kind(&()));
        ask_within(time, what, &[CHANGED], api.patch(&name, &params, &patch)).await
    }

    /// Deletes a pod, in order, if it is still the one that this was decided on.
    pub async fn delete_pod(&self, pod: &Pod, at_once: bool) -> Result<(), String> {
        let time = self.time().await?;
        let seen = Preconditions { uid: pod.uid(), resource_version: pod.resource_version() };
        let params = DeleteParams::default().preconditions(seen);
        let params = if at_once { params.grace_period(0) } else { params };
        let name = pod.name_any();
        let api = self.api::<Pod>();
        ask_within(time, format!("pod {name}"), &[CHANGED, GONE], api.delete(&name, &params)).await.map(drop)
    }

    /// Sets labels of a pod, if it is still the one that this was decided on.
    pub async fn label_pod(&self, pod: &Pod, labels: &[(&str, Option<&str>)]) -> Result<(), String> {
        let time = self.time().await?;
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), serde_json::json!(value))).collect();
        let patch = serde_json::json!({"metadata": {"uid": pod.uid(), "labels": labels}});
        let name = pod.name_any();
        let (api, params, patch) = (self.api::<Pod>(), PatchParams::default(), Patch::Merge(&patch));
        let patched = api.patch_metadata(&name, &params, &patch);
        ask_within(time, format!("pod {name}"), &[CHANGED, GONE], patched).await.map(drop)
    }

    /// Whether this process may still write.
    pub async fn check(&self) -> Result<(), String> {
        self.time().await.map(drop)
    }

    /// How long a write may take that begins now.
    async fn time(&self) -> Result<Duration, String> {
        match self.leadership.lasts().await {
            Duration::ZERO => Err("this coordinator does not lead any more".to_owned()),
            left => Ok(left.min(DEADLINE)),
        }
    }

    /// The life of the leader that writes: it differs from that of all others that ever wrote.
    pub fn life(&self) -> String {
        self.leadership.life().to_string()
    }
}
