//! A RedisCluster resource as source: the newest valid spec of it is obeyed.

use kube::runtime::reflector::ObjectRef;
use redisnode_proto::spec::RedisCluster;
use tokio::sync::watch;

use super::{Source, Wanted};
use crate::kubernetes::cache::{Cache, ClusterKey};
use crate::kubernetes::resource::{api_resource, read};

/// Follows one resource.
#[derive(Debug)]
pub struct Resource {
    cache: Cache,
    key: ClusterKey,
    wanted: Wanted,
    obeyed: watch::Sender<RedisCluster>,
    changes: watch::Receiver<()>,
}

impl Resource {
    /// Follows the resource `key`. An error, a sentence, when it is not there or not valid: then there is nothing that
    /// could be obeyed.
    pub async fn open(cache: Cache, key: ClusterKey) -> Result<Self, String> {
        let changes = cache.subscribe(&key).await;
        let object = cache.clusters.get(&reference(&key)).ok_or("it is gone")?;
        let resource = read(&object)?;
        let generation = resource.metadata.generation.unwrap_or_default();
        let obeyed = watch::Sender::new(resource.clone());
        Ok(Self { cache, key, wanted: Wanted { resource, generation, invalid_edit: None }, obeyed, changes })
    }

    /// The newest valid resource, for whoever else obeys it.
    pub fn obeyed(&self) -> watch::Receiver<RedisCluster> {
        self.obeyed.subscribe()
    }

    /// Looks again; true if something has changed.
    fn refresh(&mut self) -> bool {
        let Some(object) = self.cache.clusters.get(&reference(&self.key)) else { return false };
        let wanted = match read(&object) {
            Ok(resource) => {
                let generation = resource.metadata.generation.unwrap_or_default();
                Wanted { resource, generation, invalid_edit: None }
            }
            Err(why) => Wanted { invalid_edit: Some(why), ..self.wanted.clone() },
        };
        let changed = wanted != self.wanted;
        self.wanted = wanted;
        self.obeyed.send_if_modified(|obeyed| {
            let differs = *obeyed != self.wanted.resource;
            obeyed.clone_from(&self.wanted.resource);
            differs
        });
        changed
    }
}

fn reference(key: &ClusterKey) -> ObjectRef<kube::api::DynamicObject> {
    ObjectRef::new_with(&key.1, api_resource()).within(&key.0)
}

impl Source for Resource {
    fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    async fn changed(&mut self) {
        loop {
            if self.changes.changed().await.is_err() {
                return std::future::pending().await;
            }
            if self.refresh() {
                return;
            }
        }
    }
}
