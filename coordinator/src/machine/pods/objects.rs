//! Keeps the objects of a cluster as they are wanted: applied when the spec has changed, when one is missing, and when
//! somebody else has changed one.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
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
    /// As all was when nothing had to be written.
    settled: Option<Settled>,
}

/// An object as it was written last.
#[derive(Clone, Debug)]
struct Applied {
    /// A number for what was written: the text itself is several KiB, and nobody gains by making two of them equal.
    wanted: u64,
    mark: Option<String>,
    at: Instant,
}

/// What decides whether anything has to be written: the wish, and the versions of the objects that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settled {
    generation: Option<u64>,
    replicas: u32,
    versions: [String; 4],
}

impl Objects {
    /// Of the newest obeyed resource, whose uid is `uid`.
    pub fn new(obeyed: watch::Receiver<RedisCluster>, uid: String, images: Images, users_are_assigned: bool) -> Self {
        Self { obeyed, uid, images, users_are_assigned, applied: BTreeMap::new(), settled: None }
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
        let (nodes, clients) = self.with(|cluster| (cluster.nodes_service(), cluster.clients_service()));
        let (seen_nodes, seen_clients) = (stored(&cache.services, key, &nodes), stored(&cache.services, key, &clients));
        let seen_budget = stored(&cache.budgets, key, &key.1);
        let versions = [
            version(seen_nodes.as_deref()),
            version(seen_clients.as_deref()),
            version(seen_budget.as_deref()),
            version(set),
        ];
        let generation = self.obeyed.borrow().metadata.generation;
        let now = all(versions).map(|versions| Settled { generation, replicas, versions });
        if now.is_some() && now == self.settled {
            return Ok(());
        }
        let desired = self.with(|cluster| objects(cluster, replicas));
        let Desired { set: mut wanted, nodes, clients, budget } = desired.map_err(|refused| refused.to_string())?;
        if let Some(set) = set {
            keep_pods(&mut wanted, set);
        }
        wanted.annotations_mut().insert(LEADER.to_owned(), writer.life());
        // The Services first: pods look for each other by their names.
        let settled = [
            self.keep_one(writer, &nodes, seen_nodes.as_deref()).await?,
            self.keep_one(writer, &clients, seen_clients.as_deref()).await?,
            self.keep_one(writer, &budget, seen_budget.as_deref()).await?,
            self.keep_one(writer, &wanted, set).await?,
        ];
        self.settled = now.filter(|_| settled == [true; 4]);
        Ok(())
    }

    /// True if it is as it is wanted for sure; false if it was written, or was a moment ago.
    async fn keep_one<K>(&mut self, writer: &Writer, wanted: &K, seen: Option<&K>) -> Result<bool, String>
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
        let value = number(&serde_json::to_vec(wanted).map_err(|error| format!("{id}: {error}"))?);
        let now = Instant::now();
        if let Some(applied) = self.applied.get(&id).filter(|applied| applied.wanted == value) {
            let untouched = applied.is_untouched(seen);
            // The watch lags behind what was just written.
            if untouched || now.saturating_duration_since(applied.at) < LAG {
                return Ok(untouched);
            }
        }
        if let Some(written) = writer.apply(wanted, seen).await? {
            self.applied.insert(id, Applied { wanted: value, mark: mark(&written), at: now });
        }
        Ok(false)
    }
}

impl Applied {
    /// Whether nobody has changed the object since.
    fn is_untouched<K: Resource>(&self, seen: Option<&K>) -> bool {
        seen.is_some_and(|seen| mark(seen) == self.mark)
    }
}

fn number(written: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    written.hash(&mut hasher);
    hasher.finish()
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

fn stored<K>(store: &Store<K>, key: &ClusterKey, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(&key.0))
}

fn version<K: Resource>(seen: Option<&K>) -> Option<String> {
    seen.and_then(ResourceExt::resource_version)
}

fn all([a, b, c, d]: [Option<String>; 4]) -> Option<[String; 4]> {
    Some([a?, b?, c?, d?])
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
