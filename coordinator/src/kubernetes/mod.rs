//! `redis-coordinator kubernetes`: RedisCluster resources as sources, pods as members, one coordinator for each, under one
//! Lease. Who does not lead does nothing; who loses the lead ends, and is started again as one that waits.

pub mod ask;
pub mod cache;
mod cluster;
pub mod crd;
mod events;
pub mod lease;
pub mod objects;
pub mod resource;
mod status;
mod token;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use kube::{Client, ResourceExt};
use redisnode_http::server::listen;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::cache::{Cache, ClusterKey};
use self::cluster::Common;
use self::lease::{Leadership, LeaseName};
use self::objects::Images;
use crate::admin::fleet::{self, AllShown};
use crate::clock::Clock;
use crate::failure::{Failure, whole};

/// Where and as whom to work.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one namespace to look after; all of them without.
    pub namespace: Option<String>,
    /// The Lease of this coordinator and its twins.
    pub lease: LeaseName,
    /// What pods are made of.
    pub images: Images,
    /// Pods get their user from the platform (OpenShift).
    pub users_are_assigned: bool,
    /// Where to serve probes, metrics and the page.
    pub listen: SocketAddr,
}

/// Runs until a signal, or until another one leads.
pub async fn run(options: Options) -> Result<(), Failure> {
    let clock = Clock::start();
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::runtime)?;
    let client = Client::try_default().await.map_err(|error| {
        Failure::Input(format!("no way to a Kubernetes API server: {}; set KUBECONFIG, or run in a pod", whole(&error)))
    })?;
    let listener = listen(options.listen)
        .map_err(|error| Failure::Runtime(format!("{error}: choose another address with --listen")))?;
    let all = AllShown::default();
    let mut tasks = JoinSet::new();
    let admin = fleet::run(listener, Arc::clone(&all), clock);
    tasks.spawn(async move {
        admin.await;
        "the HTTP server ended".to_owned()
    });
    let leadership = tokio::select! {
        leadership = lease::win(client.clone(), &options.lease) => leadership,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let cache = Cache::start(&client, options.namespace.as_deref(), &mut tasks);
    let keeper = leadership.clone();
    tasks.spawn(async move { keeper.keep().await });
    let (identity, lease) =
        (options.lease.identity.clone(), format!("{}/{}", options.lease.namespace, options.lease.name));
    let common = Common {
        client,
        cache,
        leadership: leadership.clone(),
        images: options.images,
        identity,
        lease,
        users_are_assigned: options.users_are_assigned,
        clock,
    };
    let ended = tokio::select! {
        () = look_after_all(common, all) => "the loop ended".to_owned(),
        Some(ended) = tasks.join_next() => ended.unwrap_or_else(|error| error.to_string()),
        _ = terminate.recv() => return end(&leadership).await,
        _ = interrupt.recv() => return end(&leadership).await,
    };
    Err(Failure::Runtime(format!("{ended}; ends, to be started anew")))
}

/// A graceful end: nothing is written any more, and the next one need not wait.
async fn end(leadership: &Leadership) -> Result<(), Failure> {
    leadership.end().await;
    Ok(())
}

/// Looks after each cluster in a task of its own.
async fn look_after_all(common: Common, all: AllShown) {
    let mut changed = common.cache.resources_changed();
    common.cache.ready().await;
    let mut clusters: JoinSet<ClusterKey> = JoinSet::new();
    loop {
        for object in common.cache.clusters.state() {
            let key = (object.namespace().unwrap_or_default(), object.name_any());
            let mut shown = all.lock().unwrap_or_else(PoisonError::into_inner);
            if object.metadata.deletion_timestamp.is_some() || shown.contains_key(&key) {
                continue;
            }
            let sender = watch::Sender::default();
            shown.insert(key.clone(), sender.subscribe());
            let common = common.clone();
            clusters.spawn(async move {
                Box::pin(cluster::run(common, key.clone(), sender)).await;
                key
            });
        }
        tokio::select! {
            Some(ended) = clusters.join_next() => match ended {
                Ok(key) => drop(all.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)),
                Err(error) => tracing::error!(%error, "a cluster's task broke off"),
            },
            _ = changed.changed() => {}
        }
    }
}
