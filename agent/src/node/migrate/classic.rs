//! The driver that works on every server: `IMPORTING`/`MIGRATING`, pipelined `MIGRATE`, `SETSLOT NODE` target first.
//!
//! Three groups of slots are in work at once, so that the servers never wait for us: one is closed and the next one
//! opened while the keys of the one between move.

use std::time::Duration;

use redisnode_proto::{Millis, Slot, SlotSet};

use super::super::shared::{Shared, whole};
use super::driver::{Driver, Task, Wanted};
use super::group::{self, Group, Pair};
use super::jobs::still_wanted;
use super::keys::{self, Found, Moved, Route};
use super::notices;
use crate::resp::{Connection, RespError, WindowReceiver, WindowSender};

const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// One answer of a server that is busy moving; longer than any MIGRATE may block it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Pipelined `MIGRATE`.
pub(super) struct Classic;

impl Driver for Classic {
    const NAME: &'static str = "migrate";

    async fn run(task: Task) -> Result<(), String> {
        let wanted = task.wanted.borrow().clone();
        let mut mover = Mover::connect(&task, &wanted).await?;
        let result = mover.work(&task).await;
        mover.leave(&task.shared).await;
        result
    }
}

struct Mover {
    /// Opens and closes.
    own: Connection,
    /// The target's server.
    remote: Connection,
    /// Carries the keys.
    window: (WindowSender, WindowReceiver),
    route: Route,
    target_id: redisnode_proto::NodeId,
    begun: SlotSet,
}

impl Mover {
    async fn connect(task: &Task, wanted: &Wanted) -> Result<Self, String> {
        let shared = &task.shared;
        let target = shared.agent_of(&wanted.send.target).ok_or("the target's address is not known")?;
        let (source, node_timeout) = {
            let state = shared.state();
            let running = state.server.running().ok_or("the own server does not answer")?;
            let timeout = state.ledger.layout.as_ref().map_or(Millis(15_000), |layout| layout.settings.node_timeout);
            (running.view.me.clone(), timeout)
        };
        let route = Route { source, target: target.clone(), auth: shared.auth(), node_timeout };
        let open = async {
            let mut own = shared.connect(CONNECT_WITHIN).await?;
            own.set_deadline(ANSWER_WITHIN);
            let mut keys = shared.connect(CONNECT_WITHIN).await?;
            keys.set_deadline(ANSWER_WITHIN);
            let mut remote = Connection::open(target.server(), &shared.auth(), CONNECT_WITHIN).await?;
            remote.set_deadline(ANSWER_WITHIN);
            group::carry_functions(&mut own, &mut remote).await?;
            Ok::<_, RespError>((own, remote, keys.into_window(keys::WINDOW)))
        };
        let (own, remote, window) = open.await.map_err(|error| whole(&error))?;
        Ok(Self { own, remote, window, route, target_id: wanted.send.target_id.clone(), begun: SlotSet::new() })
    }

    async fn work(&mut self, task: &Task) -> Result<(), String> {
        let mut moving = self.next(task).await?;
        let mut closing: Option<Group> = None;
        while moving.is_some() || closing.is_some() {
            let current = moving.take();
            let (found, slots) = current.map_or_else(Default::default, |group| (group.found, group.slots));
            let Self { own, remote, window, route, target_id, begun } = self;
            let pair = Pair { shared: &task.shared, target_id, target: &route.target };
            let administer = async {
                if let Some(group) = closing.take() {
                    close(task, &pair, own, remote, &group).await?;
                }
                next(task, &pair, own, begun).await
            };
            let (moved, opened) = tokio::join!(keys::migrate(window, route, found.batches, &task.shown), administer);
            stopped(moved)?;
            moving = opened?;
            self.finish(task, found.more).await?;
            closing = (!slots.is_empty()).then_some(Group { slots, found: Found::default() });
        }
        Ok(())
    }

    /// Slots with very many keys are looked at again until nothing is left.
    async fn finish(&mut self, task: &Task, mut more: Vec<Slot>) -> Result<(), String> {
        while !more.is_empty() {
            let found = keys::collect(&mut self.own, &more).await.map_err(|error| whole(&error))?;
            stopped(keys::migrate(&mut self.window, &self.route, found.batches, &task.shown).await)?;
            more = found.more;
        }
        Ok(())
    }

    async fn next(&mut self, task: &Task) -> Result<Option<Group>, String> {
        let pair = Pair { shared: &task.shared, target_id: &self.target_id, target: &self.route.target };
        next(task, &pair, &mut self.own, &mut self.begun).await
    }

    /// Nothing of this job is open any more, or it stays open and is said: the replicas are told what is left.
    async fn leave(&mut self, shared: &Shared) {
        let _one_at_a_time = shared.jobs.telling.lock().await;
        let open = shared.jobs.change_open(&self.target_id, &[], &[]);
        if let Err(reason) = notices::tell(shared, &open).await {
            tracing::info!(%reason, "a replica asks by itself whether slots are still open");
        }
    }
}

fn stopped(moved: Result<Moved, RespError>) -> Result<(), String> {
    match moved {
        Ok(Moved { stopped: None }) => Ok(()),
        Ok(Moved { stopped: Some(reason) }) => Err(reason),
        Err(error) => Err(whole(&error)),
    }
}

/// Opens the next group, if the job still wants one.
async fn next(
    task: &Task,
    pair: &Pair<'_>,
    own: &mut Connection,
    begun: &mut SlotSet,
) -> Result<Option<Group>, String> {
    let wanted = task.wanted.borrow().clone();
    let left = still_wanted(&wanted, begun);
    if left.is_empty() {
        return Ok(None);
    }
    let open = wanted.send.open.difference(begun);
    let chosen = group::choose(own, &left, &open).await.map_err(|error| whole(&error))?;
    let resume = chosen.iter().any(|slot| open.contains(*slot));
    let slots = group::open(pair, own, &chosen, resume).await?;
    // What was to be resumed is opened again or closed; either way this job has done with it.
    begun.extend(slots.iter().chain(chosen.iter().filter(|_| resume)).copied());
    let found = keys::collect(own, &slots).await.map_err(|error| whole(&error))?;
    task.shown.note(|job| {
        job.stalled = None;
        job.remaining = still_wanted(&wanted, begun).union(&slots.iter().copied().collect());
    });
    Ok(Some(Group { slots, found }))
}

async fn close(
    task: &Task,
    pair: &Pair<'_>,
    own: &mut Connection,
    remote: &mut Connection,
    group: &Group,
) -> Result<(), String> {
    let closed = group::close(pair, own, remote, &group.slots).await?;
    task.shown.note(|job| {
        job.slots_done += closed;
        job.remaining = job.remaining.difference(&group.slots.iter().copied().collect());
    });
    Ok(())
}
