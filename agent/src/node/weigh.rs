//! Reads what the slots of the own server weigh, some of them at a time, where the Layout asks for it. What a server can tell
//! is asked of the server: its statistics of slots where it has them, else samples of keys. (Seen: Redis 8.6 tells bytes only
//! if its statistics were on when it started, and takes `cpu` but not `yes` while it runs. Redis 8.0 and older have none.)

mod figures;

use redisnode_agent_core::weighing::Scale;
use redisnode_proto::report::Running;
use redisnode_proto::spec::Balance;
use redisnode_proto::topology::Role;
use redisnode_proto::weights::Weighed;
use redisnode_proto::{Millis, SlotSet};

use super::look::config;
use super::reconcile::Reconciler;
use super::shared::whole;
use crate::resp::{Command, Connection, RespError};
use figures::{BYTES, Means, TIME, read, statistics};

/// The directive that has a server count what is asked of each slot.
const COUNTS: &str = "cluster-slot-stats-enabled";
/// Its values that switch on the counting of time, in the order in which they are tried.
const ON: [&str; 2] = ["yes", "cpu"];
/// How long after a refusal the server is asked again what it can tell.
const ASK_AGAIN: Millis = Millis(10_000);
/// How long after a reading that told nothing the next one is tried.
const RETRY: Millis = Millis(1000);

/// What is to be weighed.
struct Task {
    by: Balance,
    owned: SlotSet,
    /// What all keys take, bytes.
    data: u64,
    /// The user's own word on [`COUNTS`].
    told: Option<String>,
}

/// What is known of the weights, for as long as the connection to the server lasts.
#[derive(Debug, Default)]
pub(super) struct Weigher {
    means: Option<(Balance, Result<Means, String>)>,
    scale: Option<Scale>,
    read_at: Option<Millis>,
    /// This agent has switched the counting on.
    switched: bool,
}

impl Reconciler {
    /// Reads some more slots when they are due.
    pub(super) async fn weigh(&mut self) {
        let (now, task) = (self.shared.now(), self.task());
        if !self.eye.weigher.is_due(task.as_ref(), now) {
            return;
        }
        let shared = self.shared.clone();
        let mut weigher = std::mem::take(&mut self.eye.weigher);
        let result = match (&task, self.eye.open(&shared).await) {
            (Some(task), Ok(connection)) => weigher.read(connection, task, now).await,
            (None, Ok(connection)) => weigher.end(connection).await,
            (_, Err(error)) => Err(error),
        };
        self.eye.weigher = weigher;
        if let Err(error) = result {
            tracing::info!(error = %whole(&error), "slots are not weighed now; the next look goes on");
            if !matches!(error, RespError::Refused { .. }) {
                self.eye.close();
            }
        }
    }

    fn task(&self) -> Option<Task> {
        let state = self.shared.state();
        let settings = &state.ledger.layout.as_ref()?.settings;
        let running = state.server.running().filter(|running| running.replication.role == Role::Primary)?;
        let owned = running.view.myself().map(|me| me.slots.clone()).unwrap_or_default();
        (!settings.balance.is_by_slots() && !owned.is_empty()).then(|| Task {
            by: settings.balance,
            owned,
            data: data(running),
            told: settings.redis_config.get(COUNTS).cloned(),
        })
    }
}

fn data(running: &Running) -> u64 {
    running.data_memory.unwrap_or(running.used_memory)
}

impl Weigher {
    /// What is known now.
    pub(super) fn weighed(&self, now: Millis) -> Option<Weighed> {
        match &self.means {
            Some((by, Err(reason))) => Some(Weighed::Unable { by: *by, reason: reason.clone() }),
            Some((_, Ok(_))) | None => self.scale.as_ref().and_then(|scale| scale.weights(now)).map(Weighed::Known),
        }
    }

    fn is_due(&self, task: Option<&Task>, now: Millis) -> bool {
        let Some(task) = task else { return self.means.is_some() || self.switched };
        let pause = match (&self.means, &self.scale) {
            (Some((by, _)), _) if *by != task.by => Millis(0),
            (Some((_, Err(_))), _) => ASK_AGAIN,
            (_, Some(scale)) => scale.pause(),
            (_, None) => RETRY,
        };
        self.read_at.is_none_or(|at| now.since(at) >= pause)
    }

    async fn read(&mut self, connection: &mut Connection, task: &Task, now: Millis) -> Result<(), RespError> {
        self.read_at = Some(now);
        let means = match &self.means {
            Some((by, Ok(means))) if *by == task.by => *means,
            Some(_) | None => {
                let found = self.find_means(connection, task).await?;
                let means = Some((task.by, found.clone()));
                if self.means != means {
                    tracing::info!(by = %task.by, means = ?found, "slots are weighed");
                }
                self.means = means;
                let Ok(means) = found else {
                    self.scale = None;
                    return Ok(());
                };
                means
            }
        };
        let fits = |scale: &Scale| scale.is_for(task.by, &task.owned);
        let mut scale = self.scale.take().filter(fits).unwrap_or_else(|| Scale::new(task.by, &task.owned));
        match read(connection, means, scale.due(), task.data).await? {
            Some(figures) => {
                scale.take(figures, now);
                self.scale = Some(scale);
            }
            // Slots have come or gone since the look, or the counting was switched off: all anew.
            None => self.means = None,
        }
        Ok(())
    }

    /// Nothing is to be weighed any more.
    async fn end(&mut self, connection: &mut Connection) -> Result<(), RespError> {
        self.switch_off(connection).await?;
        *self = Self::default();
        Ok(())
    }

    /// Ends the counting that this agent has switched on.
    async fn switch_off(&mut self, connection: &mut Connection) -> Result<(), RespError> {
        if std::mem::take(&mut self.switched) {
            connection.demand(&Command::new("CONFIG").args_from(["SET", COUNTS, "no"])).await?;
        }
        Ok(())
    }

    /// How the server's figures can be read; or why not, and what to do.
    async fn find_means(
        &mut self,
        connection: &mut Connection,
        task: &Task,
    ) -> Result<Result<Means, String>, RespError> {
        let question = Command::new("COMMAND").args_from(["INFO", "cluster|slot-stats"]);
        let answer = connection.demand(&question).await?.array("COMMAND INFO")?;
        let has_statistics = answer.first().is_some_and(|reply| !reply.is_nil());
        if task.by != Balance::Operations {
            self.switch_off(connection).await?;
            let Some(slot) = task.owned.first().filter(|_| has_statistics) else { return Ok(Ok(Means::Samples)) };
            let tells = statistics(connection, &[slot], BYTES).await?.is_some();
            return Ok(Ok(if tells { Means::Statistics(BYTES) } else { Means::Samples }));
        }
        if !has_statistics {
            let reason = "it does not count what is asked of each slot, as Valkey 8.0 and Redis 8.2 do; run one of these, \
                          or write balance: Bytes or Slots";
            return Ok(Err(reason.to_owned()));
        }
        if config(connection, COUNTS).await?.is_some_and(|value| value == "yes" || value.contains("cpu")) {
            return Ok(Ok(Means::Statistics(TIME)));
        }
        if let Some(told) = &task.told {
            return Ok(Err(format!("redisConfig has {COUNTS}: {told}; leave that out, or write yes")));
        }
        self.switch_on(connection).await
    }

    async fn switch_on(&mut self, connection: &mut Connection) -> Result<Result<Means, String>, RespError> {
        let mut refusal = String::new();
        for value in ON {
            let reply = connection.run(&Command::new("CONFIG").args_from(["SET", COUNTS, value])).await?;
            match reply.error_text() {
                None => {
                    self.switched = true;
                    return Ok(Ok(Means::Statistics(TIME)));
                }
                Some(text) => text.clone_into(&mut refusal),
            }
        }
        Ok(Err(format!("it refuses {COUNTS}: {refusal}")))
    }
}
