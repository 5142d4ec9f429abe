//! The keys of open slots: found, measured, and moved by pipelined `MIGRATE`.

use bytes::Bytes;
use redisnode_agent_core::migration::{AfterMigrate, Attempt, BatchLimit, Key, after_migrate, batches, must_replace};
use redisnode_proto::{Address, Millis, NodeId, Slot};

use super::driver::Shown;
use crate::resp::{Auth, Command, Connection, Reply, RespError, WindowReceiver, WindowSender};

/// Few keys and few bytes a command: the source and the target do nothing else meanwhile. (Measured: 20 keys a command
/// keep a client's p99 at 8 ms where 100 cost 52 ms.)
pub(super) const LIMIT: BatchLimit = BatchLimit { keys: 20, bytes: 64 * 1024 };
/// Most commands in flight.
pub(super) const WINDOW: usize = 16;
/// Keys that one look at a slot takes.
const SCAN: u32 = 5000;
const TRIES: usize = 8;

/// Keys for one `MIGRATE`, and what became of earlier tries.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    keys: Vec<Bytes>,
    pub(super) bytes: u64,
    attempts: Vec<Attempt>,
}

/// What every `MIGRATE` of a job says.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) source: NodeId,
    pub(super) target: Address,
    pub(super) auth: Auth,
    pub(super) node_timeout: Millis,
}

impl Route {
    /// How many commands may be in flight: a target that hangs holds the source up for all of them, one after the
    /// other, and that must stay below a quarter of the node time-out.
    pub(super) fn window(&self) -> usize {
        let fit = usize::try_from(self.node_timeout.0 / 4 / 200).unwrap_or(WINDOW);
        fit.clamp(1, WINDOW)
    }

    /// A batch that fills one command alone may take as long as all others together.
    fn timeout_ms(&self, batch: &Batch) -> u64 {
        let quarter = self.node_timeout.0 / 4;
        if batch.is_large() { quarter } else { quarter / self.window() as u64 }
    }

    fn command(&self, batch: &Batch) -> Command {
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

impl Batch {
    fn is_large(&self) -> bool {
        self.bytes >= LIMIT.bytes
    }
}

/// What a look at open slots has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) batches: Vec<Batch>,
    /// Slots that hold more keys than one look takes.
    pub(super) more: Vec<Slot>,
}

/// The keys of the slots as batches, each of one slot (the servers refuse others). Slots that are open at their source
/// get no new keys, so a list stays good.
pub(super) async fn collect(own: &mut Connection, slots: &[Slot]) -> Result<Found, RespError> {
    let commands: Vec<Command> = slots
        .iter()
        .map(|slot| Command::new("CLUSTER").arg("GETKEYSINSLOT").arg(slot.to_string()).number(SCAN))
        .collect();
    let mut found = Found::default();
    let mut names: Vec<(Slot, Bytes)> = Vec::new();
    for (slot, reply) in slots.iter().zip(own.pipeline(&commands).await?) {
        let keys = reply.array("CLUSTER GETKEYSINSLOT")?;
        if keys.len() >= SCAN as usize {
            found.more.push(*slot);
        }
        names.extend(keys.into_iter().filter_map(Reply::into_bytes).map(|name| (*slot, name)));
    }
    let keys = measure(own, &names).await?;
    for slot in slots {
        let of_slot = keys.iter().filter(|(of, _)| of == slot).map(|(_, key)| key.clone()).collect();
        found.batches.extend(batches(of_slot, LIMIT).into_iter().map(|keys| Batch {
            bytes: keys.iter().map(|key| key.bytes.unwrap_or(LIMIT.bytes)).sum(),
            keys: keys.into_iter().map(|key| key.name).collect(),
            attempts: Vec::new(),
        }));
    }
    Ok(found)
}

/// Sizes in memory, from one sample of each collection: constant time whatever its length.
async fn measure(own: &mut Connection, names: &[(Slot, Bytes)]) -> Result<Vec<(Slot, Key<Bytes>)>, RespError> {
    const AT_ONCE: usize = 500;
    let mut keys = Vec::with_capacity(names.len());
    for chunk in names.chunks(AT_ONCE) {
        let commands: Vec<Command> = chunk
            .iter()
            .map(|(_, name)| Command::new("MEMORY").arg("USAGE").bytes(name.clone()).arg("SAMPLES").arg("1"))
            .collect();
        for ((slot, name), reply) in chunk.iter().zip(own.pipeline(&commands).await?) {
            let bytes = match reply {
                // Gone meanwhile (deleted, expired): nothing to move.
                Reply::Nil => continue,
                Reply::Integer(size) => u64::try_from(size).ok(),
                Reply::Status(_) | Reply::Error(_) | Reply::Bulk(_) | Reply::Array(_) => None,
            };
            keys.push((*slot, Key { name: name.clone(), bytes }));
        }
    }
    Ok(keys)
}

/// What moving some batches came to.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Why some keys could not be moved, if some could not.
    pub(super) stopped: Option<String>,
}

/// Moves the batches, several commands in flight. Large keys go alone, with nothing behind them in the queue.
pub(super) async fn migrate(
    window: &mut (WindowSender, WindowReceiver),
    route: &Route,
    batches: Vec<Batch>,
    shown: &Shown,
) -> Result<Moved, RespError> {
    let mut moved = Moved::default();
    let mut due = batches;
    for _ in 0..TRIES {
        if due.is_empty() {
            return Ok(moved);
        }
        let (large, small): (Vec<_>, Vec<_>) = due.drain(..).partition(Batch::is_large);
        due.extend(round(window, route, small, route.window(), shown, &mut moved).await?);
        due.extend(round(window, route, large, 1, shown, &mut moved).await?);
        if !due.is_empty() {
            // The target is busy or did not answer in time: it gets a moment, the deadline is the number of tries.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    if !due.is_empty() {
        moved
            .stopped
            .get_or_insert_with(|| "the target does not take some keys; see its log, the move goes on later".into());
    }
    Ok(moved)
}

/// One pass over the batches; returns those that are to be tried again.
async fn round(
    (sender, receiver): &mut (WindowSender, WindowReceiver),
    route: &Route,
    batches: Vec<Batch>,
    most: usize,
    shown: &Shown,
    moved: &mut Moved,
) -> Result<Vec<Batch>, RespError> {
    let mut again = Vec::new();
    let mut flying = std::collections::VecDeque::new();
    let mut batches = batches.into_iter();
    loop {
        while flying.len() < most {
            let Some(batch) = batches.next() else { break };
            sender.send(&route.command(&batch)).await?;
            flying.push_back(batch);
        }
        let Some(batch) = flying.pop_front() else { return Ok(again) };
        let closed = || RespError::Closed { what: "MIGRATE".into(), source: None };
        let reply = receiver.receive().await?.ok_or_else(closed)?;
        again.extend(settle(route, batch, &reply, shown, moved));
    }
}

fn settle(route: &Route, mut batch: Batch, reply: &Reply, shown: &Shown, moved: &mut Moved) -> Option<Batch> {
    match after_migrate(reply.error_text()) {
        AfterMigrate::Moved => {
            shown.note(|job| {
                let keys = batch.keys.len() as u64;
                job.keys_done += keys;
                job.bytes_done += batch.bytes;
                job.keys_left = job.keys_left.map(|left| left.saturating_sub(keys));
            });
            None
        }
        AfterMigrate::RetryWithReplace => {
            batch.attempts.push(Attempt { source: route.source.clone(), timed_out: true });
            Some(batch)
        }
        AfterMigrate::Later { reason } => {
            shown.note(|job| job.stalled = Some(reason));
            Some(batch)
        }
        AfterMigrate::Stop { reason } => {
            moved.stopped = Some(reason);
            None
        }
    }
}
