//! The user's directives on a running server: what can be changed live is; what cannot waits for a restart, and is said.

use redisnode_agent_core::config;
use redisnode_proto::layout::Settings;

use super::look::config as config_get;
use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::{Command, RespError};

impl Reconciler {
    /// Brings the running server to the Layout's settings. True if something was tried.
    pub(super) async fn configure(&mut self) -> bool {
        let Some(wanted) = self.shared.layout().map(|layout| layout.settings) else { return false };
        if self.applied.as_ref() == Some(&wanted) {
            return false;
        }
        match self.apply(&wanted).await {
            Ok(pending) => {
                if !pending.is_empty() {
                    tracing::info!(?pending, "directives wait for a restart");
                }
                self.shared.state().restart_needed = pending;
                self.applied = Some(wanted);
            }
            Err(error) => tracing::warn!(error = %whole(&error), "cannot configure the server"),
        }
        true
    }

    async fn apply(&mut self, wanted: &Settings) -> Result<Vec<String>, RespError> {
        let place = self.shared.place();
        let before =
            self.applied.as_ref().map(|settings| config::directives(Some(settings), &place)).unwrap_or_default();
        let mut pending = match &self.applied {
            Some(before) => config::removed(before, wanted),
            None => Vec::new(),
        };
        let changed = config::directives(Some(wanted), &place).into_iter().filter(|pair| !before.contains(pair));
        let mut wrong = Vec::new();
        let live: Vec<_> = changed.filter(|(name, _)| is_users(name, wanted)).collect();
        for (name, value) in live {
            let connection = self.eye.open(&self.shared).await?;
            let reply = connection.run(&Command::new("CONFIG").arg("SET").arg(&name).arg(&value)).await?;
            let Some(refusal) = reply.error_text().map(str::to_owned) else { continue };
            if config_get(connection, &name).await?.as_deref() == Some(value.as_str()) {
                continue;
            }
            if refusal.contains("immutable") {
                pending.push(name);
            } else {
                wrong.push(format!("{name}: {refusal}"));
            }
        }
        let mut state = self.shared.state();
        if wrong.is_empty() {
            state.settle("WrongDirective");
        } else {
            // A restart would end in a server that exits at once: what runs stays as it is.
            let text = format!(
                "the server does not take a directive of the spec's redisConfig: {}; correct it",
                wrong.join("; ")
            );
            state.problem("WrongDirective", text);
        }
        Ok(pending)
    }
}

/// Directives that follow from the spec; the rest is fixed at the start or set by duties.
fn is_users(name: &str, wanted: &Settings) -> bool {
    let given = wanted.redis_config.contains_key(name);
    given || matches!(name, "appendonly" | "save" | "masterauth")
}
