//! Which pods are whose, by name: each cluster asks for its own several times in each decision, and a walk through the pods
//! of all clusters would make the work of many clusters grow with the square of their number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use super::{ClusterKey, cluster_of};

type Names = BTreeMap<ClusterKey, BTreeSet<String>>;

/// The names of the pods of each cluster, as the watch tells them. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Index(Arc<Mutex<Names>>);

impl Index {
    /// Takes in an event that `store` has taken already.
    pub(super) fn note(&self, event: &Event<Pod>, store: &Store<Pod>) {
        match event {
            Event::Apply(pod) => add(&mut self.names(), pod),
            Event::Delete(pod) => remove(&mut self.names(), pod),
            Event::Init | Event::InitApply(_) => {}
            // What went while the watch was broken is named by no event.
            Event::InitDone => {
                let mut names = Names::new();
                store.state().iter().for_each(|pod| add(&mut names, pod));
                *self.names() = names;
            }
        }
    }

    /// The pods of one cluster, as `store` has them, by name.
    pub(super) fn pods(&self, key: &ClusterKey, store: &Store<Pod>) -> Vec<Arc<Pod>> {
        let names = self.names();
        let names = names.get(key).into_iter().flatten();
        names.filter_map(|name| store.get(&ObjectRef::new(name).within(&key.0))).collect()
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(names: &mut Names, pod: &Pod) {
    if let Some(key) = cluster_of(pod) {
        names.entry(key).or_default().insert(pod.name_any());
    }
}

fn remove(names: &mut Names, pod: &Pod) {
    let Some(key) = cluster_of(pod) else { return };
    if let Some(of_one) = names.get_mut(&key) {
        of_one.remove(&pod.name_any());
        if of_one.is_empty() {
            names.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::runtime::reflector;

    use super::*;
    use crate::kubernetes::cache::INSTANCE;

    fn pod(namespace: &str, cluster: Option<&str>, name: &str) -> Pod {
        let labels = cluster.map(|cluster| [(INSTANCE.to_owned(), cluster.to_owned())].into());
        let (name, namespace) = (Some(name.to_owned()), Some(namespace.to_owned()));
        Pod { metadata: ObjectMeta { name, namespace, labels, ..ObjectMeta::default() }, ..Pod::default() }
    }

    #[test]
    fn each_cluster_has_its_own_pods_and_those_that_went_are_gone() {
        let (store, mut writer) = reflector::store::<Pod>();
        let index = Index::default();
        let mut tell = |event: Event<Pod>| {
            writer.apply_watcher_event(&event);
            index.note(&event, &store);
        };
        let names = |namespace: &str, cluster: &str| -> Vec<String> {
            let pods = index.pods(&(namespace.to_owned(), cluster.to_owned()), &store);
            pods.iter().map(|pod| pod.name_any()).collect()
        };
        tell(Event::Init);
        tell(Event::InitApply(pod("a", Some("x"), "x-0")));
        tell(Event::InitApply(pod("a", None, "nobody's")));
        tell(Event::InitApply(pod("b", Some("x"), "x-0")));
        tell(Event::InitDone);
        tell(Event::Apply(pod("a", Some("x"), "x-1")));
        tell(Event::Apply(pod("a", Some("y"), "y-0")));
        assert_eq!(names("a", "x"), ["x-0", "x-1"]);
        assert_eq!(names("b", "x"), ["x-0"]);
        tell(Event::Delete(pod("a", Some("x"), "x-0")));
        tell(Event::Delete(pod("b", Some("x"), "x-0")));
        assert_eq!(names("a", "x"), ["x-1"]);
        assert!(names("b", "x").is_empty());
        // The watch broke off; meanwhile one went and one came.
        tell(Event::Init);
        tell(Event::InitApply(pod("a", Some("x"), "x-2")));
        assert_eq!(names("a", "x"), ["x-1"], "what was known stays until all is listed");
        tell(Event::InitDone);
        assert_eq!(names("a", "x"), ["x-2"]);
        assert!(names("a", "y").is_empty());
    }
}
