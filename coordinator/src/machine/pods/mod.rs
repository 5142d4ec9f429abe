//! Members as pods of a StatefulSet, whose objects are kept as they are wanted.

pub mod members;
mod objects;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use redisnode_planner::MachineMember;
use redisnode_proto::event::Problem;
use redisnode_proto::{Member, NodeName};
use tokio::sync::watch;

use self::members::{NodeState, There, members};
pub use self::objects::Objects;
pub use self::writer::{MANAGER, Writer};
use super::Machine;
use crate::kubernetes::cache::{Cache, ClusterKey};

/// Runs members as pods.
#[derive(Debug)]
pub struct PodMachine {
    cache: Cache,
    key: ClusterKey,
    writer: Writer,
    objects: Objects,
    /// How many members were wanted last.
    wanted: u32,
    changes: watch::Receiver<()>,
    /// What stood in the way at the last try.
    problems: BTreeMap<&'static str, String>,
    /// Pods whose deletion was asked for; asked again only if they are still there after a while.
    deleted: BTreeMap<NodeName, (String, Instant)>,
}

/// A deletion that shows no effect for so long is asked for again.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

impl PodMachine {
    /// The pods of the cluster `key`, whose objects are made by `objects`.
    pub async fn open(cache: Cache, key: ClusterKey, writer: Writer, objects: Objects) -> Self {
        let changes = cache.subscribe(&key).await;
        Self { cache, key, writer, objects, wanted: 0, changes, problems: BTreeMap::new(), deleted: BTreeMap::new() }
    }

    /// Its pods, as far as they are its StatefulSet's.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.cache.pods_of(&self.key)
    }

    fn set(&self) -> Option<Arc<StatefulSet>> {
        self.cache.sets.get(&ObjectRef::new(&self.key.1).within(&self.key.0))
    }

    fn node(&self, name: &str) -> Option<NodeState> {
        self.cache.nodes.get(&ObjectRef::new(name)).map(|node| NodeState::of(&node))
    }

    async fn delete(&mut self, name: &NodeName) {
        let pods = self.pods();
        let Some(pod) = pods.iter().find(|pod| pod.name_any() == name.as_str()) else { return };
        let uid = pod.uid().unwrap_or_default();
        let asked = self.deleted.get(name).is_some_and(|(of, at)| *of == uid && at.elapsed() < AGAIN_AFTER);
        if asked || pod.metadata.deletion_timestamp.is_some() {
            return;
        }
        self.deleted.insert(name.clone(), (uid, Instant::now()));
        let done = self.writer.delete_pod(pod, false).await;
        self.note("PodNotDeleted", done);
    }

    fn note(&mut self, what: &'static str, done: Result<(), String>) {
        match done {
            Ok(()) => drop(self.problems.remove(what)),
            Err(why) => {
                tracing::warn!(cluster = self.key.1, why, "a write failed; tries again");
                self.problems.insert(what, why);
            }
        }
    }
}

impl Machine for PodMachine {
    /// Nobody waits in front of a terminal: it goes on trying, and the status says why.
    const GIVES_UP: bool = false;

    fn members(&self) -> Vec<MachineMember> {
        let set = self.set();
        let there = There::by(&self.key.1, set.as_deref(), self.objects.claims());
        let pods = self.pods();
        let pods: Vec<&Pod> = pods.iter().map(Arc::as_ref).collect();
        members(&there, &pods, |name| self.node(name))
    }

    async fn ensure(&mut self, wanted: u32) {
        self.wanted = wanted;
        let set = self.set();
        let done = self.objects.keep(&self.writer, &self.cache, &self.key, set.as_deref(), wanted).await;
        self.note("ObjectsNotWritten", done);
    }

    /// The StatefulSet removes what is above the wanted number itself; one below is made anew.
    async fn remove(&mut self, name: &NodeName) {
        if name.ordinal().is_some_and(|ordinal| ordinal < self.wanted) {
            self.delete(name).await;
        }
    }

    async fn renew(&mut self, member: &Member) {
        self.delete(&member.name).await;
    }

    /// Which pods a new template makes old is known only when the StatefulSet's controller has seen it.
    fn lags(&self) -> Option<String> {
        if let Some(why) = self.problems.values().next() {
            return Some(why.clone());
        }
        let seen = self.set().is_some_and(|set| self.objects.is_observed(&set));
        let unseen = || format!("the controller of StatefulSet {} has not seen the newest template yet", self.key.1);
        (!seen).then(unseen)
    }

    fn problems(&self) -> Vec<Problem> {
        let own = self.problems.iter().map(|(what, why)| Problem::new(what, why.clone()));
        own.chain(self.pods().iter().filter_map(|pod| members::trouble(pod))).collect()
    }

    async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
