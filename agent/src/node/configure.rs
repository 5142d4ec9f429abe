//! The user's directives on a running server: what can be changed live is; what cannot waits for a restart, and is said.

use redisnode_agent_core::config;
use redisnode_proto::layout::Settings;

use super::look::config as config_get;
use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::{Command, Reply, RespError};

/// What came of a change.
#[derive(Debug, Default)]
struct Outcome {
    /// What waits for a restart, by name.
    pending: Vec<String>,
    /// What the server does not take, and its words.
    wrong: Vec<(String, String)>,
}

impl Reconciler {
    /// Brings the running server to the Layout's settings. True if something was tried.
    pub(super) async fn configure(&mut self) -> bool {
        let Some(wanted) = self.shared.layout().map(|layout| layout.settings) else { return false };
        if self.applied.as_ref().is_some_and(|applied| applied.configures_like(&wanted)) {
            return false;
        }
        let has = self.shared.state().ledger.configured.clone();
        match self.apply(has.as_ref(), &wanted).await {
            Ok(outcome) => {
                let not_done: Vec<String> =
                    outcome.pending.iter().chain(outcome.wrong.iter().map(|(name, _)| name)).cloned().collect();
                let has = config::result(has.as_ref(), &wanted, &not_done);
                if self.write_down(|ledger| ledger.configured = Some(has)) {
                    self.say(outcome);
                    self.applied = Some(wanted);
                }
            }
            Err(error) => tracing::warn!(error = %whole(&error), "cannot configure the server"),
        }
        true
    }

    async fn apply(&mut self, has: Option<&Settings>, wanted: &Settings) -> Result<Outcome, RespError> {
        let change = config::change(has, self.applied.is_some(), wanted, &self.shared.place());
        let mut outcome = Outcome { pending: change.restart, wrong: Vec::new() };
        outcome.wrong.extend(self.wrong_names(&change.must_know, &change.must_not_know).await?);
        for (name, value) in change.set {
            let connection = self.eye.open(&self.shared).await?;
            let reply = connection.run(&Command::new("CONFIG").arg("SET").arg(&name).arg(&value)).await?;
            let Some(refusal) = reply.error_text().map(str::to_owned) else { continue };
            if config_get(connection, &name).await?.as_deref() == Some(value.as_str()) {
                continue;
            }
            if refusal.contains("immutable") {
                outcome.pending.push(name);
            } else {
                outcome.wrong.push((name, refusal));
            }
        }
        Ok(outcome)
    }

    /// Names of commands with which the server would not start again.
    async fn wrong_names(&mut self, known: &[String], unknown: &[String]) -> Result<Vec<(String, String)>, RespError> {
        let names: Vec<&String> = known.iter().chain(unknown).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let question = Command::new("COMMAND").arg("INFO").args_from(&names);
        let answers = self.eye.open(&self.shared).await?.demand(&question).await?.array("COMMAND INFO")?;
        let mut wrong = Vec::new();
        for (index, (name, answer)) in names.into_iter().zip(answers).enumerate() {
            let is_there = answer != Reply::Nil;
            if is_there != (index < known.len()) {
                let refusal = if is_there { "it has a command of this name" } else { "it has no such command" };
                wrong.push((format!("{} {name}", config::RENAME), refusal.to_owned()));
            }
        }
        Ok(wrong)
    }

    fn say(&self, outcome: Outcome) {
        let mut state = self.shared.state();
        if outcome.wrong.is_empty() {
            if !outcome.pending.is_empty() {
                tracing::info!(pending = ?outcome.pending, "directives wait for a restart");
            }
            state.restart_needed = outcome.pending;
            state.settle("WrongDirective");
            return;
        }
        // A restart would end in a server that exits at once: what runs stays as it is.
        state.restart_needed = Vec::new();
        let wrong: Vec<_> = outcome.wrong.iter().map(|(name, refusal)| format!("{name}: {refusal}")).collect();
        let text = format!("the server does not take what the spec says: {}; correct it", wrong.join("; "));
        state.problem("WrongDirective", text);
    }
}
