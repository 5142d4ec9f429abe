//! Clusters on Kubernetes: their resources, pods and tokens by the API server, with the user's own rights.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use redis_coordinator::failure::whole;
use redis_coordinator::kubernetes::objects::{TOKEN, selector_text, token_name};
use redis_coordinator::kubernetes::resource::{api_resource, cluster_id, read};
use redis_coordinator::machine::pods::members::{NodeState, There, members};
use redisnode_http::ReportQuery;
use redisnode_http::routes::HANDOFF;
use redisnode_planner::MachineMember;
use redisnode_proto::message::{HandoffRequest, Outcome};
use redisnode_proto::spec::{MIGRATION, Moves, PAUSED, RedisCluster, Storage};
use redisnode_proto::{ClusterId, Report};
use serde_json::json;
use tokio::sync::OnceCell;

use super::lease;
use super::proxy::Proxy;
use super::{DEADLINE, Place};

/// Which Kubernetes, and which part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Where {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) all_namespaces: bool,
}

/// A Kubernetes, as the user may see it.
#[derive(Clone)]
pub(crate) struct Kubernetes {
    client: Client,
    /// The namespace that is meant when none is named.
    namespace: String,
    all_namespaces: bool,
}

impl Kubernetes {
    /// By the user's configuration, as kubectl finds it.
    pub(crate) async fn open(place: &Where) -> Result<Self, String> {
        let config = config(place).await.map_err(|why| {
            format!(
                "no way to a Kubernetes API server: {why}; set KUBECONFIG or --kubeconfig, or give --local DIR for a local \
                 cluster"
            )
        })?;
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| whole(&error))?;
        Ok(Self { client, namespace, all_namespaces: place.all_namespaces })
    }

    fn clusters(&self) -> Api<DynamicObject> {
        if self.all_namespaces {
            Api::all_with(self.client.clone(), &api_resource())
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &api_resource())
        }
    }

    /// Every RedisCluster here, with the status that its coordinator wrote.
    pub(crate) async fn list(&self) -> Result<Vec<RedisCluster>, String> {
        let found = self.clusters().list(&ListParams::default()).await;
        let found = found.map_err(|error| said("RedisClusters cannot be listed", &error))?;
        found.items.iter().map(with_status).collect()
    }

    /// The cluster called `name`, or the only one.
    pub(crate) async fn cluster(&self, name: Option<&str>) -> Result<Namespaced, String> {
        let found = self.list().await?;
        let metadata = found.iter().map(|resource| &resource.metadata);
        let called = |wanted: &str| metadata.clone().filter(|m| m.name == wanted).collect::<Vec<_>>();
        let chosen = name.map_or_else(|| metadata.clone().collect(), called);
        let names: Vec<String> = metadata.map(|m| m.name.clone()).collect();
        match (chosen.as_slice(), name) {
            ([one], _) => {
                let namespace = one.namespace.clone().unwrap_or_else(|| self.namespace.clone());
                Namespaced::new(self.client.clone(), namespace, one.name.clone())
            }
            ([], Some(name)) => {
                Err(format!("there is no RedisCluster {name} in {}; there are: {}", self.here(), one_of(&names)))
            }
            ([], None) => Err(format!("there is no RedisCluster in {}", self.here())),
            (_, None) => Err(format!("say which RedisCluster: {}", one_of(&names))),
            (_, Some(name)) => Err(format!("{name} is there in several namespaces: say which one with --namespace")),
        }
    }

    /// What was looked at, for people.
    pub(crate) fn here(&self) -> String {
        if self.all_namespaces { "all namespaces".to_owned() } else { format!("namespace {}", self.namespace) }
    }
}

async fn config(place: &Where) -> Result<Config, String> {
    let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &place.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|error| whole(&error))?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(|error| whole(&error));
    }
    if place.context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(|error| whole(&error));
    }
    Config::infer().await.map_err(|error| whole(&error))
}

fn one_of(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// An error of the API server with what was tried.
fn said(what: impl Display, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 && status.message.starts_with("404") => {
            format!("{what}: this Kubernetes does not know RedisClusters: install the chart redis-coordinator first")
        }
        kube::Error::Api(status) => format!("{what}: {}", status.message),
        error => format!("{what}: {}", whole(error)),
    }
}

fn with_status(object: &DynamicObject) -> Result<RedisCluster, String> {
    let name = object.name_any();
    let mut resource = read(object).map_err(|why| format!("{name} cannot be read: {why}"))?;
    if let Some(status) = object.data.get("status") {
        let status = serde_json::from_value(status.clone());
        resource.status = Some(status.map_err(|error| format!("the status of {name} cannot be read: {error}"))?);
    }
    Ok(resource)
}

/// One cluster in its namespace.
pub(crate) struct Namespaced {
    client: Client,
    namespace: String,
    name: String,
    cluster: ClusterId,
    proxy: OnceCell<Proxy>,
}

impl Namespaced {
    fn new(client: Client, namespace: String, name: String) -> Result<Self, String> {
        let cluster = cluster_id(&namespace, &name)?;
        Ok(Self { client, namespace, name, cluster, proxy: OnceCell::new() })
    }

    fn resources(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &api_resource())
    }

    async fn proxy(&self) -> Result<&Proxy, String> {
        self.proxy.get_or_try_init(|| self.open_proxy()).await
    }

    /// The way to the agents. Needs the right to read the cluster's Secret.
    async fn open_proxy(&self) -> Result<Proxy, String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = token_name(&self.name);
        let secret = secrets.get(&name).await.map_err(|error| said(format!("the token, Secret {name}"), &error))?;
        let token = secret.data.as_ref().and_then(|data| data.get(TOKEN));
        let token = token.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        let token = token
            .ok_or_else(|| format!("Secret {name} holds no token: its coordinator makes it anew if it is deleted"))?;
        Ok(Proxy::new(self.client.clone(), &self.namespace, token.trim().to_owned()))
    }

    /// Sets an annotation of the resource, or takes it away (null).
    async fn annotate(&self, name: &str, value: &serde_json::Value) -> Result<RedisCluster, String> {
        let patch = json!({"metadata": {"annotations": {name: value}}});
        let patched = self.resources().patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        with_status(&patched.map_err(|error| said(format!("{} cannot be changed", self.title()), &error))?)
    }

    /// What counts of each machine that may be seen: not everybody may see them.
    async fn machines(&self) -> Option<Vec<(String, NodeState)>> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = nodes.list(&ListParams::default()).await.ok()?;
        Some(nodes.items.iter().map(|node| (node.name_any(), NodeState::of(node))).collect())
    }
}

impl Place for Namespaced {
    fn name(&self) -> &str {
        &self.name
    }

    fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    async fn resource(&self) -> Result<RedisCluster, String> {
        let object = self.resources().get(&self.name).await;
        with_status(&object.map_err(|error| said(self.title(), &error))?)
    }

    async fn told(&self) -> Result<Option<RedisCluster>, String> {
        let mut resource = self.resource().await?;
        let Some(status) = &mut resource.status else { return Ok(None) };
        if let Some(silent) = lease::silent(&self.client, status.coordinator.as_deref()).await {
            status.waiting_for.push(silent);
        }
        Ok(Some(resource))
    }

    async fn members(&self) -> Result<Vec<MachineMember>, String> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let set = sets.get_opt(&self.name).await.map_err(|error| said("its StatefulSet", &error))?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selected = ListParams::default().labels(&selector_text(&self.name));
        let pods = pods.list(&selected).await.map_err(|error| said("its pods cannot be listed", &error))?;
        let claims = self.resource().await?.spec.storage.as_ref().is_some_and(Storage::has_claims);
        let there = There::by(&self.name, set.as_ref(), claims);
        let machines = self.machines().await;
        let unseen = || Some(NodeState::default());
        let machine = |name: &str| match &machines {
            Some(all) => all.iter().find(|(of, _)| of == name).map(|(_, state)| state.clone()),
            None => unseen(),
        };
        Ok(members(&there, &pods.items.iter().collect::<Vec<_>>(), machine))
    }

    async fn report(&self, member: &MachineMember) -> Result<Report, String> {
        let path = ReportQuery::default().path();
        self.proxy().await?.get(member.member.name.as_str(), &path, DEADLINE).await
    }

    async fn handoff(
        &self,
        member: &MachineMember,
        request: &HandoffRequest,
        within: Duration,
    ) -> Result<Outcome, String> {
        self.proxy().await?.post(member.member.name.as_str(), HANDOFF, request, within).await
    }

    async fn pause(&self, paused: bool) -> Result<(), String> {
        let value = if paused { json!("true") } else { json!(null) };
        self.annotate(PAUSED, &value).await.map(drop)
    }

    async fn hold_moves(&self, moves: Moves) -> Result<RedisCluster, String> {
        // An abort is of the spec that is now, and not of one that somebody writes meanwhile.
        let generation = self.resource().await?.metadata.generation;
        let resource = self.annotate(MIGRATION, &json!(moves.written(generation))).await?;
        if resource.metadata.generation == generation {
            return Ok(resource);
        }
        Err(format!("the spec of {} was changed at the same time: look at it, and say it again", self.title()))
    }
}
