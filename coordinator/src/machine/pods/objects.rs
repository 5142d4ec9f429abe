//! Keeps the objects of a cluster as they are wanted: applied when the spec has changed, when one is missing, and when
//! somebody else has changed one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use kube::{Resource, ResourceExt};
use redisnode_proto::spec::{RedisCluster, Storage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::writer::Writer;
use crate::kubernetes::cache::{Cache, ClusterKey};
use crate::kubernetes::objects::{Cluster, Images, Objects as Desired, keep_pods, objects};

/// Annotation of the StatefulSet: the life of the leader that wrote it last. The first write of each life changes it, and
/// with it the version that all writes of the lives before were decided on.
const LEADER: &str = "redisnode.io/leader";

/// For so long after a write the watch may still show the object as it was before.
const LAG: Duration = Duration::from_secs(5);

/// Keeps the objects of one cluster.
#[derive(Clone, Debug)]
pub struct Objects {
    obeyed: watch::Receiver<RedisCluster>,
    uid: String,
    images: Images,
    users_are_assigned: bool,
    applied: BTreeMap<String, Applied>,
}

/// An object as it was written last.
#[derive(Clone, Debug)]
struct Applied {
    wanted: serde_json::Value,
    mark: Option<String>,
    at: Instant,
}

impl Objects {
    /// Of the newest obeyed resource, whose uid is `uid`.
    pub fn new(obeyed: watch::Receiver<RedisCluster>, uid: String, images: Images, users_are_assigned: bool) -> Self {
        Self { obeyed, uid, images, users_are_assigned, applied: BTreeMap::new() }
    }

    /// Whether each member has a claim of its own.
    pub fn claims(&self) -> bool {
        self.obeyed.borrow().spec.storage.as_ref().is_some_and(Storage::has_claims)
    }

    /// The name of the Secret with the token.
    pub fn token_secret(&self) -> String {
        self.with(|cluster| cluster.token_secret().clone())
    }

    /// Looks at the cluster as objects are made of it.
    pub fn with<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        let obeyed = self.obeyed.borrow();
        look(&Cluster {
            name: &obeyed.metadata.name,
            namespace: obeyed.metadata.namespace.as_deref().unwrap_or_default(),
            uid: &self.uid,
            spec: &obeyed.spec,
            images: &self.images,
            users_are_assigned: self.users_are_assigned,
        })
    }

    /// Whether the controller of `set`, as it is in the cache, has seen what was written to it last: by this life, or by
    /// anybody before it.
    pub(super) fn is_observed(&self, set: &StatefulSet) -> bool {
        let written = self.applied.get(&id(set)).and_then(|applied| applied.mark.as_ref()?.parse::<i64>().ok());
        let observed = set.status.as_ref().and_then(|status| status.observed_generation);
        written.or(set.metadata.generation).is_some_and(|written| observed.is_some_and(|observed| observed >= written))
    }

    /// Writes what is not as it is wanted, with `replicas` pods. `set` is the StatefulSet that the wish was decided on.
    pub(super) async fn keep(
        &mut self,
        writer: &Writer,
        cache: &Cache,
        key: &ClusterKey,
        set: Option<&StatefulSet>,
        replicas: u32,
    ) -> Result<(), String> {
        let desired = self.with(|cluster| objects(cluster, replicas));
        let Desired { set: mut wanted, nodes, clients, budget } = desired.map_err(|refused| refused.to_string())?;
        // The Services first: pods look for each other by their names.
        self.keep_one(writer, &nodes, stored(&cache.services, key, &nodes).as_deref()).await?;
        self.keep_one(writer, &clients, stored(&cache.services, key, &clients).as_deref()).await?;
        self.keep_one(writer, &budget, stored(&cache.budgets, key, &budget).as_deref()).await?;
        if let Some(set) = set {
            keep_pods(&mut wanted, set);
        }
        wanted.annotations_mut().insert(LEADER.to_owned(), writer.life());
        self.keep_one(writer, &wanted, set).await
    }

    async fn keep_one<K>(&mut self, writer: &Writer, wanted: &K, seen: Option<&K>) -> Result<(), String>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let id = id(wanted);
        if let Some(owner) = seen.and_then(|seen| stranger(seen, &self.uid)) {
            return Err(format!(
                "{id} is there already and belongs to {owner}: remove it, or give the cluster another name"
            ));
        }
        let value = serde_json::to_value(wanted).map_err(|error| format!("{id}: {error}"))?;
        let now = Instant::now();
        if self.applied.get(&id).is_some_and(|applied| applied.holds(&value, seen, now)) {
            return Ok(());
        }
        if let Some(written) = writer.apply(wanted, seen).await? {
            self.applied.insert(id, Applied { wanted: value, mark: mark(&written), at: now });
        }
        Ok(())
    }
}

impl Applied {
    /// Whether nothing is to be written: the wish is the same, and nobody else has changed the object since. The watch
    /// lags behind what was just written.
    fn holds<K: Resource>(&self, wanted: &serde_json::Value, seen: Option<&K>, now: Instant) -> bool {
        let untouched = seen.is_some_and(|seen| mark(seen) == self.mark);
        self.wanted == *wanted && (untouched || now.saturating_duration_since(self.at) < LAG)
    }
}

fn id<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

/// What changes with each change of what is wanted of an object: the generation, and for kinds that have none the
/// version, which changes with everything.
fn mark<K: Resource>(object: &K) -> Option<String> {
    let generation = object.meta().generation.map(|generation| generation.to_string());
    generation.or_else(|| ResourceExt::resource_version(object))
}

fn stored<K>(store: &Store<K>, key: &ClusterKey, wanted: &K) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(&ResourceExt::name_any(wanted)).within(&key.0))
}

/// Whose an object is, if it is not our cluster's.
fn stranger<K: Resource>(object: &K, uid: &str) -> Option<String> {
    let owners = object.meta().owner_references.as_deref().unwrap_or_default();
    if owners.iter().any(|owner| owner.uid == uid) {
        return None;
    }
    let owner = owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first());
    Some(owner.map_or_else(|| "nobody known".to_owned(), |owner| format!("{} {}", owner.kind, owner.name)))
}
