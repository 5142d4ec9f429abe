//! Pieces that the target's server pulls: `CLUSTER MIGRATION IMPORT`, Redis 8.4 and later. The target's agent begins, follows
//! and ends them; it does so only while this one asks.

use std::time::Duration;

use redisnode_agent_core::migration::{DriverKind, Phase, Speed, in_the_way, is_left_behind};
use redisnode_proto::SlotSet;
use redisnode_proto::message::{Mover as By, ReceiveReply};
use redisnode_proto::topology::Info;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::super::super::shared::whole;
use super::super::pair::Pair;
use super::{Begun, Mover, maps};
use crate::resp::{Command, Lanes, RespError};

/// A target's agent that does not answer for so long does not do it any more: it ends what nobody asks for.
const SILENT_AT_MOST: Duration = Duration::from_secs(10);

/// One task at a time of all pairs of this source: its server has no more.
pub(in super::super) struct Import {
    pair: Pair,
    own: Lanes,
    slots: SlotSet,
    turn: Option<OwnedMutexGuard<()>>,
    /// The piece was given up: whatever is asked of it from now on says so, or the target's agent would begin it anew.
    given_up: bool,
    silent_since: Option<Instant>,
}

impl Import {
    pub(in super::super) fn new(pair: &Pair) -> Self {
        Self {
            pair: pair.clone(),
            own: pair.own_lanes(),
            slots: SlotSet::new(),
            turn: None,
            given_up: false,
            silent_since: None,
        }
    }

    async fn source_is_free(&mut self) -> Result<Option<String>, String> {
        let info = self.own.demand(&Command::new("INFO").args_from(["persistence", "replication"])).await;
        let text = info.and_then(|info| info.text("INFO")).map_err(|error| whole(&error))?;
        let info = Info::parse(&text).and_then(|info| in_the_way(&info));
        info.map_err(|error| error.to_string())
    }
}

impl Mover for Import {
    const KIND: DriverKind = DriverKind::Import;
    /// The snapshot's child and the target's buffers hold what is written meanwhile.
    const BYTES: u64 = 1024 * 1024 * 1024;

    /// The source trims in the background, and writes stop for a last megabyte only: clients hardly notice (measured on 8.6:
    /// 3 to 10 ms at p99, whatever the piece).
    fn keys(_: Speed) -> u64 {
        2_000_000
    }

    async fn begin(&mut self, slots: &SlotSet) -> Result<Begun, String> {
        let Ok(turn) = self.pair.shared.jobs.importing.clone().try_lock_owned() else {
            return Ok(Begun::Busy("another move from this server is under way".into()));
        };
        if let Some(what) = self.source_is_free().await? {
            return Ok(Begun::Waits(format!("the source cannot begin: {what}")));
        }
        let begun = match self.pair.receive(slots, By::Target, false).await? {
            ReceiveReply::Running | ReceiveReply::Ended { .. } => Begun::Yes,
            ReceiveReply::Busy { reason } => return Ok(Begun::Busy(reason)),
            ReceiveReply::Waits { reason } => return Ok(Begun::Waits(reason)),
            ReceiveReply::Refused { reason } => return Err(format!("the target's agent takes nothing: {reason}")),
            ReceiveReply::Agreed => {
                return Err("the target's agent waits for this server to begin, and the move is its server's".into());
            }
        };
        (self.slots, self.turn, self.silent_since) = (slots.clone(), Some(turn), None);
        self.given_up = false;
        Ok(begun)
    }

    async fn look(&mut self) -> Result<Phase, String> {
        match self.pair.receive(&self.slots, By::Target, self.given_up).await {
            Ok(ReceiveReply::Ended { error }) => {
                self.turn = None;
                Ok(Phase::Over(error))
            }
            Ok(ReceiveReply::Running) => {
                self.silent_since = None;
                Ok(Phase::Running)
            }
            // It has forgotten the piece: its agent or its server has restarted.
            Ok(ReceiveReply::Busy { reason } | ReceiveReply::Waits { reason } | ReceiveReply::Refused { reason }) => {
                Ok(Phase::Over(Some(format!("the target's agent does not know of it any more: {reason}"))))
            }
            Ok(ReceiveReply::Agreed) => Ok(Phase::Over(Some("the target's agent does not know of it any more".into()))),
            Err(reason) => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SILENT_AT_MOST { Err(reason) } else { Ok(Phase::Running) }
            }
        }
    }

    async fn cancel(&mut self) {
        self.given_up = true;
        if let Err(reason) = self.pair.receive(&self.slots, By::Target, true).await {
            tracing::info!(reason, "the target's agent cannot be told to end a move; it ends what nobody asks for");
        }
        self.turn = None;
    }
}

/// Ends the own server's tasks that have failed and that no target will come back for: no driver could open their slots.
pub(in super::super) async fn end_left_behind(own: &mut Lanes) -> Result<(), RespError> {
    for task in maps(own.demand(&Command::new("CLUSTER").args_from(["MIGRATION", "STATUS", "ALL"])).await?)? {
        let field = |name: &str| task.get(name).map(String::as_str).unwrap_or_default();
        if is_left_behind(field("operation"), field("state")) {
            tracing::info!(task = field("id"), slots = field("slots"), "a move that has failed here is ended for good");
            own.run(&Command::new("CLUSTER").args_from(["MIGRATION", "CANCEL", "ID", field("id")])).await?;
        }
    }
    Ok(())
}
