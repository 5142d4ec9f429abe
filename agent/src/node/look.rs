//! One look at the own server: its node table, its replication, its memory. Nothing is decided here.

use std::time::Duration;

use redisnode_agent_core::remember::remember;
use redisnode_proto::report::{Running, ServerState};
use redisnode_proto::topology::nodes::{parse_view, strip_primer};
use redisnode_proto::topology::{BadReply, ClusterInfo, Info, Role, View};
use redisnode_proto::{Millis, SlotSet};

use super::shared::{Shared, whole};
use super::weigh::Weigher;
use crate::resp::{Command, Connection, Reply, RespError};

/// How long the server may take to answer a look before it counts as not answering.
pub(super) const WITHIN: Duration = Duration::from_secs(1);
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// Why a look saw nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Resp(#[from] RespError),
    #[error(transparent)]
    Bad(#[from] BadReply),
}

impl LookError {
    /// Whether the server has answered, though not what was asked.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Bad(_) | Self::Resp(RespError::Refused { .. }))
    }
}

/// What a look at the server needs and keeps from one time to the next.
#[derive(Debug, Default)]
pub(super) struct Eye {
    pub(super) connection: Option<Connection>,
    /// `cluster-node-timeout` in force, as far as this agent knows.
    pub(super) node_timeout: Option<Millis>,
    /// `cluster-replica-no-failover` in force.
    pub(super) no_failover: Option<bool>,
    /// Of a primary: slots that are not its own and of which it held keys when they were counted.
    pub(super) strays: Option<SlotSet>,
    /// Of a primary: what its slots weigh.
    pub(super) weigher: Weigher,
}

impl Eye {
    /// The connection to the own server, opened if there is none.
    pub(super) async fn open(&mut self, shared: &Shared) -> Result<&mut Connection, RespError> {
        if self.connection.as_ref().is_none_or(Connection::is_poisoned) {
            self.close();
            let mut connection = shared.connect(CONNECT_WITHIN).await?;
            connection.set_deadline(WITHIN);
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(RespError::Poisoned { because: "it was closed".into() })
    }

    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// Looks once. `gated` says whether the agent holds writes back.
    pub(super) async fn look(&mut self, shared: &Shared, gated: bool) -> Result<ServerState, LookError> {
        let commands = [
            Command::new("INFO").args_from(["server", "memory", "persistence", "replication", "keyspace"]),
            Command::new("CLUSTER").arg("INFO"),
            Command::new("CLUSTER").arg("NODES"),
        ];
        let connection = self.open(shared).await?;
        let mut replies = connection.pipeline(&commands).await?.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::Nil);
        let info = Info::parse(&next().text("INFO")?)?;
        if info.loading()? {
            return Ok(ServerState::Loading);
        }
        let cluster = ClusterInfo::parse(&next().text("CLUSTER INFO")?)?;
        let mut view = parse_view(&next().text("CLUSTER NODES")?, &cluster)?;
        let primed = strip_primer(&mut view);
        let mut replication = info.replication()?;
        if primed {
            replication.role = Role::Primary;
        }
        let strays = self.strays(&view, replication.role);
        let weighed = self.weigher.weighed(shared.now()).filter(|_| replication.role == Role::Primary);
        let running = Running {
            version: info.version()?,
            run_id: info.run_id()?.to_owned(),
            replication,
            keys: info.keys()?,
            strays,
            used_memory: info.used_memory()?,
            max_memory: info.max_memory()?,
            data_memory: Some(info.data_memory()?),
            backlog_growth: Some(info.backlog_growth()?),
            weighed,
            started_empty: false,
            synced_since_start: false,
            writes_paused: gated,
            primed,
            view,
        };
        self.know_settings().await?;
        Ok(ServerState::Running(Box::new(note(shared, running))))
    }

    /// What was counted, less what has become the server's own since, or is open. A replica is counted anew when it is
    /// promoted.
    fn strays(&mut self, view: &View, role: Role) -> SlotSet {
        if role != Role::Primary {
            self.strays = None;
        }
        let Some(counted) = &mut self.strays else { return SlotSet::new() };
        let mine = view.myself().map(|me| me.slots.clone()).unwrap_or_default();
        *counted = counted.difference(&mine).difference(&view.open.iter().map(|open| open.slot).collect());
        counted.clone()
    }

    /// Reads once what the agent itself changes later.
    async fn know_settings(&mut self) -> Result<(), LookError> {
        if self.node_timeout.is_some() && self.no_failover.is_some() {
            return Ok(());
        }
        let Some(connection) = self.connection.as_mut() else { return Ok(()) };
        let timeout = config(connection, "cluster-node-timeout").await?;
        let no_failover = config(connection, "cluster-replica-no-failover").await?;
        self.node_timeout = timeout.and_then(|text| text.parse().ok()).map(Millis);
        self.no_failover = no_failover.map(|text| text == "yes");
        Ok(())
    }
}

/// `CONFIG GET` of one exact name; absent if the server does not know it.
pub(super) async fn config(connection: &mut Connection, name: &str) -> Result<Option<String>, RespError> {
    let reply = connection.demand(&Command::new("CONFIG").arg("GET").arg(name)).await?;
    let pair = reply.into_array().unwrap_or_default();
    Ok(pair.get(1).and_then(Reply::as_text).map(str::to_owned))
}

/// Writes down what must outlive this agent, and fills in what only the ledger knows.
fn note(shared: &Shared, mut running: Running) -> Running {
    let ledger = shared.state().ledger.clone();
    let next = remember(&ledger, &running);
    if next != ledger
        && let Err(error) = shared.change_ledger(|ledger| *ledger = next)
    {
        tracing::error!(error = %whole(&error), "cannot write the ledger");
    }
    let state = shared.state();
    running.started_empty = state.ledger.started_empty;
    running.synced_since_start = state.ledger.synced_run.as_deref() == Some(running.run_id.as_str());
    running
}
