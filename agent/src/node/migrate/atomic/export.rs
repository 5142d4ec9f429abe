//! Pieces that the source's server pushes: `CLUSTER MIGRATESLOTS`, Valkey 9.0 and later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use redisnode_agent_core::migration::{DriverKind, Phase, Speed, export_phase, in_the_way, may_cancel};
use redisnode_proto::SlotSet;
use redisnode_proto::message::{Mover as By, ReceiveReply};
use redisnode_proto::topology::Info;

use super::super::super::shared::whole;
use super::super::pair::Pair;
use super::{Begun, Mover};
use crate::resp::{Command, Lanes, Reply, RespError};

/// While it waits for its last bytes to be acknowledged a job asks for none to be left, by default, which never comes under
/// steady writes (Valkey's source): with this many left the writes stop, and these are sent.
const LEFT_AT_PAUSE: (&str, &str) = ("slot-migration-max-failover-repl-bytes", "1048576");

/// One job of the source's server at a time.
pub(in super::super) struct Export {
    pair: Pair,
    own: Lanes,
    /// The running job's name.
    job: Option<String>,
    /// The sweeps before it began.
    sweeps: u64,
    is_set_up: bool,
}

impl Export {
    pub(in super::super) fn new(pair: &Pair) -> Self {
        Self { pair: pair.clone(), own: pair.own_lanes(), job: None, sweeps: 0, is_set_up: false }
    }

    /// Lets the job end under steady writes, unless the user has said what the server should do.
    async fn set_up(&mut self) -> Result<(), RespError> {
        if std::mem::replace(&mut self.is_set_up, true) {
            return Ok(());
        }
        let (name, value) = LEFT_AT_PAUSE;
        let found = self.own.demand(&Command::new("CONFIG").args_from(["GET", name])).await?;
        let held = found.into_array().unwrap_or_default();
        if held.get(1).and_then(Reply::as_text) == Some("0") {
            self.own.demand(&Command::new("CONFIG").args_from(["SET", name, value])).await?;
        }
        Ok(())
    }

    fn sweeps_now(&self) -> u64 {
        self.pair.shared.jobs.sweeps.load(Ordering::Relaxed)
    }

    async fn jobs(&mut self) -> Result<Vec<BTreeMap<String, String>>, RespError> {
        maps(self.own.demand(&Command::new("CLUSTER").arg("GETSLOTMIGRATIONS")).await?)
    }

    /// Begins, and learns the job's name: the server does not tell it.
    async fn start(&mut self, slots: &SlotSet) -> Result<Begun, RespError> {
        // Two that begin at once could not tell their jobs apart.
        let jobs = self.pair.shared.clone();
        let _one = jobs.jobs.beginning.lock().await;
        let info = Info::parse(
            &self.own.demand(&Command::new("INFO").args_from(["persistence", "replication"])).await?.text("INFO")?,
        );
        match info.and_then(|info| in_the_way(&info)) {
            Ok(None) => {}
            Ok(Some(what)) => return Ok(Begun::Waits(format!("the source cannot begin: {what}"))),
            Err(error) => return Ok(Begun::Waits(format!("the source's state is not known: {error}"))),
        }
        self.sweeps = self.sweeps_now();
        let before: BTreeSet<String> =
            self.jobs().await?.into_iter().filter_map(|job| job.get("name").cloned()).collect();
        let command = Command::new("CLUSTER").args_from(["MIGRATESLOTS", "SLOTSRANGE"]);
        let ranges = slots.ranges();
        let command =
            command.args_from(ranges.iter().flat_map(|range| [range.start().to_string(), range.end().to_string()]));
        let reply = self.own.run(&command.args_from(["NODE", self.pair.target_id.as_str()])).await?;
        if let Some(refusal) = reply.error_text() {
            return Ok(Begun::Waits(format!("the source's server does not begin: {refusal}")));
        }
        let target = self.pair.target_id.as_str().to_owned();
        let is_ours = |job: &BTreeMap<String, String>| {
            let is = |field: &str, value: &str| job.get(field).is_some_and(|held| held == value);
            is("operation", "EXPORT")
                && is("target_node", &target)
                && job.get("name").is_some_and(|name| !before.contains(name))
        };
        self.job = self.jobs().await?.into_iter().find(is_ours).and_then(|job| job.get("name").cloned());
        Ok(Begun::Yes)
    }
}

impl Mover for Export {
    const KIND: DriverKind = DriverKind::MigrateSlots;
    /// What is written meanwhile waits in the source's output buffer, which has a limit of 256 MiB by default.
    const BYTES: u64 = 512 * 1024 * 1024;

    /// The source deletes a piece's keys in one go, and the target takes the snapshot in as fast as it can.
    fn keys(speed: Speed) -> u64 {
        speed.piece(2_000_000)
    }

    async fn begin(&mut self, slots: &SlotSet) -> Result<Begun, String> {
        match self.pair.receive(slots, By::Source, false).await? {
            ReceiveReply::Agreed => {}
            ReceiveReply::Busy { reason } => return Ok(Begun::Busy(reason)),
            ReceiveReply::Waits { reason } => return Ok(Begun::Waits(reason)),
            ReceiveReply::Refused { reason } => return Err(format!("the target's agent takes nothing: {reason}")),
            ReceiveReply::Running | ReceiveReply::Ended { .. } => {
                return Err(
                    "the target's agent speaks of a move that its server does, and this one is the source's".into()
                );
            }
        }
        self.set_up().await.map_err(|error| whole(&error))?;
        self.start(slots).await.map_err(|error| whole(&error))
    }

    async fn look(&mut self) -> Result<Phase, String> {
        let Some(name) = self.job.clone() else {
            return Ok(Phase::Over(Some("the server does not show the job that it began".into())));
        };
        let jobs = self.jobs().await.map_err(|error| whole(&error))?;
        let Some(job) = jobs.into_iter().find(|job| job.get("name") == Some(&name)) else {
            // The list is in memory only: the server has restarted, or was reloaded.
            self.job = None;
            return Ok(Phase::Over(Some("the server has forgotten the job".into())));
        };
        let field = |name: &str| job.get(name).map(String::as_str).unwrap_or_default();
        let phase = export_phase(field("state"), field("message"), self.sweeps_now() != self.sweeps);
        if matches!(phase, Phase::Over(_) | Phase::Swept) {
            // Nothing of it is left to be cancelled: the command would end the jobs of other pairs.
            self.job = None;
        }
        Ok(phase)
    }

    /// Ends every export of the server: there is no way to end one. Jobs of other pairs begin their pieces again.
    async fn cancel(&mut self) {
        if self.job.is_none() {
            return;
        }
        // Counted before it happens: who is swept must not see the end before the count.
        self.pair.shared.jobs.sweeps.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = cancel_exports(&mut self.own).await {
            tracing::info!(error = %whole(&error), "a job of the server cannot be cancelled; it ends by itself");
        }
    }
}

/// Ends every export of the server, unless one is past the point where that is safe.
async fn cancel_exports(own: &mut Lanes) -> Result<(), RespError> {
    let jobs = maps(own.demand(&Command::new("CLUSTER").arg("GETSLOTMIGRATIONS")).await?)?;
    let exports = jobs.iter().filter(|job| job.get("operation").is_some_and(|operation| operation == "EXPORT"));
    if !may_cancel(exports.filter_map(|job| job.get("state")).map(String::as_str)) {
        return Ok(());
    }
    // None under way any more is an error to the server, and what is wanted here.
    own.run(&Command::new("CLUSTER").arg("CANCELSLOTMIGRATIONS")).await.map(drop)
}

/// A list of maps with text fields, as RESP2 has them.
pub(in crate::node) fn maps(reply: Reply) -> Result<Vec<BTreeMap<String, String>>, RespError> {
    let text = |reply: Reply| match reply {
        Reply::Integer(number) => Some(number.to_string()),
        other => other.as_text().map(str::to_owned),
    };
    let map = |entry: Reply| {
        let mut fields = entry.into_array().unwrap_or_default().into_iter();
        let mut map = BTreeMap::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            if let (Some(name), Some(value)) = (text(name), text(value)) {
                map.insert(name, value);
            }
        }
        map
    };
    Ok(reply.array("a list of moves")?.into_iter().map(map).collect())
}
