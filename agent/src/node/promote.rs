//! Promotes the own server: under a death certificate, or because its primary is gone and nobody certifies.

use redisnode_agent_core::takeover::{self, FormerLife, Promotion, Step};
use redisnode_proto::event::Severity;
use redisnode_proto::message::{DeathNotice, Outcome};
use redisnode_proto::topology::Role;
use redisnode_proto::{Millis, NodeId, Slot};

use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::{Command, RespError};

/// Writes are held so long at most while slots are opened again; a promotion takes a tenth of a second.
const REOPEN_PAUSE_MS: i64 = 5000;

impl Reconciler {
    /// Notices, elections, and the former life of this node. True while one of them is under way.
    pub(super) async fn takeover(&mut self) -> bool {
        let notice = self.shared.state().inbox.death.clone();
        let step = match &notice {
            Some(received) => self.with_situation(|s| takeover::answer_notice(s, received)),
            None => self.with_situation(takeover::election),
        };
        let busy = step != Step::Rest;
        match step {
            Step::Rest => {}
            Step::Ask(names) => self.ask(names),
            Step::Promote { how, reopen } => self.promote(how, reopen).await,
            Step::Answer(outcome) => {
                if let Some(received) = notice {
                    self.answer(&received.notice.dead, outcome);
                }
            }
        }
        busy || self.former()
    }

    async fn promote(&mut self, how: Promotion, reopen: Vec<(Slot, NodeId)>) {
        let word = match how {
            Promotion::Force => "FORCE",
            Promotion::Takeover => "TAKEOVER",
        };
        tracing::info!(how = word, reopen = reopen.len(), "promoting the server");
        let now = self.shared.now();
        let result = self.order_promotion(word, !reopen.is_empty()).await;
        self.reopen = reopen;
        self.shared.state().inbox.forced_at = Some(now);
        if let Err(error) = result {
            tracing::warn!(error = %whole(&error), "promotion not begun");
        }
        // The vote is over in some ten milliseconds: look again at once.
        self.shared.wake.notify_one();
    }

    async fn order_promotion(&mut self, word: &str, hold_writes: bool) -> Result<(), RespError> {
        let connection = self.eye.open(&self.shared).await?;
        if hold_writes {
            connection.demand(&Command::new("CLIENT").arg("PAUSE").number(REOPEN_PAUSE_MS).arg("WRITE")).await?;
        }
        connection.demand(&Command::new("CLUSTER").arg("FAILOVER").arg(word)).await.map(drop)
    }

    /// Once the server is primary: the slots that were open are opened again, then writes flow. True while that waits.
    pub(super) async fn finish_promotion(&mut self) -> bool {
        if self.reopen.is_empty() {
            return false;
        }
        let is_primary = self.shared.state().server.running().is_some_and(|r| r.replication.role == Role::Primary);
        if !is_primary {
            return true;
        }
        let slots = std::mem::take(&mut self.reopen);
        let mut commands: Vec<Command> = slots
            .iter()
            .map(|(slot, target)| {
                Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), "MIGRATING", target.as_str()])
            })
            .collect();
        commands.push(Command::new("CLIENT").arg("UNPAUSE"));
        let replies = match self.eye.open(&self.shared).await {
            Ok(connection) => connection.pipeline(&commands).await,
            Err(error) => Err(error),
        };
        match replies {
            Ok(replies) => {
                for refusal in replies.iter().filter_map(|reply| reply.error_text()) {
                    tracing::error!(%refusal, "cannot open a slot again after the promotion");
                }
            }
            Err(error) => {
                tracing::error!(error = %whole(&error), "cannot open slots again after the promotion");
                self.reopen = slots;
            }
        }
        true
    }

    fn answer(&mut self, dead: &NodeId, outcome: Outcome) {
        let mut state = self.shared.state();
        match &outcome {
            Outcome::Pending { .. } => return,
            Outcome::Done { name, .. } if *name == self.shared.me.name => {
                let text = format!("{} has taken over from {}, which is certified dead", name, dead.short());
                state.event(Severity::Warning, "TakeoverDone", text);
            }
            Outcome::Done { .. } => {}
            Outcome::Refused { reason } => tracing::warn!(%reason, "takeover refused"),
        }
        state.inbox.death = None;
        state.inbox.forced_at = None;
        state.notice_outcome = Some((dead.clone(), outcome));
        drop(state);
        self.shared.looks.send_modify(|looks| *looks += 1);
    }

    /// A node that came back under another id certifies that the server of its former id is dead.
    fn former(&mut self) -> bool {
        let refused = self.shared.state().refused.clone();
        match self.with_situation(|s| takeover::former_life(s, &refused)) {
            FormerLife::Settled => false,
            FormerLife::NobodyLeft { id } => {
                let text = format!(
                    "the former server {} of this node owned slots, and no replica has its data; waiting for the coordinator",
                    id.short()
                );
                self.shared.state().problem("FormerLifeOwnsSlots", text);
                true
            }
            FormerLife::Ask(names) => {
                self.ask(names);
                true
            }
            FormerLife::Certify(promise) => {
                let notice = DeathNotice {
                    by: self.shared.me.name.clone(),
                    dead: promise.dead.clone(),
                    epoch: promise.epoch,
                    dead_for: Millis(0),
                };
                let mate = promise.chosen.clone();
                if self.write_down(|ledger| ledger.promise = Some(promise)) {
                    self.notify(mate, notice);
                }
                true
            }
        }
    }
}
