//! Every write to the API server for one cluster. Each is made only while this process leads, and carries what it was
//! decided on: a leader that has slept changes nothing.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kubernetes::ask::ask_unless;
use crate::kubernetes::lease::Leadership;

/// Whose fields are ours, for the API server.
pub const MANAGER: &str = "redis-coordinator";

/// The API server's codes for an object that has changed since it was seen, and for one that is gone: no errors, the next
/// decision is made on what there is then.
const CHANGED: u16 = 409;
const GONE: u16 = 404;

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
        self.check().await?;
        let mut wanted = wanted.clone();
        if let Some(seen) = seen {
            wanted.meta_mut().uid.clone_from(&seen.meta().uid);
            wanted.meta_mut().resource_version.clone_from(&seen.meta().resource_version);
        }
        let name = wanted.name_any();
        let params = PatchParams::apply(MANAGER).force();
        let (api, patch) = (self.api::<K>(), Patch::Apply(&wanted));
        let what = format!("{} {name}", K::kind(&()));
        ask_unless(what, &[CHANGED], api.patch(&name, &params, &patch)).await
    }

    /// Deletes a pod, in order, if it is still the one that this was decided on.
    pub async fn delete_pod(&self, pod: &Pod, at_once: bool) -> Result<(), String> {
        self.check().await?;
        let seen = Preconditions { uid: pod.uid(), resource_version: pod.resource_version() };
        let params = DeleteParams::default().preconditions(seen);
        let params = if at_once { params.grace_period(0) } else { params };
        let name = pod.name_any();
        let api = self.api::<Pod>();
        ask_unless(format!("pod {name}"), &[CHANGED, GONE], api.delete(&name, &params)).await.map(drop)
    }

    /// Sets labels of a pod, if it is still the one that this was decided on.
    pub async fn label_pod(&self, pod: &Pod, labels: &[(&str, Option<&str>)]) -> Result<(), String> {
        self.check().await?;
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), serde_json::json!(value))).collect();
        let patch = serde_json::json!({"metadata": {"uid": pod.uid(), "labels": labels}});
        let name = pod.name_any();
        let (api, params, patch) = (self.api::<Pod>(), PatchParams::default(), Patch::Merge(&patch));
        ask_unless(format!("pod {name}"), &[CHANGED, GONE], api.patch_metadata(&name, &params, &patch)).await.map(drop)
    }

    /// Whether anything may be written: a leader that has slept must not, before it knows who leads now.
    pub async fn check(&self) -> Result<(), String> {
        if self.leadership.holds().await { Ok(()) } else { Err("this coordinator does not lead any more".to_owned()) }
    }
}
