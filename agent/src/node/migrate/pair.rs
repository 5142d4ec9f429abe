//! Source and target of a move, and what both opening and closing of slots say to a server.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use redisnode_agent_core::migration::set_slot_lanes;
use redisnode_proto::layout::MigrationSettings;
use redisnode_proto::message::{Mover, ReceiveReply, ReceiveRequest};
use redisnode_proto::topology::View;
use redisnode_proto::{Address, NodeId, Slot, SlotSet};
use tokio::time::Instant;

use super::super::reconcile::marks_survive;
use super::super::shared::Shared;
use crate::resp::{Command, Lanes, RespError};

pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// One answer of a server that is busy moving; longer than any MIGRATE may block it.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The target's agent may have to wait for a newer Layout, and for its server.
const RECEIVE_WITHIN: Duration = Duration::from_secs(8);

/// So long it is asked whether the own server is gone.
const GONE_WITHIN: Duration = Duration::from_secs(1);
const GONE_PAUSE: Duration = Duration::from_millis(2);

/// From here to there.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) shared: Arc<Shared>,
    pub(super) source: NodeId,
    pub(super) target_id: NodeId,
    pub(super) target: Address,
}

impl Pair {
    /// What the spec allows moves to cost.
    pub(super) fn bounds(&self) -> MigrationSettings {
        self.shared.state().ledger.layout.as_ref().map(|layout| layout.settings.migration).unwrap_or_default()
    }

    /// The size of a key of the source, bytes, as far as it is known: what its server uses, by its keys.
    pub(super) fn key_bytes(&self) -> Option<u64> {
        let state = self.shared.state();
        state.server.running().map(|running| running.used_memory / running.keys.max(1))
    }

    /// So many bytes are about to be sent: how long to wait before, where the spec bounds them.
    pub(super) fn pay(&self, bytes: u64) -> Duration {
        self.shared.jobs.sent(&self.shared, bytes, self.bounds().max_bytes_per_second)
    }

    /// Connections to the source, this agent's own server.
    pub(super) fn own_lanes(&self) -> Lanes {
        Lanes::new(self.shared.address.server(), self.shared.access(), CONNECT_WITHIN, ANSWER_WITHIN)
    }

    /// Connections to the target's server.
    pub(super) fn remote_lanes(&self) -> Lanes {
        Lanes::new(self.target.server(), self.shared.access(), CONNECT_WITHIN, ANSWER_WITHIN)
    }

    /// Whether surely nobody listens at the own server's address any more. A server that hangs is not gone. One that is
    /// ending may still take a connection: Linux closes its sockets last one first (seen), so a word from it counts, not
    /// the connection.
    pub(super) async fn own_is_gone(&self) -> bool {
        let until = Instant::now() + GONE_WITHIN;
        while Instant::now() < until {
            match self.ping_own().await {
                Ok(()) => return false,
                Err(RespError::Connect { source, .. }) if source.kind() == ErrorKind::ConnectionRefused => return true,
                Err(_) => tokio::time::sleep(GONE_PAUSE).await,
            }
        }
        false
    }

    async fn ping_own(&self) -> Result<(), RespError> {
        let mut connection = self.shared.connect(CONNECT_WITHIN).await?;
        connection.set_deadline(CONNECT_WITHIN);
        connection.demand(&Command::new("PING")).await.map(drop)
    }

    /// Asks the target's agent to take these slots in one piece, or how far that is.
    pub(super) async fn receive(&self, slots: &SlotSet, by: Mover, cancel: bool) -> Result<ReceiveReply, String> {
        let generation = self.shared.layout().map(|layout| layout.generation).unwrap_or_default();
        let epoch = {
            let state = self.shared.state();
            let view = state.server.running().map(|running| &running.view);
            view.and_then(View::myself).map(|me| me.epoch).unwrap_or_default()
        };
        let request =
            ReceiveRequest { generation, source: self.source.clone(), epoch, slots: slots.clone(), by, cancel };
        let reply = self.shared.client.receive(self.target.agent(), &request, RECEIVE_WITHIN).await;
        reply.map_err(|error| format!("the target's agent does not answer: {}", error.whole()))
    }

    pub(super) fn marks_survive(&self) -> bool {
        marks_survive(&self.shared.state().server)
    }

    /// `SETSLOT` with this word and the target's id, for all slots; each with its refusal, if it was refused.
    pub(super) async fn set_slots(
        &self,
        lanes: &mut Lanes,
        slots: &[Slot],
        word: &str,
    ) -> Result<Vec<(Slot, Option<String>)>, RespError> {
        let commands: Vec<Command> = slots
            .iter()
            .map(|slot| {
                Command::new("CLUSTER").args_from(["SETSLOT", &slot.to_string(), word, self.target_id.as_str()])
            })
            .collect();
        let replies = lanes.spread(&commands, set_slot_lanes(self.marks_survive())).await?;
        Ok(slots.iter().zip(replies).map(|(slot, reply)| (*slot, reply.error_text().map(str::to_owned))).collect())
    }
}

/// How many keys the server has of each slot.
pub(super) async fn count(lanes: &mut Lanes, slots: &[Slot]) -> Result<Vec<(Slot, u64)>, RespError> {
    let command = |slot: &Slot| Command::new("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot.to_string());
    let commands: Vec<Command> = slots.iter().map(command).collect();
    let mut counts = Vec::with_capacity(slots.len());
    for (slot, reply) in slots.iter().zip(lanes.pipeline(&commands).await?) {
        let keys = reply.integer("CLUSTER COUNTKEYSINSLOT")?;
        counts.push((*slot, u64::try_from(keys).unwrap_or(u64::MAX)));
    }
    Ok(counts)
}
