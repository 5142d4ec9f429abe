//! Carries a job through with the driver that the core chooses: the pair's servers are asked what they can do, open slots are
//! finished first, and what has failed is remembered.

use std::sync::{Arc, Mutex, PoisonError};

use redisnode_agent_core::migration::{Ability, Course, DriverKind, Tries, course, drivers};
use redisnode_proto::topology::Info;
use redisnode_proto::{NodeId, SlotSet};
use tokio::sync::watch;

use super::super::look::LookError;
use super::super::shared::{Shared, whole};
use super::atomic::{Export, Import, Pieces, end_left_behind};
use super::classic::Classic;
use super::driver::{Driver, End, Shown, Task, Wanted};
use super::pair::{Pair, count};
use super::tempo::Tempo;
use crate::resp::{Command, Lanes, Reply};

/// What became of the tries of one pair, kept from job to job until the pair's slots have moved.
pub(super) type Memory = Arc<Mutex<Tries>>;

/// Moves the wanted slots until none is left or the job is told to stop.
pub(super) async fn drive(
    shared: &Arc<Shared>,
    wanted: watch::Receiver<Wanted>,
    shown: Shown,
    memory: Memory,
) -> Result<(), String> {
    let first = wanted.borrow().clone();
    let pair = pair(shared, &first)?;
    let tempo = Tempo::new(&pair);
    let task = Task { shared: Arc::clone(shared), wanted, shown, tempo: tempo.clone() };
    tokio::select! {
        ended = choose(&task, &first, &pair, &memory) => ended,
        never = tempo.keep(&pair) => match never {},
    }
}

async fn choose(task: &Task, wanted: &Wanted, pair: &Pair, memory: &Memory) -> Result<(), String> {
    let (mut own, mut remote) = (pair.own_lanes(), pair.remote_lanes());
    let (source, target) = tokio::join!(ability(&mut own), ability(&mut remote));
    let (source, target) = (source.map_err(|error| whole(&error))?, target.map_err(|error| whole(&error))?);
    if source.import {
        end_left_behind(&mut own).await.map_err(|error| whole(&error))?;
    }
    let has_open = !wanted.send.open.is_empty();
    let course = course(has_open, drivers(&source, &target), &mut tries(memory))?;
    if course != Course::Finish {
        tell_rest(task, &mut own, &wanted.send.slots).await;
    }
    match course {
        Course::Finish => run(Classic, &only_open(task, wanted), memory).await,
        Course::Move(DriverKind::MigrateSlots) => run(Pieces::by(pair, Export::new(pair)), task, memory).await,
        Course::Move(DriverKind::Import) => run(Pieces::by(pair, Import::new(pair)), task, memory).await,
        Course::Move(DriverKind::Migrate) => run(Classic, task, memory).await,
    }
}

async fn run<D: Driver>(driver: D, task: &Task, memory: &Memory) -> Result<(), String> {
    show(task, memory, D::KIND);
    let ended = match driver.run(task, || tries(memory).moved(D::KIND)).await {
        Ok(()) => return Ok(()),
        Err(End::Failed(reason)) => {
            tries(memory).failed(D::KIND, &reason);
            reason
        }
        Err(End::Costly(reason)) => {
            let mut tries = tries(memory);
            tries.failed(D::KIND, &reason);
            tries.was_costly(task.shared.node_timeout());
            reason
        }
        Err(End::InTheWay(reason)) => {
            tries(memory).gave_way(D::KIND, &reason);
            reason
        }
    };
    show(task, memory, D::KIND);
    Err(ended)
}

/// Source and target of a job, as far as they are known now.
pub(super) fn pair(shared: &Arc<Shared>, wanted: &Wanted) -> Result<Pair, String> {
    let target = shared.agent_of(&wanted.send.target).ok_or("the target's address is not known")?;
    let source: NodeId = {
        let state = shared.state();
        state.server.running().ok_or("the own server does not answer")?.view.me.clone()
    };
    Ok(Pair { shared: Arc::clone(shared), source, target_id: wanted.send.target_id.clone(), target })
}

/// Slots that are half gone are finished by the driver that opens slots, and nothing new is begun: the next job may have a
/// better one.
fn only_open(task: &Task, wanted: &Wanted) -> Task {
    let (_, wanted) = watch::channel(Wanted { stop: true, ..wanted.clone() });
    Task { wanted, ..task.clone() }
}

/// What a server can do.
async fn ability(lanes: &mut Lanes) -> Result<Ability, LookError> {
    let probe = |name: &str| Command::new("COMMAND").args_from(["INFO", name]);
    let commands = [Command::new("INFO").arg("server"), probe("cluster|migrateslots"), probe("cluster|migration")];
    let mut replies = lanes.pipeline(&commands).await?.into_iter();
    let mut next = || replies.next().unwrap_or(Reply::Nil);
    let version = Info::parse(&next().text("INFO")?)?.version()?;
    Ok(Ability { version, migrate_slots: knows(next()), import: knows(next()) })
}

/// Whether `COMMAND INFO` of one name shows a command.
fn knows(reply: Reply) -> bool {
    reply.into_array().is_some_and(|all| all.iter().any(|one| !one.is_nil() && one.error_text().is_none()))
}

/// How much there is to do. Not known is not zero: then it stays unknown.
async fn tell_rest(task: &Task, own: &mut Lanes, slots: &SlotSet) {
    let slots: Vec<_> = slots.iter().collect();
    if let Ok(counts) = count(own, &slots).await {
        let left = counts.iter().map(|(_, keys)| keys).sum();
        task.shown.note(|job| job.keys_left = Some(left));
    }
}

fn show(task: &Task, memory: &Memory, driver: DriverKind) {
    let tries = tries(memory).shown();
    task.shown.note(|job| {
        driver.name().clone_into(&mut job.driver);
        job.tries = tries;
    });
}

fn tries(memory: &Memory) -> std::sync::MutexGuard<'_, Tries> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
