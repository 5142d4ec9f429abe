//! Promotes the own server: under a death certificate, or because its primary is gone and nobody certifies.

use redisnode_agent_core::takeover::{self, FormerLife, Promotion, Step};
use redisnode_proto::event::Severity;
use redisnode_proto::message::{DeathNotice, Outcome};
use redisnode_proto::{Millis, NodeId, Slot};

use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::{Command, RespError};

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
            Step::RaiseEpoch => self.raise_epoch().await,
            Step::Promote { how, reopen } => self.promote(how, reopen).await,
            Step::Answer(outcome) => {
                if let Some(received) = notice {
                    self.answer(&received.notice.dead, outcome);
                }
            }
        }
        busy || self.former()
    }

    async fn raise_epoch(&mut self) {
        if let Err(error) = self.cluster(&["BUMPEPOCH"]).await {
            tracing::warn!(error = %whole(&error), "the epoch cannot be raised yet, so the promotion waits");
        }
    }

    async fn promote(&mut self, how: Promotion, reopen: Vec<(Slot, NodeId)>) {
        let word = match how {
            Promotion::Force => "FORCE",
            Promotion::Takeover => "TAKEOVER",
        };
        tracing::info!(how = word, reopen = reopen.len(), "promoting the server");
        let now = self.shared.now();
        if let Err(error) = self.hold_for_reopening(reopen).await {
            tracing::warn!(error = %whole(&error), "writes cannot be held yet, so the promotion waits");
            return;
        }
        // A late answer may be an order that was obeyed: it counts as given.
        self.shared.state().inbox.forced_at = Some(now);
        if let Err(error) = self.order_promotion(word).await {
            tracing::warn!(error = %whole(&error), "the order to take over was not answered with OK");
        }
        // The vote is over in some ten milliseconds: look again at once.
        self.shared.wake.notify_one();
    }

    async fn order_promotion(&mut self, word: &str) -> Result<(), RespError> {
        let order = Command::new("CLUSTER").arg("FAILOVER").arg(word);
        self.eye.open(&self.shared).await?.demand(&order).await.map(drop)
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
