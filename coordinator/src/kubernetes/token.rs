//! The cluster's token, kept in a Secret that the pods mount. Made once; a Secret that somebody deletes is made again with
//! the same token, so that no agent notices.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use rand::TryRng;
use rand::rngs::SysRng;
use redisnode_http::Token;
use serde_json::json;
use tokio::sync::watch;

use super::ask::ask;
use super::objects::{MAY_FOUND, TOKEN, token_secret};
use crate::machine::pods::{Objects, Writer};
use crate::reconcile::Shown;

/// How often the Secret is looked at. No watch: the right to watch one Secret is the right to read all of them.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Looks after the Secret of one cluster.
pub(super) struct TokenSecret {
    writer: Writer,
    token: Token,
    objects: Objects,
    name: String,
}

impl TokenSecret {
    /// The Secret of the cluster that `objects` are of; `token` is told what is in it.
    pub(super) fn new(writer: Writer, token: Token, objects: &Objects) -> Self {
        let name = objects.token_secret();
        Self { writer, token, objects: objects.clone(), name }
    }

    /// Reads the token, and makes the Secret if there is none. With `founded`, nodes that start from now on are no
    /// founders.
    pub(super) async fn look(&self, founded: bool) -> Result<(), String> {
        let api = self.writer.api::<Secret>();
        let name = &self.name;
        let found = ask(format!("Secret {name}"), api.get_opt(name)).await?;
        let Some(secret) = found else {
            self.writer.check().await?;
            let text = match self.token.current() {
                Ok(known) => known,
                Err(_) => random()?,
            };
            let secret = self.objects.with(|cluster| token_secret(cluster, &text, !founded));
            self.writer.check().await?;
            // If another one was faster, the next look finds its token.
            let params = PostParams::default();
            let made = ask(format!("Secret {name} cannot be made"), api.create(&params, &secret)).await?;
            tracing::info!(name, "the Secret of the token was made");
            return self.take(&made);
        };
        if founded && secret.data.as_ref().is_some_and(|data| data.contains_key(MAY_FOUND)) {
            let seen = json!({"uid": secret.uid(), "resourceVersion": secret.resource_version()});
            let patch = json!({"metadata": seen, "data": {MAY_FOUND: null}});
            self.writer.check().await?;
            let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
            ask(format!("Secret {name}"), api.patch(name, &params, &patch)).await?;
        }
        self.take(&secret)
    }

    /// Looks again and again, and at once when the cluster has been founded.
    pub(super) async fn keep(&self, mut shown: watch::Receiver<Shown>) {
        let mut noted = false;
        loop {
            let founded = shown.borrow_and_update().published.is_some();
            match self.look(founded).await {
                Ok(()) => noted = founded,
                Err(why) => tracing::warn!(why, "the token cannot be looked after; tries again"),
            }
            let founding = async {
                // Without a coordinator nothing is founded any more.
                if noted || shown.wait_for(|shown| shown.published.is_some()).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            drop(tokio::time::timeout(LOOK_EVERY, founding).await);
        }
    }

    fn take(&self, secret: &Secret) -> Result<(), String> {
        let bytes = secret.data.as_ref().and_then(|data| data.get(TOKEN)).map(|bytes| bytes.0.as_slice());
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        if self.token.give(text.trim()) {
            return Ok(());
        }
        Err(format!("Secret {} holds no token under the key {TOKEN}: delete it, and it is made anew", self.name))
    }
}

fn random() -> Result<String, String> {
    let words = (0..4).map(|_| SysRng.try_next_u64().map(|word| format!("{word:016x}")));
    words.collect::<Result<String, _>>().map_err(|error| format!("the system gives no random numbers: {error}"))
}
