//! One RedisCluster: its source, its pods, its coordinator, and what is shown of it.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, DynamicObject};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use redisnode_http::Token;
use redisnode_proto::spec::{API_VERSION, KIND};
use redisnode_proto::status::{ClusterStatus, NodeStatus};
use redisnode_proto::topology::Role;
use tokio::sync::watch;
use tokio::time::timeout;

use super::cache::{Cache, ClusterKey};
use super::events::Teller;
use super::lease::Leadership;
use super::objects::{Images, ROLE, SHARD, selector_text};
use super::resource::{api_resource, cluster_id};
use super::status::{self, AT_MOST_EVERY, Due, Places, Written};
use super::token::TokenSecret;
use crate::amend::amend;
use crate::clock::Clock;
use crate::machine::pods::{Objects, PodMachine, Writer};
use crate::reconcile::{Coordinator, Shown};
use crate::source::{Resource, Source};
use crate::term::Term;

/// After a failure to begin, the next try comes when something has changed, or after this.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What all clusters share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) client: Client,
    pub(super) cache: Cache,
    pub(super) leadership: Leadership,
    pub(super) images: Images,
    pub(super) identity: String,
    /// Its Lease, `namespace/name`.
    pub(super) lease: String,
    pub(super) users_are_assigned: bool,
    pub(super) clock: Clock,
}

/// Looks after one cluster until its resource is gone.
pub(super) async fn run(common: Common, key: ClusterKey, shown: watch::Sender<Shown>) {
    let mut changes = common.cache.subscribe(&key).await;
    while let Some(object) = common.cache.clusters.get(&reference(&key)) {
        if object.metadata.deletion_timestamp.is_some() {
            break;
        }
        let Err(why) = Box::pin(begin(&common, &key, &object, &shown)).await;
        shown.send_replace(Shown::default());
        tracing::warn!(cluster = %Shower::name(&key), why, "cannot look after the cluster; tries again");
        Shower::new(&common, &key, &object).tell_trouble(&why).await;
        drop(timeout(AGAIN_AFTER, changes.changed()).await);
    }
    common.cache.forget(&key).await;
    tracing::info!(cluster = %Shower::name(&key), "the resource is gone");
}

async fn begin(
    common: &Common,
    key: &ClusterKey,
    object: &DynamicObject,
    shown: &watch::Sender<Shown>,
) -> Result<Infallible, String> {
    let source = Resource::open(common.cache.clone(), key.clone()).await?;
    let cluster = cluster_id(&key.0, &key.1)?;
    let writer = Writer::new(common.client.clone(), key.0.clone(), common.leadership.clone());
    let uid = object.uid().ok_or("it has no uid")?;
    let objects = Objects::new(source.obeyed(), uid.clone(), common.images.clone(), common.users_are_assigned);
    let token = Token::to_be_given();
    let secret = TokenSecret::new(writer.clone(), token.clone(), &objects);
    secret.look(was_founded(common, key, object)).await?;
    let machine = PodMachine::open(common.cache.clone(), key.clone(), writer.clone(), objects).await;
    let term = Term::new(common.leadership.terms().await?);
    let client = redisnode_http::Client::new(Some(token.clone()));
    tracing::info!(cluster = %Shower::name(key), spec = source.wanted().generation, "looks after the cluster");
    let mut coordinator =
        Coordinator::new(source, machine, cluster, &client, common.clock, term).showing(shown.clone());
    let own = coordinator.shown();
    let mut shower = Shower::new(common, key, object);
    tokio::select! {
        end = coordinator.run() => end.map_err(|failure| failure.to_string()),
        () = secret.keep(own.clone()) => Err("the keeper of the token ended".to_owned()),
        () = shower.follow(own, &writer) => Err("the showing of the status ended".to_owned()),
        () = gone(common, key, &uid) => Err("the resource was deleted".to_owned()),
    }
}

/// Whether the cluster was ever founded, as far as the API server knows.
fn was_founded(common: &Common, key: &ClusterKey, object: &DynamicObject) -> bool {
    let has_set = common.cache.sets.get(&ObjectRef::new(&key.1).within(&key.0)).is_some();
    has_set && object.data.pointer("/status/layoutGeneration").is_some_and(|layout| !layout.is_null())
}

/// Comes back when the resource is deleted or another one of the same name.
async fn gone(common: &Common, key: &ClusterKey, uid: &str) {
    let mut changes = common.cache.subscribe(key).await;
    loop {
        let object = common.cache.clusters.get(&reference(key));
        let here = object.is_some_and(|object| {
            object.metadata.uid.as_deref() == Some(uid) && object.metadata.deletion_timestamp.is_none()
        });
        if !here || changes.changed().await.is_err() {
            return;
        }
    }
}

fn reference(key: &ClusterKey) -> ObjectRef<DynamicObject> {
    ObjectRef::new_with(&key.1, api_resource()).within(&key.0)
}

/// Shows a cluster: status, events, labels of pods.
struct Shower {
    api: Api<DynamicObject>,
    cache: Cache,
    leadership: Leadership,
    key: ClusterKey,
    uid: String,
    places: Places,
    written: Written,
    teller: Teller,
}

impl Shower {
    fn new(common: &Common, key: &ClusterKey, object: &DynamicObject) -> Self {
        let regarding = ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(KIND.to_owned()),
            name: Some(key.1.clone()),
            namespace: Some(key.0.clone()),
            uid: object.uid(),
            ..ObjectReference::default()
        };
        Self {
            api: Api::namespaced_with(common.client.clone(), &key.0, &api_resource()),
            cache: common.cache.clone(),
            leadership: common.leadership.clone(),
            key: key.clone(),
            uid: object.uid().unwrap_or_default(),
            places: Places { selector: selector_text(&key.1), lease: common.lease.clone() },
            written: Written::found(object.data.get("status")),
            teller: Teller::new(common.client.clone(), regarding, &common.identity),
        }
    }

    fn name((namespace, name): &ClusterKey) -> String {
        format!("{namespace}/{name}")
    }

    async fn follow(&mut self, mut own: watch::Receiver<Shown>, writer: &Writer) {
        loop {
            let now = own.borrow_and_update().clone();
            let status = now.resource.as_ref().and_then(|resource| resource.status.as_ref());
            let all_told = match status {
                // Who has slept knows nothing that is worth telling.
                Some(_) if writer.check().await.is_err() => false,
                Some(status) => {
                    let shown = self.show(status).await;
                    let told = self.teller.tell(&status.events).await;
                    let labelled = self.label(&status.nodes, writer).await;
                    shown && told && labelled
                }
                None => true,
            };
            let changed = own.changed();
            let changed = if all_told { Ok(changed.await) } else { timeout(AT_MOST_EVERY, changed).await };
            if changed.is_ok_and(|changed| changed.is_err()) {
                return;
            }
        }
    }

    /// False if it is to be tried again.
    async fn show(&mut self, status: &ClusterStatus) -> bool {
        let now = std::time::Instant::now();
        let due = match self.written.due(status, &self.places, now) {
            Due::Now(due) => due,
            Due::Soon => return false,
            Due::Not => return true,
        };
        let seen = self.cache.clusters.get(&reference(&self.key));
        let Some(seen) = seen.filter(|seen| seen.metadata.uid.as_ref() == Some(&self.uid)) else { return true };
        let version = seen.resource_version().unwrap_or_default();
        match status::write(&self.api, &self.key.1, &self.uid, &version, &due).await {
            Ok(true) => {
                self.written.wrote(due, status, now);
                true
            }
            Ok(false) => {
                tracing::debug!("the resource has changed meanwhile; its status is written next time");
                false
            }
            Err(why) => {
                tracing::warn!(why, "the status cannot be written; tries again");
                false
            }
        }
    }

    /// The resource cannot be obeyed at all.
    async fn tell_trouble(&mut self, why: &str) {
        let mut status = ClusterStatus { summary: "KO".to_owned(), ..ClusterStatus::default() };
        amend(&mut status, Some(why), &[]);
        if self.leadership.holds().await {
            // The next trouble is told anew.
            let _shown: bool = self.show(&status).await;
        }
    }

    /// False if it is to be tried again.
    async fn label(&self, nodes: &[NodeStatus], writer: &Writer) -> bool {
        let mut all = true;
        for node in nodes {
            let Some(pod) = self.cache.pod(&self.key, node.name.as_str()) else { continue };
            let role = node.role.map(|role| match role {
                Role::Primary => "primary",
                Role::Replica => "replica",
            });
            let shard = node.shard.as_ref().map(redisnode_proto::ShardName::as_str);
            let wanted = [(ROLE, role), (SHARD, shard)];
            let is = |(key, value): &(&str, Option<&str>)| pod.labels().get(*key).map(String::as_str) == *value;
            // What is not known does not overwrite what was.
            let missing: Vec<_> = wanted.into_iter().filter(|label| label.1.is_some() && !is(label)).collect();
            if !missing.is_empty()
                && let Err(why) = writer.label_pod(&pod, &missing).await
            {
                tracing::warn!(why, "a pod cannot be labelled; tries again");
                all = false;
            }
        }
        all
    }
}
