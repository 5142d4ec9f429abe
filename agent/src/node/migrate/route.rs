//! What the `MIGRATE`s of a job say, and how long they may take.

use redisnode_agent_core::migration::{must_replace, timeout_for_one};
use redisnode_proto::{Address, Millis, NodeId};

use super::find::Batch;
use crate::resp::{Auth, Command};

/// Most commands in flight.
pub(super) const WINDOW: usize = 16;

/// What every `MIGRATE` of a job says.
pub(super) struct Route {
    pub(super) source: NodeId,
    pub(super) target: Address,
    pub(super) auth: Auth,
    pub(super) node_timeout: Millis,
}

impl Route {
    /// Most commands that may be in flight: a target that hangs holds the source up for all of them, one after the
    /// other, and that must stay below a quarter of the node time-out.
    pub(super) fn window(&self) -> usize {
        let fit = usize::try_from(self.node_timeout.0 / 4 / 200).unwrap_or(WINDOW);
        fit.clamp(1, WINDOW)
    }

    /// A batch that fills one command alone may take as long as all others together, and a very large key longer.
    pub(super) fn timeout_ms(&self, batch: &Batch) -> u64 {
        if batch.is_large() {
            let again = batch.attempts.iter().any(|attempt| attempt.timed_out);
            let timeout = timeout_for_one(batch.bytes, again, self.node_timeout).as_millis();
            return u64::try_from(timeout).unwrap_or(self.node_timeout.0);
        }
        self.node_timeout.0 / 4 / self.window() as u64
    }

    pub(super) fn command(&self, batch: &Batch) -> Command {
        let command = Command::new("MIGRATE")
            .arg(self.target.ip.to_string())
            .arg(self.target.port.to_string())
            .arg("")
            .arg("0")
            .number(self.timeout_ms(batch));
        let command = if must_replace(&batch.attempts, &self.source) { command.arg("REPLACE") } else { command };
        let command = self.auth.append_to_migrate(command).arg("KEYS");
        batch.keys.iter().cloned().fold(command, Command::bytes)
    }
}
