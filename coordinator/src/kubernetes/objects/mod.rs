//! The objects of a cluster as they should be. Pure: from the spec to what is applied.
//!
//! What the user's podTemplate says is kept, but what the node cannot work without is ours; where the two exclude each
//! other, it is refused with a sentence.

mod agent;
mod budget;
mod claims;
mod labels;
mod pod;
mod revision;
mod security;
mod server;
mod services;
mod set;
mod template;
mod token;

#[cfg(test)]
mod tests;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use redisnode_proto::spec::{API_VERSION, ClusterSpec, KIND};

pub use labels::{ROLE, SHARD, selector, selector_text};
pub use revision::keep_pods;
pub use template::Refused;
pub use token::{MAY_FOUND, TOKEN, token_name, token_secret};

/// The container of the server.
pub const SERVER: &str = "redis";
/// The container of the agent.
pub const AGENT: &str = "redisnode-agent";
/// The init container that brings the launcher.
pub const INSTALL: &str = "redisnode-install";
/// The volume of the member's folder, and its claim.
pub const DATA: &str = "data";

/// Port of the server, for clients.
pub const PORT: i32 = 6379;
/// Port of the server's bus.
pub const BUS_PORT: i32 = 16379;
/// Port of the agent.
pub const HTTP_PORT: i32 = 8080;

/// What objects are made from.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// The resource's name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// A valid spec.
    pub spec: &'a ClusterSpec,
    /// What containers run.
    pub images: &'a Images,
    /// Pods get their user from the platform (OpenShift, whose namespaces have a range of them), so none is set.
    pub users_are_assigned: bool,
}

/// What containers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// With the program `redisnode`.
    pub agent: String,
    /// With a server; for templates that name none.
    pub server: String,
    /// `imagePullPolicy` of the agent's image; Kubernetes' own choice without.
    pub agent_pull_policy: Option<String>,
}

/// The objects of a cluster. Its Secret is not among them: [`token_secret`] makes it once.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// The pods.
    pub set: StatefulSet,
    /// The headless Service by which nodes find each other.
    pub nodes: Service,
    /// The Service that clients connect to.
    pub clients: Service,
    /// How many pods may be evicted at a time.
    pub budget: PodDisruptionBudget,
}

/// The objects of `cluster` with `replicas` pods.
pub fn objects(cluster: &Cluster, replicas: u32) -> Result<Objects, Refused> {
    Ok(Objects {
        set: set::set(cluster, replicas)?,
        nodes: services::nodes(cluster),
        clients: services::clients(cluster),
        budget: budget::budget(cluster),
    })
}

impl Cluster<'_> {
    /// The name of the headless Service.
    pub fn nodes_service(&self) -> String {
        format!("{}-nodes", self.name)
    }

    /// The name of the clients' Service.
    pub fn clients_service(&self) -> String {
        self.spec.service_name.clone().unwrap_or_else(|| self.name.to_owned())
    }

    /// The name of the Secret with the token.
    pub fn token_secret(&self) -> String {
        token_name(self.name)
    }

    /// Whether each node has a claim of its own.
    pub fn has_claims(&self) -> bool {
        self.spec.storage.as_ref().is_some_and(redisnode_proto::spec::Storage::has_claims)
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels::all(self)),
            owner_references: Some(vec![OwnerReference {
                api_version: API_VERSION.to_owned(),
                kind: KIND.to_owned(),
                name: self.name.to_owned(),
                uid: self.uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }
}
