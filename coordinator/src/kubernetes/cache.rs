//! What the API server says, kept up to date by watches: one for each kind of object, shared by all clusters.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Node, Pod, PodSpec, PodStatus, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DynamicObject};
use kube::runtime::reflector::{self, Lookup, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::objects::{ROLE, SERVER, SHARD};
use super::resource::api_resource;
use crate::failure::whole;
use crate::machine::pods::members::REVISION;

mod index;

use index::Index;

/// The label that all objects of a cluster have, with its name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label that says whose objects these are.
const MANAGED: &str = "app.kubernetes.io/managed-by=redis-coordinator";

/// Namespace and name of a cluster.
pub type ClusterKey = (String, String);

/// The objects. Clones are the same.
#[derive(Clone)]
pub struct Cache {
    /// All RedisClusters, whatever is in them.
    pub clusters: Store<DynamicObject>,
    /// The pods of all clusters.
    pods: Store<Pod>,
    of_each: Index,
    /// The StatefulSets of all clusters.
    pub sets: Store<StatefulSet>,
    /// The Services of all clusters.
    pub services: Store<Service>,
    /// The PodDisruptionBudgets of all clusters.
    pub budgets: Store<PodDisruptionBudget>,
    /// The machines.
    pub nodes: Store<Node>,
    changes: Arc<Changes>,
}

impl Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// Whom a change concerns.
enum Concerned {
    Nobody,
    One(ClusterKey),
    All,
}

/// Tells of changes.
#[derive(Default)]
struct Changes {
    clusters: Mutex<BTreeMap<ClusterKey, watch::Sender<()>>>,
    resources: watch::Sender<()>,
}

impl Cache {
    /// Watches in one namespace, or in all of them. The watches end with `tasks`.
    pub fn start(client: &Client, namespace: Option<&str>, tasks: &mut JoinSet<String>) -> Self {
        let changes = Arc::new(Changes::default());
        let all = watcher::Config::default();
        let ours = all.clone().labels(MANAGED);
        let resource = api_resource();
        let clusters = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let writer = reflector::store::Writer::new(resource);
        let of_each = Index::default();
        let index = of_each.clone();
        let cache = Self {
            clusters: writer.as_reader(),
            pods: follow(
                client,
                namespace,
                &ours,
                slim_pod,
                move |event, store| index.note(event, store),
                &changes,
                tasks,
            ),
            of_each,
            sets: follow(client, namespace, &ours, without_managers, |_, _| {}, &changes, tasks),
            services: follow(client, namespace, &ours, slim_service, |_, _| {}, &changes, tasks),
            budgets: follow(client, namespace, &ours, slim_budget, |_, _| {}, &changes, tasks),
            nodes: follow_nodes(client, &changes, tasks),
            changes: Arc::clone(&changes),
        };
        let stream = watcher(clusters, all).default_backoff().modify(without_managers).reflect(writer);
        tasks.spawn(watching("RedisClusters".to_owned(), stream, move |event| {
            let (changes, concerned) = (Arc::clone(&changes), concerned(event, itself));
            async move {
                changes.resources.send_replace(());
                changes.tell(concerned).await;
            }
        }));
        cache
    }

    /// Waits until everything was listed once.
    pub async fn ready(&self) {
        // The stores outlive their writers only at the end of the process.
        drop(self.clusters.wait_until_ready().await);
        drop(self.pods.wait_until_ready().await);
        drop(self.sets.wait_until_ready().await);
        drop(self.services.wait_until_ready().await);
        drop(self.budgets.wait_until_ready().await);
        drop(self.nodes.wait_until_ready().await);
    }

    /// The pods of one cluster.
    pub fn pods_of(&self, key: &ClusterKey) -> Vec<Arc<Pod>> {
        self.of_each.pods(key, &self.pods)
    }

    /// One pod of a cluster.
    pub fn pod(&self, key: &ClusterKey, name: &str) -> Option<Arc<Pod>> {
        self.pods.get(&ObjectRef::new(name).within(&key.0))
    }

    /// Tells whenever a RedisCluster has changed.
    pub fn resources_changed(&self) -> watch::Receiver<()> {
        self.changes.resources.subscribe()
    }

    /// Tells whenever an object of one cluster has changed.
    pub async fn subscribe(&self, key: &ClusterKey) -> watch::Receiver<()> {
        let mut clusters = self.changes.clusters.lock().await;
        clusters.entry(key.clone()).or_default().subscribe()
    }

    /// Nobody listens for this cluster any more.
    pub async fn forget(&self, key: &ClusterKey) {
        self.changes.clusters.lock().await.remove(key);
    }
}

impl Changes {
    async fn tell(&self, concerned: Concerned) {
        let clusters = self.clusters.lock().await;
        let told: Vec<_> = match concerned {
            Concerned::Nobody => Vec::new(),
            Concerned::One(key) => clusters.get(&key).into_iter().collect(),
            Concerned::All => clusters.values().collect(),
        };
        for sender in told {
            sender.send_replace(());
        }
    }
}

fn follow<K>(
    client: &Client,
    namespace: Option<&str>,
    config: &watcher::Config,
    slim: fn(&mut K),
    note: impl Fn(&watcher::Event<K>, &Store<K>) + Send + 'static,
    changes: &Arc<Changes>,
    tasks: &mut JoinSet<String>,
) -> Store<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Lookup<DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (store, writer) = reflector::store();
    let stream = watcher(api, config.clone()).default_backoff().modify(slim).reflect(writer);
    let changes = Arc::clone(changes);
    let known = store.clone();
    tasks.spawn(watching(<K as Resource>::plural(&()).into_owned(), stream, move |event| {
        note(event, &known);
        let (changes, concerned) = (Arc::clone(&changes), concerned(event, cluster_of));
        async move { changes.tell(concerned).await }
    }));
    store
}

/// What nobody here reads would be most of the memory.
fn without_managers<K: Resource>(object: &mut K) {
    *object.managed_fields_mut() = Vec::new();
}

/// Leaves what the machine of pods reads: most of the objects are pods.
fn slim_pod(pod: &mut Pod) {
    pod.metadata = ObjectMeta {
        name: pod.metadata.name.take(),
        namespace: pod.metadata.namespace.take(),
        uid: pod.metadata.uid.take(),
        resource_version: pod.metadata.resource_version.take(),
        deletion_timestamp: pod.metadata.deletion_timestamp.take(),
        labels: pod.metadata.labels.take(),
        ..ObjectMeta::default()
    };
    if let Some(labels) = &mut pod.metadata.labels {
        labels.retain(|label, _| [INSTANCE, REVISION, ROLE, SHARD].contains(&label.as_str()));
    }
    if let Some(spec) = &mut pod.spec {
        let server = std::mem::take(&mut spec.containers).into_iter().find(|container| container.name == SERVER);
        let slim =
            |server: Container| Container { name: server.name, resources: server.resources, ..Container::default() };
        *spec = PodSpec {
            node_name: spec.node_name.take(),
            containers: server.into_iter().map(slim).collect(),
            ..PodSpec::default()
        };
    }
    if let Some(status) = &mut pod.status {
        let conditions = status.conditions.take().into_iter().flatten().filter(|condition| condition.status == "False");
        *status = PodStatus {
            phase: status.phase.take(),
            pod_ip: status.pod_ip.take(),
            conditions: some(conditions),
            container_statuses: slim_containers(status.container_statuses.take()),
            init_container_statuses: slim_containers(status.init_container_statuses.take()),
            ..PodStatus::default()
        };
    }
}

/// The server's, and those that wait for something.
fn slim_containers(statuses: Option<Vec<ContainerStatus>>) -> Option<Vec<ContainerStatus>> {
    let waits = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let counts = |status: &ContainerStatus| status.name == SERVER || waits(status);
    some(statuses.into_iter().flatten().filter(counts).map(slim_container))
}

/// None of nothing, and no room for more.
fn some<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let mut items: Vec<T> = items.collect();
    items.shrink_to_fit();
    (!items.is_empty()).then_some(items)
}

fn slim_container(status: ContainerStatus) -> ContainerStatus {
    ContainerStatus {
        name: status.name,
        restart_count: status.restart_count,
        state: status.state,
        last_state: status.last_state,
        ..ContainerStatus::default()
    }
}

/// It is written as it is wanted whenever anything in it has changed: what that is makes no difference.
fn slim_service(service: &mut Service) {
    without_managers(service);
    (service.spec, service.status) = (None, None);
}

fn slim_budget(budget: &mut PodDisruptionBudget) {
    without_managers(budget);
    (budget.spec, budget.status) = (None, None);
}

fn follow_nodes(client: &Client, changes: &Arc<Changes>, tasks: &mut JoinSet<String>) -> Store<Node> {
    let (store, writer) = reflector::store();
    let slim = |node: &mut Node| {
        node.managed_fields_mut().clear();
        if let Some(status) = &mut node.status {
            *status = k8s_openapi::api::core::v1::NodeStatus {
                conditions: status.conditions.take(),
                ..k8s_openapi::api::core::v1::NodeStatus::default()
            };
        }
    };
    let api: Api<Node> = Api::all(client.clone());
    let stream = watcher(api, watcher::Config::default()).default_backoff().modify(slim).reflect(writer);
    let changes = Arc::clone(changes);
    tasks.spawn(watching("nodes".to_owned(), stream, move |_| {
        let changes = Arc::clone(&changes);
        async move { changes.tell(Concerned::All).await }
    }));
    store
}

/// The cluster that an object belongs to.
fn cluster_of<K: Resource>(object: &K) -> Option<ClusterKey> {
    ResourceExt::namespace(object).zip(object.labels().get(INSTANCE).cloned())
}

/// The cluster that an object is.
fn itself(object: &DynamicObject) -> Option<ClusterKey> {
    object.metadata.namespace.clone().zip(object.metadata.name.clone())
}

/// Whom an event concerns; `cluster` says whose an object is.
fn concerned<K>(event: &watcher::Event<K>, cluster: impl Fn(&K) -> Option<ClusterKey>) -> Concerned {
    match event {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) | watcher::Event::Delete(object) => {
            cluster(object).map_or(Concerned::Nobody, Concerned::One)
        }
        watcher::Event::Init => Concerned::Nobody,
        // What went while the watch was broken is named by no event.
        watcher::Event::InitDone => Concerned::All,
    }
}

/// Follows a watch for ever. Errors are said, and the watch begins anew by itself: what was known stays.
async fn watching<K, S, F, T>(what: String, stream: S, mut tell: F) -> String
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Hash + Eq + Clone,
    S: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send,
    F: FnMut(&watcher::Event<K>) -> T + Send,
    T: Future<Output = ()> + Send,
{
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => tell(&event).await,
            Err(error) => tracing::warn!(what, error = whole(&error), "a watch broke off; begins anew"),
        }
    }
    format!("the watch of {what} ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::objects::AGENT;

    #[test]
    fn of_a_pod_what_the_machine_reads_is_kept_and_nothing_else() {
        let container = |name: &str| {
            serde_json::json!({"name": name, "image": "i", "command": ["c"],
            "resources": {"limits": {"memory": "1Gi"}}})
        };
        let status = |name: &str, state: &str| {
            serde_json::json!({"name": name, "image": "i", "imageID": "i",
            "ready": true, "restartCount": 1, "state": {state: {}}})
        };
        let condition = |kind: &str, truth: &str| serde_json::json!({"type": kind, "status": truth});
        let mut pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "my-0", "namespace": "there", "uid": "u", "resourceVersion": "7", "annotations": {"a": "b"},
                         "generateName": "my-", "labels": {INSTANCE: "my", REVISION: "r", "pod-index": "0"}},
            "spec": {"nodeName": "n", "containers": [container("other"), container(SERVER)]},
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                       "conditions": [condition("Ready", "True"), condition("PodScheduled", "False")],
                       "containerStatuses": [status("other", "waiting"), status("fine", "running"), status(SERVER, "running")],
                       "initContainerStatuses": [status(AGENT, "running")]},
        }))
        .unwrap();
        slim_pod(&mut pod);
        let kept = serde_json::to_value(&pod).unwrap();
        let slim = |name: &str, state: &str| {
            serde_json::json!({"name": name, "image": "", "imageID": "", "ready": false,
            "restartCount": 1, "state": {state: {}}})
        };
        let wanted = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "my-0", "namespace": "there", "uid": "u", "resourceVersion": "7",
                         "labels": {INSTANCE: "my", REVISION: "r"}},
            "spec": {"nodeName": "n", "containers": [{"name": SERVER, "resources": {"limits": {"memory": "1Gi"}}}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [condition("PodScheduled", "False")],
                       "containerStatuses": [slim("other", "waiting"), slim(SERVER, "running")]},
        });
        assert_eq!(kept, wanted);
    }
}
