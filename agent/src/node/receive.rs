//! The target's side of a move in one piece. Where the own server does the work, this agent begins it, follows it, and ends
//! it when the source's agent does not ask any more.

use std::time::Duration;

use redisnode_agent_core::migration::{Phase, import_phase, in_the_way, is_busy, is_live, knows_epoch, may_cancel};
use redisnode_proto::message::{Mover, ReceiveReply, ReceiveRequest};
use redisnode_proto::topology::Info;
use redisnode_proto::{Millis, NodeId, SlotSet};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::imports::{Asked, consent};
use super::migrate::maps;
use super::shared::{Shared, whole};
use crate::resp::{Command, Connection, RespError};

const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// The server may be at work for other clients.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A question is held so long while the answer would be the same.
const HELD_FOR: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Nobody has asked for so long: the source's agent is gone, or wants it no more.
const UNASKED_FOR: Millis = Millis(6_000);

/// What the own server pulls.
#[derive(Default)]
pub(super) struct Receiving {
    now: Mutex<Option<Piece>>,
    /// Whether what an earlier life of this agent has begun was ended.
    is_clean: Mutex<bool>,
}

struct Piece {
    source: NodeId,
    slots: SlotSet,
    task: String,
    asked_at: Millis,
}

/// Answers a source's agent.
pub(super) async fn receive(shared: &Shared, request: &ReceiveRequest) -> ReceiveReply {
    match answer(shared, request).await {
        Ok(reply) => reply,
        Err(error) => ReceiveReply::Waits {
            reason: format!("the target's server does not answer as it should: {}", whole(&error)),
        },
    }
}

async fn answer(shared: &Shared, request: &ReceiveRequest) -> Result<ReceiveReply, RespError> {
    if let Some(reply) = of_the_piece(shared, &mut *shared.receiving.now.lock().await, request).await? {
        return Ok(reply);
    }
    // May take seconds, and nobody else waits for it: the piece that is under way is asked about meanwhile.
    if let Err(reason) = agrees(shared, request).await {
        return Ok(ReceiveReply::Refused { reason });
    }
    if let Some(reason) = not_yet(shared, request).await? {
        return Ok(ReceiveReply::Waits { reason });
    }
    if request.by == Mover::Source {
        return Ok(ReceiveReply::Agreed);
    }
    let mut now = shared.receiving.now.lock().await;
    match of_the_piece(shared, &mut now, request).await? {
        Some(reply) => Ok(reply),
        None => take(shared, &mut now, request).await,
    }
}

/// What there is to say without beginning anything: how far the piece is that is under way, or that there is another one.
async fn of_the_piece(
    shared: &Shared,
    now: &mut Option<Piece>,
    request: &ReceiveRequest,
) -> Result<Option<ReceiveReply>, RespError> {
    match now.as_mut() {
        Some(piece) if piece.source == request.source && piece.slots == request.slots => {
            piece.asked_at = shared.now();
            let reply = follow(shared, piece, request.cancel).await?;
            if matches!(reply, ReceiveReply::Ended { .. }) {
                *now = None;
            }
            Ok(Some(reply))
        }
        _ if request.cancel => Ok(Some(ReceiveReply::Ended { error: Some("it was not under way".into()) })),
        Some(_) => Ok(Some(ReceiveReply::Busy { reason: "the target takes slots from another server".into() })),
        None => Ok(None),
    }
}

/// Why the own server cannot begin now, if so.
async fn not_yet(shared: &Shared, request: &ReceiveRequest) -> Result<Option<String>, RespError> {
    if !knows(shared, request) {
        shared.wake.notify_one();
        let reason =
            "the target's server does not know the source's epoch yet; that comes with the servers' next pings";
        return Ok(Some(reason.to_owned()));
    }
    let mut connection = open(shared).await?;
    let info =
        connection.demand(&Command::new("INFO").args_from(["persistence", "replication"])).await?.text("INFO")?;
    Ok(match Info::parse(&info).and_then(|info| in_the_way(&info)) {
        Ok(None) => None,
        Ok(Some(what)) => Some(format!("the target cannot begin: {what}")),
        Err(error) => Some(format!("the target's state is not known: {error}")),
    })
}

/// Lets the own server pull the piece.
async fn take(shared: &Shared, now: &mut Option<Piece>, request: &ReceiveRequest) -> Result<ReceiveReply, RespError> {
    match begin(&mut open(shared).await?, &request.slots).await? {
        Ok(task) => {
            let (source, slots) = (request.source.clone(), request.slots.clone());
            *now = Some(Piece { source, slots, task, asked_at: shared.now() });
            Ok(ReceiveReply::Running)
        }
        Err(refusal) => {
            let reason = format!("the target's server does not begin: {refusal}");
            Ok(if is_busy(&refusal) { ReceiveReply::Busy { reason } } else { ReceiveReply::Waits { reason } })
        }
    }
}

/// The own Layout gives the slots to this shard, and the server knows their owner.
async fn agrees(shared: &Shared, request: &ReceiveRequest) -> Result<(), String> {
    let slots: Vec<_> = request.slots.iter().collect();
    let asked = Asked { source: &request.source, slots: &slots, resume: false };
    let (mine, _) = consent(shared, request.generation, &asked).await?;
    if request.slots.is_subset(&mine) {
        return Ok(());
    }
    Err("the Layout here does not give these slots to this shard".to_owned())
}

/// The server knows the epoch that the source has.
fn knows(shared: &Shared, request: &ReceiveRequest) -> bool {
    let state = shared.state();
    state.server.running().is_some_and(|running| knows_epoch(&running.view, &request.source, request.epoch))
}

/// The task's id, or the server's refusal.
async fn begin(connection: &mut Connection, slots: &SlotSet) -> Result<Result<String, String>, RespError> {
    let ranges = slots.ranges();
    let numbers = ranges.iter().flat_map(|range| [range.start().to_string(), range.end().to_string()]);
    let command = Command::new("CLUSTER").args_from(["MIGRATION", "IMPORT"]).args_from(numbers);
    let reply = connection.run(&command).await?;
    if let Some(refusal) = reply.error_text() {
        return Ok(Err(refusal.to_owned()));
    }
    reply.text("CLUSTER MIGRATION IMPORT").map(Ok)
}

/// How the piece stands; held back a moment while it goes on, so that its end is told at once.
async fn follow(shared: &Shared, piece: &Piece, cancel: bool) -> Result<ReceiveReply, RespError> {
    let mut connection = open(shared).await?;
    if cancel {
        stop(&mut connection, &piece.task).await?;
    }
    let until = Instant::now() + HELD_FOR;
    loop {
        match phase(&mut connection, &piece.task).await? {
            Phase::Over(error) => {
                if error.is_some() {
                    // The server would try again without end.
                    stop(&mut connection, &piece.task).await?;
                }
                return Ok(ReceiveReply::Ended { error });
            }
            _ if Instant::now() > until => return Ok(ReceiveReply::Running),
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

async fn phase(connection: &mut Connection, task: &str) -> Result<Phase, RespError> {
    let status = Command::new("CLUSTER").args_from(["MIGRATION", "STATUS", "ID", task]);
    let found = maps(connection.demand(&status).await?)?.into_iter().next();
    let Some(found) = found else { return Ok(Phase::Over(Some("the server has forgotten the task".into()))) };
    let field = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
    Ok(import_phase(field("state"), field("last_error"), field("retries").parse().unwrap_or(0)))
}

async fn stop(connection: &mut Connection, task: &str) -> Result<(), RespError> {
    connection.run(&Command::new("CLUSTER").args_from(["MIGRATION", "CANCEL", "ID", task])).await.map(drop)
}

/// Ends what nobody asks for any more, and once, what an earlier life of this agent has begun: here and at the sources that
/// have pushed.
pub(super) async fn end_unasked(shared: &Shared) {
    if let Err(error) = end_left_over(shared).await {
        tracing::info!(error = %whole(&error), "moves of an earlier life of this agent are not ended yet; the next look tries again");
    }
    // A question that is being answered holds the lock, and is what is waited for here.
    let Ok(mut now) = shared.receiving.now.try_lock() else { return };
    let Some(piece) = now.as_ref().filter(|piece| shared.now().since(piece.asked_at) > UNASKED_FOR) else { return };
    tracing::warn!(source = %piece.source.short(), slots = %piece.slots, "nobody asks for a move any more: it is cancelled");
    let ended = async { stop(&mut open(shared).await?, &piece.task).await };
    match ended.await {
        Ok(()) => *now = None,
        Err(error) => tracing::warn!(error = %whole(&error), "the move cannot be cancelled; the next look tries again"),
    }
}

async fn end_left_over(shared: &Shared) -> Result<(), RespError> {
    let Ok(mut is_clean) = shared.receiving.is_clean.try_lock() else { return Ok(()) };
    if *is_clean {
        return Ok(());
    }
    let mut connection = open(shared).await?;
    let exports = connection.run(&Command::new("CLUSTER").arg("GETSLOTMIGRATIONS")).await?;
    if exports.error_text().is_none() {
        let ended = ["success", "failed", "cancelled"];
        let is_live = |job: &std::collections::BTreeMap<String, String>| {
            let is_export = job.get("operation").is_some_and(|operation| operation == "EXPORT");
            is_export && job.get("state").is_some_and(|state| !ended.contains(&state.as_str()))
        };
        let exports = maps(exports)?;
        if exports.iter().any(is_live) {
            let live = exports.iter().filter(|job| is_live(job)).filter_map(|job| job.get("state"));
            if !may_cancel(live.map(String::as_str)) {
                tracing::info!(
                    "a move that an earlier life of this agent has begun is about to end; it is not cancelled"
                );
                return Ok(());
            }
            tracing::info!("moves that an earlier life of this agent has begun are cancelled");
            connection.run(&Command::new("CLUSTER").arg("CANCELSLOTMIGRATIONS")).await?;
        }
    }
    let tasks = connection.run(&Command::new("CLUSTER").args_from(["MIGRATION", "STATUS", "ALL"])).await?;
    if tasks.error_text().is_none() {
        for task in maps(tasks)? {
            let is_import = task.get("operation").is_some_and(|operation| operation == "import");
            if let Some(id) =
                task.get("id").filter(|_| is_import && task.get("state").is_some_and(|state| is_live(state)))
            {
                tracing::info!(task = %id, "a move that an earlier life of this agent has begun is cancelled");
                stop(&mut connection, id).await?;
            }
        }
    }
    *is_clean = true;
    Ok(())
}

async fn open(shared: &Shared) -> Result<Connection, RespError> {
    let mut connection = shared.connect(CONNECT_WITHIN).await?;
    connection.set_deadline(ANSWER_WITHIN);
    Ok(connection)
}
