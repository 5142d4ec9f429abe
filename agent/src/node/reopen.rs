//! After a promotion, the slots that the dead primary had open are opened again before the first write: without the mark
//! a client would write to a key that is at the target already (seen on Redis 7.0 and 8.6: a list of 100 became 1).

use redisnode_proto::event::Severity;
use redisnode_proto::topology::Role;
use redisnode_proto::{Millis, NodeId, Slot};

use super::doubles::doubles;
use super::reconcile::{Reconciler, marks_survive};
use super::shared::whole;
use crate::resp::{Command, Reply, RespError};

/// One pause lasts so long by itself: an agent that dies leaves no closed server behind. A promotion takes a tenth of it.
const PAUSE_MS: i64 = 5000;
/// A pause is renewed after this.
const RENEW_AFTER: Millis = Millis(2000);
/// So long writes are held at most. A mark that the server still refuses then will not come: its slot's shard must not
/// stay closed for it.
const HOLD_FOR: Millis = Millis(20_000);

/// Slots that wait for the promotion, with writes held.
#[derive(Debug)]
pub(super) struct Reopening {
    /// Without their mark yet.
    slots: Vec<(Slot, NodeId)>,
    /// Whose keys at the target are surely newer than those here.
    certain: Vec<(Slot, NodeId)>,
    since: Millis,
    paused_at: Millis,
}

impl Reconciler {
    /// Holds writes for slots that are to be opened after a promotion. It fails before anything else is done.
    pub(super) async fn hold_for_reopening(&mut self, slots: Vec<(Slot, NodeId)>) -> Result<(), RespError> {
        if slots.is_empty() {
            return Ok(());
        }
        let now = self.shared.now();
        self.eye.open(&self.shared).await?.demand(&pause()).await?;
        let since = self.reopening.as_ref().map_or(now, |reopening| reopening.since);
        let doubtful =
            self.shared.state().ledger.open_slots.as_ref().map(|open| open.doubtful.clone()).unwrap_or_default();
        let certain = slots.iter().filter(|(slot, _)| !doubtful.contains(*slot)).cloned().collect();
        // Where marks survive they are there; setting them again would wait for the end of the pause, being replicated.
        let slots = if marks_survive(&self.shared.state().server) { Vec::new() } else { slots };
        self.reopening = Some(Reopening { slots, certain, since, paused_at: now });
        Ok(())
    }

    /// Once the server is primary: the slots are opened again, then writes flow. True while that waits.
    pub(super) async fn reopen(&mut self) -> bool {
        let Some(mut reopening) = self.reopening.take() else { return false };
        let now = self.shared.now();
        let late = now.since(reopening.since) >= HOLD_FOR;
        let is_primary = self.shared.state().server.running().is_some_and(|r| r.replication.role == Role::Primary);
        if !is_primary {
            // A promotion that never comes needs no mark; the pause ends by itself.
            self.reopening = (!late).then_some(reopening);
            return true;
        }
        match self.mark(&mut reopening, now).await {
            Ok(()) if reopening.slots.is_empty() => self.let_writes_flow(&reopening.certain).await,
            Ok(()) if late => {
                self.not_reopened(&reopening.slots);
                self.let_writes_flow(&[]).await;
            }
            Ok(()) => self.reopening = Some(reopening),
            Err(error) => {
                tracing::warn!(error = %whole(&error), "cannot open slots again yet");
                self.eye.close();
                if late {
                    self.not_reopened(&reopening.slots);
                } else {
                    self.reopening = Some(reopening);
                }
            }
        }
        true
    }

    /// Sets every mark that is still missing; what the server refuses stays in the list, unless the slot is not its own.
    async fn mark(&mut self, reopening: &mut Reopening, now: Millis) -> Result<(), RespError> {
        let owned = self.shared.state().server.running().and_then(|r| r.view.myself()).map(|me| me.slots.clone());
        let owned = owned.unwrap_or_default();
        reopening.slots.retain(|(slot, _)| owned.contains(*slot));
        let connection = self.eye.open(&self.shared).await?;
        if now.since(reopening.paused_at) >= RENEW_AFTER {
            connection.demand(&pause()).await?;
            reopening.paused_at = now;
        }
        let marks: Vec<Command> = reopening.slots.iter().map(|(slot, target)| migrating(*slot, target)).collect();
        if marks.is_empty() {
            return Ok(());
        }
        let replies = connection.pipeline(&marks).await?;
        let mut refused = replies.iter().map(|reply| reply.error_text());
        reopening.slots.retain(|(slot, _)| match refused.next().flatten() {
            Some(refusal) => {
                tracing::warn!(%slot, %refusal, "an open slot cannot be marked yet after the promotion; writes wait");
                true
            }
            None => false,
        });
        Ok(())
    }

    /// Ends the pause, and takes away in the same breath what had moved already.
    async fn let_writes_flow(&mut self, certain: &[(Slot, NodeId)]) {
        if let Err(error) = self.try_let_writes_flow(certain).await {
            tracing::warn!(error = %whole(&error), "writes stay paused for some seconds more");
            self.eye.close();
        }
    }

    async fn try_let_writes_flow(&mut self, certain: &[(Slot, NodeId)]) -> Result<(), RespError> {
        let owned = self.shared.state().server.running().and_then(|r| r.view.myself()).map(|me| me.slots.clone());
        let owned = owned.unwrap_or_default();
        let certain: Vec<_> = certain.iter().filter(|(slot, _)| owned.contains(*slot)).cloned().collect();
        let connection = self.eye.open(&self.shared).await?;
        let gone = doubles(&self.shared, connection, &certain).await?;
        if !gone.is_empty() {
            tracing::info!(keys = gone.len(), "keys that had moved before the promotion are taken away here");
        }
        // A pause holds this connection's writes too; what follows in the same bytes runs before any other client.
        let mut commands = vec![Command::new("CLIENT").arg("UNPAUSE")];
        commands.extend(gone.into_iter().map(|key| Command::new("UNLINK").bytes(key)));
        for refusal in connection.pipeline(&commands).await?.iter().filter_map(Reply::error_text) {
            tracing::warn!(%refusal, "a key that had moved stays here; the move will stop at it and say so");
        }
        Ok(())
    }

    fn not_reopened(&self, slots: &[(Slot, NodeId)]) {
        if slots.is_empty() {
            return;
        }
        let list: Vec<String> = slots.iter().map(|(slot, target)| format!("{slot} to {}", target.short())).collect();
        let text = format!(
            "{} was promoted while slots were on their way, and its server refused to open them again ({}); keys that \
             had arrived there are not seen here until the move goes on",
            self.shared.me.name,
            list.join(", ")
        );
        self.shared.state().event(Severity::Warning, "SlotsNotReopened", text);
    }
}

fn pause() -> Command {
    Command::new("CLIENT").arg("PAUSE").number(PAUSE_MS).arg("WRITE")
}

fn migrating(slot: Slot, target: &NodeId) -> Command {
    Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), "MIGRATING", target.as_str()])
}
