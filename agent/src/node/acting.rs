//! Carries out duties, one after the other. A duty that fails is logged and comes again; nothing is retried here.

use std::sync::Arc;
use std::time::Duration;

use redisnode_agent_core::duties::{self, Duty};
use redisnode_proto::event::Severity;
use redisnode_proto::message::ResumeRequest;
use redisnode_proto::{Address, Millis, NodeId, NodeName, Slot, SlotSet};

use super::reconcile::Reconciler;
use super::shared::whole;
use super::tasks::Done;
use crate::resp::{Command, RespError};

/// A MEET that is on its way is not repeated sooner.
const MEET_AGAIN: Millis = Millis(300);
/// A slot just opened for arrival is left alone so long: the source opens its side in the meantime.
pub(super) const IMPORT_GRACE: Millis = Millis(5000);

/// A duty, as far as a change of it is news. While slots move they become fewer all the time, and peers are asked again
/// and again.
fn said(duty: &Duty, moving: bool) -> Option<String> {
    match duty {
        Duty::Send(send) => Some(format!("Send to {}", send.target)),
        Duty::Ask(_) if moving => None,
        other => Some(format!("{other:?}")),
    }
}

impl Reconciler {
    /// Decides and acts. True while there is something to do.
    pub(super) async fn act(&mut self) -> bool {
        let list = self.with_situation(duties::duties);
        let moving = self.is_moving();
        self.decided(list.iter().filter_map(|duty| said(duty, moving)).collect::<Vec<_>>().join(", "));
        if !self.handing_off && !list.iter().any(|duty| matches!(duty, Duty::HandOff { .. })) {
            // Nobody wants one any more: who asked for it was told how it ended.
            self.shared.state().settle("HandoffFailed");
        }
        let mut sends = Vec::new();
        for duty in &list {
            if let Duty::Send(send) = duty {
                sends.push(send.clone());
            } else if let Err(error) = self.perform(duty).await {
                tracing::info!(?duty, error = %whole(&error), "duty not done");
                if !matches!(error, RespError::Refused { .. }) {
                    self.eye.close();
                    return true;
                }
            }
        }
        if !self.handing_off {
            self.shared.jobs.reconcile(&self.shared, sends, &mut self.tasks);
        }
        // A founder that has nothing to do waits for what others show, and that is there within milliseconds.
        !list.is_empty() || self.with_situation(duties::is_founding)
    }

    async fn perform(&mut self, duty: &Duty) -> Result<(), RespError> {
        match duty {
            Duty::Ask(names) => self.ask(names.clone()),
            Duty::SetNodeTimeout(timeout) => {
                self.set("cluster-node-timeout", &timeout.0.to_string()).await?;
                self.eye.node_timeout = Some(*timeout);
            }
            Duty::SetNoFailover(on) => {
                self.set("cluster-replica-no-failover", if *on { "yes" } else { "no" }).await?;
                self.eye.no_failover = Some(*on);
            }
            Duty::BumpEpoch => self.cluster(&["BUMPEPOCH"]).await?,
            Duty::SetEpoch(epoch) => self.cluster(&["SET-CONFIG-EPOCH", &epoch.0.to_string()]).await?,
            Duty::Claim { slots, bump } => self.claim(slots, *bump).await?,
            Duty::Meet { name, id, address } => self.meet(name, id, address).await?,
            Duty::Forget(id) => self.cluster(&["FORGET", id.as_str()]).await?,
            Duty::Replicate(id) => self.cluster(&["REPLICATE", id.as_str()]).await?,
            Duty::Unprime(claim) => self.unprime(claim.as_ref()).await?,
            Duty::Reset => self.reset().await?,
            Duty::SetAside { reason } => self.set_aside(reason).await,
            Duty::EndFounding => {
                // Settings go back first: a crash between the two lines repeats both.
                self.write_down(|ledger| ledger.founded = true);
            }
            Duty::Send(_) => {}
            Duty::CloseImport { slot, owner } => self.close_import(*slot, owner).await?,
            Duty::CloseExport { slot } => self.cluster(&["SETSLOT", &slot.to_string(), "STABLE"]).await?,
            Duty::DropDoubles { slots, owner } => self.drop_doubles(slots, owner).await?,
            Duty::ClearOpenSlots => {
                self.write_down(|ledger| ledger.open_slots = None);
            }
            Duty::HandOff { to } => self.hand_off(to.clone()),
            Duty::Retire => self.retire().await,
        }
        Ok(())
    }

    async fn set(&mut self, name: &str, value: &str) -> Result<(), RespError> {
        let command = Command::new("CONFIG").arg("SET").arg(name).arg(value);
        self.eye.open(&self.shared).await?.demand(&command).await.map(drop)
    }

    pub(super) async fn cluster(&mut self, words: &[&str]) -> Result<(), RespError> {
        let command = Command::new("CLUSTER").args_from(words);
        self.eye.open(&self.shared).await?.demand(&command).await.map(drop)
    }

    async fn claim(&mut self, slots: &SlotSet, bump: bool) -> Result<(), RespError> {
        self.eye.open(&self.shared).await?.demand(&add_slots(slots)).await?;
        if bump {
            self.cluster(&["BUMPEPOCH"]).await?;
            let text = format!("slots {slots} had no living owner and belong to {} now", self.shared.me.name);
            self.shared.state().event(Severity::Warning, "SlotsClaimed", text);
        }
        Ok(())
    }

    async fn meet(&mut self, name: &NodeName, id: &NodeId, address: &Address) -> Result<(), RespError> {
        let now = self.shared.now();
        if self.met_at.get(id).is_some_and(|at| now.since(*at) < MEET_AGAIN) {
            return Ok(());
        }
        self.met_at.insert(id.clone(), now);
        tracing::info!(peer = %name, "meet");
        let (ip, port, bus) = (address.ip.to_string(), address.port.to_string(), address.bus_port.to_string());
        self.cluster(&["MEET", &ip, &port, &bus]).await
    }

    /// The servers forget the keys at a reset, but not what they have written of them: a start before the next save would
    /// bring them back, and take their slots (seen on Redis 8.6 and Valkey 9.1). FLUSHALL empties that too.
    async fn reset(&mut self) -> Result<(), RespError> {
        self.cluster(&["RESET", "HARD"]).await?;
        self.eye.open(&self.shared).await?.demand(&Command::new("FLUSHALL")).await?;
        let text = format!("{} was a replica and is an empty primary of a new shard now", self.shared.me.name);
        self.shared.state().event(Severity::Normal, "Reset", text);
        Ok(())
    }

    /// The server is stopped; the start that follows moves the data aside first.
    async fn set_aside(&mut self, reason: &str) {
        self.aside = Some(reason.to_owned());
        self.end_server().await;
    }

    /// Keys of a slot that its owner does not send: if there are none the mark goes; else the owner is asked to go on.
    async fn close_import(&mut self, slot: Slot, owner: &NodeName) -> Result<(), RespError> {
        let now = self.shared.now();
        let recent = self.shared.state().imports.get(&slot.number()).is_some_and(|at| now.since(*at) < IMPORT_GRACE);
        if recent {
            return Ok(());
        }
        let count = Command::new("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot.to_string());
        let keys = self.eye.open(&self.shared).await?.demand(&count).await?.integer("CLUSTER COUNTKEYSINSLOT")?;
        if keys == 0 {
            tracing::info!(%slot, "an open slot that nobody sends is closed");
            return self.cluster(&["SETSLOT", &slot.to_string(), "STABLE"]).await;
        }
        let bound = self.shared.state().server.running().is_some_and(|running| running.view.owner(slot).is_some());
        if !bound {
            self.cluster(&["SETSLOT", &slot.to_string(), "STABLE"]).await?;
        }
        self.ask_to_resume(slot, owner);
        Ok(())
    }

    fn ask_to_resume(&mut self, slot: Slot, owner: &NodeName) {
        let me = self.shared.state().server.running().map(|running| running.view.me.clone());
        let (Some(target), Some(address)) = (me, self.shared.agent_of(owner)) else { return };
        self.shared.state().imports.insert(slot.number(), self.shared.now());
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let request = ResumeRequest { target, slots: vec![slot] };
            if let Err(error) = shared.client.resume(address.agent(), &request, Duration::from_secs(2)).await {
                tracing::warn!(%slot, error = %error.whole(), "cannot ask the owner to finish the move");
            }
            Done::Told
        });
    }

    /// Says so, then stops the server; the start check that follows has the folder emptied.
    async fn retire(&mut self) {
        self.shared.state().event(Severity::Normal, "Retiring", "the member gives up its server and its data");
        if !self.write_down(|ledger| ledger.retired = true) {
            return;
        }
        self.end_server().await;
    }
}

pub(super) fn add_slots(slots: &SlotSet) -> Command {
    let ranges = slots.ranges();
    let numbers = ranges.iter().flat_map(|range| [range.start().to_string(), range.end().to_string()]);
    Command::new("CLUSTER").arg("ADDSLOTSRANGE").args_from(numbers)
}
