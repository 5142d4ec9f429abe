//! Moves in pieces of many slots, as the shell of the source's agent does them: which driver, which piece, when it is over,
//! and who owns its slots then. The core decides each of these.

use redisnode_agent_core::duties::SendTo;
use redisnode_agent_core::migration::{
    DriverKind, Phase, PieceLimit, Tries, deadline, drivers, export_phase, in_the_way, piece,
};
use redisnode_proto::message::{Mover as By, ReceiveReply, ReceiveRequest};
use redisnode_proto::topology::Info;
use redisnode_proto::{ConfigEpoch, NodeName, Slot, SlotSet};

use super::call::Body;
use super::clock::Time;
use super::data::keys_in;
use super::ids::Id;
use super::world::World;

/// What one piece holds: small, so that a move has several.
const LIMIT: PieceLimit = PieceLimit { keys: 4, bytes: 1 << 30 };
/// How large a key is taken to be.
const KEY_BYTES: u64 = 100;
const WAIT_AT_MOST: Time = 30_000;
pub(super) const KNOWN_WITHIN: Time = 5000;
const SILENT_AT_MOST: Time = 10_000;

/// A piece that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(super) driver: DriverKind,
    pub(super) slots: SlotSet,
    keys: u64,
    step: Step,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Asks until it may begin; since when something else than a move is in the way.
    Asking { waits_since: Time },
    /// The servers are at it.
    Running { job: Option<u64>, began: Time, queued: Time, looked: Time, silent_since: Option<Time> },
    /// It was cancelled, and is to be over by then.
    Ending { job: Option<u64>, until: Time, why: Stop },
    /// It is over; who owns the slots is to be known by then.
    Over { until: Time, how: Result<(), Stop> },
}

/// Why a piece was given up.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Unwanted,
    Swept,
    Queued(String),
    Failed(String),
}

/// What became of the tries of one pair, and until when it rests.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) tries: Tries,
    pub(super) rests_until: Time,
}

impl World {
    /// Goes on with a piece of this pair, or begins one. False if the driver that opens slots has its turn.
    pub(super) fn move_whole(&mut self, node: usize, send: &SendTo, stop: bool) -> bool {
        if !self.moves_whole() {
            return false;
        }
        let under_way = self.piece(node, &send.target).map(|piece| (piece.driver, piece.slots.clone()));
        if let Some((_, slots)) = under_way {
            let unwanted = stop || !slots.is_subset(&send.slots);
            self.go_on(node, &send.target, unwanted);
            return true;
        }
        if !send.open.is_empty() {
            return false;
        }
        let now = self.now;
        let Some(driver) = self.choose(node, send) else { return true };
        if driver == DriverKind::Migrate {
            return false;
        }
        let rests = self.memory(node, &send.target).is_some_and(|memory| now < memory.rests_until);
        if !rests && !stop {
            self.begin_piece(node, send, driver);
        }
        true
    }

    /// What both servers can do, as they are asked, and the driver that the core chooses. Nothing without an answer.
    fn choose(&mut self, node: usize, send: &SendTo) -> Option<DriverKind> {
        let target = self.target(node, send).filter(|target| self.net.reach(node, *target))?;
        let both = [node, target].map(|party| self.nodes[party].server.as_ref().filter(|server| !server.stopped));
        let [Some(source), Some(other)] = both else { return None };
        let able = drivers(&source.flavor.ability(), &other.flavor.ability()).ok()?;
        let mutation = self.mutation;
        self.memory(node, &send.target).map(|memory| super::mutation::choose(mutation, &mut memory.tries, &able))
    }

    fn begin_piece(&mut self, node: usize, send: &SendTo, driver: DriverKind) {
        let Some(server) = &self.nodes[node].server else { return };
        let counts: Vec<(Slot, u64)> =
            send.slots.iter().map(|slot| (slot, keys_in(&server.data, slot).count() as u64)).collect();
        let (slots, keys) = piece(&counts, KEY_BYTES, LIMIT);
        let step = Step::Asking { waits_since: self.now };
        self.set_piece(node, &send.target, Some(Piece { driver, slots, keys, step }));
        self.go_on(node, &send.target, false);
    }

    fn go_on(&mut self, node: usize, target: &NodeName, unwanted: bool) {
        let now = self.now;
        let Some(piece) = self.piece(node, target).cloned() else { return };
        match piece.step.clone() {
            Step::Asking { .. } if unwanted => self.set_piece(node, target, None),
            Step::Asking { waits_since } => self.ask_to_begin(node, target, &piece, waits_since),
            Step::Running { job, began, queued, looked, silent_since } => {
                if silent_since.is_some_and(|since| now > since + SILENT_AT_MOST) {
                    return self.give_up(node, target, job, Stop::Failed("the target's agent is silent".into()));
                }
                let phase = self.export_of(node, &piece, job, began);
                if phase == Some(Phase::Swept) {
                    self.set_step(node, target, Step::Over { until: now + KNOWN_WITHIN, how: Err(Stop::Swept) });
                    return self.wake(node, 1);
                }
                let queued = if phase == Some(Phase::Queued) { queued + (now - looked) } else { queued };
                let within = deadline(piece.keys, KEY_BYTES).0;
                if let Some(Phase::Over(how)) = phase {
                    return self.is_over(node, target, how);
                }
                if unwanted {
                    self.give_up(node, target, job, Stop::Unwanted);
                } else if queued > WAIT_AT_MOST {
                    self.give_up(node, target, job, Stop::Queued("another child of the server is at work".into()));
                } else if now > began + within && !super::mutation::waits_for_ever(self.mutation) {
                    self.give_up(node, target, job, Stop::Failed("it was not over in time".into()));
                } else {
                    self.set_step(node, target, Step::Running { job, began, queued, looked: now, silent_since });
                    self.follow(node, target, &piece, false);
                }
            }
            Step::Ending { job, until, why } => {
                let phase = self.export_of(node, &piece, job, now);
                if matches!(phase, Some(Phase::Over(_) | Phase::Swept)) || now > until {
                    self.set_step(node, target, Step::Over { until: now + KNOWN_WITHIN, how: Err(why) });
                    self.wake(node, 1);
                } else {
                    if job.is_some() {
                        self.cancel_exports(node);
                    }
                    self.follow(node, target, &piece, true);
                }
            }
            Step::Over { until, how } => self.read_owners(node, target, &piece.slots, until, how),
        }
    }

    /// The own server's word for an export that began then; an import's comes from the target's agent.
    fn export_of(&self, node: usize, piece: &Piece, job: Option<u64>, began: Time) -> Option<Phase> {
        if piece.driver != DriverKind::MigrateSlots {
            return None;
        }
        let server = self.nodes[node].server.as_ref()?;
        let shown = job.and_then(|job| server.export_shown(job));
        let forgotten = || Phase::Over(Some("the server has forgotten the job".into()));
        let swept =
            self.nodes[node].agent.as_ref().and_then(|agent| agent.moves.swept_at).is_some_and(|at| at >= began);
        Some(shown.map_or_else(forgotten, |(state, message)| export_phase(state, &message, swept)))
    }

    fn request(&self, node: usize, piece: &Piece, cancel: bool) -> Option<ReceiveRequest> {
        let server = self.nodes[node].server.as_ref()?;
        let (source, epoch) = (server.id.node_id(), ConfigEpoch(server.me().epoch));
        let by = if piece.driver == DriverKind::Import { By::Target } else { By::Source };
        let generation = self.generation(node);
        Some(ReceiveRequest { generation, source, epoch, slots: piece.slots.clone(), by, cancel })
    }

    fn ask_to_begin(&mut self, node: usize, target: &NodeName, piece: &Piece, waits_since: Time) {
        if piece.driver == DriverKind::Import {
            let agent = self.nodes[node].agent.as_ref();
            if agent.is_some_and(|agent| agent.moves.another_pulls(target)) {
                return self.set_step(node, target, Step::Asking { waits_since: self.now });
            }
            if let Some(what) = self.hindrance(node) {
                return self.waits(node, target, waits_since, &what);
            }
        }
        if let Some(request) = self.request(node, piece, false) {
            self.call(node, target, Body::Receive(request));
        }
    }

    /// What keeps the server of a node from beginning a move, by its INFO.
    pub(super) fn hindrance(&self, node: usize) -> Option<String> {
        let info = Info::parse(&self.info(node)).and_then(|info| in_the_way(&info));
        info.unwrap_or_else(|error| Some(error.to_string()))
    }

    fn waits(&mut self, node: usize, target: &NodeName, since: Time, what: &str) {
        if self.now > since + WAIT_AT_MOST {
            self.end_job(node, target, |memory, driver| memory.tries.gave_way(driver, what));
        } else {
            self.wake(node, 50);
        }
    }

    /// Asks the target's agent how far its server is.
    pub(super) fn follow(&mut self, node: usize, target: &NodeName, piece: &Piece, cancel: bool) {
        if let (DriverKind::Import, Some(request)) = (piece.driver, self.request(node, piece, cancel)) {
            self.call(node, target, Body::Receive(request));
        }
        self.wake(node, 10);
    }

    /// The target's agent has answered, or not.
    pub(super) fn receive_answered(
        &mut self,
        node: usize,
        target: &NodeName,
        request: &ReceiveRequest,
        said: Option<&ReceiveReply>,
    ) {
        let now = self.now;
        let Some(piece) = self.piece(node, target).filter(|piece| piece.slots == request.slots).cloned() else {
            return;
        };
        match (piece.step.clone(), said) {
            (Step::Asking { waits_since }, said) => self.may_begin(node, target, &piece, waits_since, said),
            (Step::Running { job, began, queued, looked, silent_since }, None) => {
                let silent_since = silent_since.or(Some(now));
                self.set_step(node, target, Step::Running { job, began, queued, looked, silent_since });
            }
            (Step::Running { job, began, queued, looked, .. }, Some(ReceiveReply::Running)) => {
                let silent_since = None;
                self.set_step(node, target, Step::Running { job, began, queued, looked, silent_since });
            }
            (Step::Running { .. }, Some(ReceiveReply::Ended { error })) => self.is_over(node, target, error.clone()),
            (Step::Running { .. }, Some(_)) => {
                self.is_over(node, target, Some("the target's agent does not know of it any more".into()));
            }
            (Step::Ending { .. }, Some(ReceiveReply::Running)) | (Step::Over { .. }, _) => {}
            (Step::Ending { why, .. }, _) => {
                self.set_step(node, target, Step::Over { until: now + KNOWN_WITHIN, how: Err(why) });
            }
        }
        self.wake(node, 1);
    }

    fn may_begin(
        &mut self,
        node: usize,
        target: &NodeName,
        piece: &Piece,
        waits_since: Time,
        said: Option<&ReceiveReply>,
    ) {
        let now = self.now;
        let running = |job| Step::Running { job, began: now, queued: 0, looked: now, silent_since: None };
        match said {
            Some(ReceiveReply::Agreed) => match self.hindrance(node) {
                Some(what) => self.waits(node, target, waits_since, &what),
                None => match self.begin_export(node, target, &piece.slots) {
                    Ok(job) => self.set_step(node, target, running(Some(job))),
                    Err(refusal) => self.waits(node, target, waits_since, &refusal),
                },
            },
            Some(ReceiveReply::Running | ReceiveReply::Ended { .. }) => self.set_step(node, target, running(None)),
            Some(ReceiveReply::Busy { .. }) => self.set_step(node, target, Step::Asking { waits_since: now }),
            Some(ReceiveReply::Waits { reason }) => self.waits(node, target, waits_since, reason),
            Some(ReceiveReply::Refused { reason }) => {
                self.end_job(node, target, |memory, driver| memory.tries.failed(driver, reason));
            }
            None => {
                let reason = "the target's agent does not answer";
                self.end_job(node, target, |memory, driver| memory.tries.failed(driver, reason));
            }
        }
    }

    fn begin_export(&mut self, node: usize, target: &NodeName, slots: &SlotSet) -> Result<u64, String> {
        let work = self.work(node, target).ok_or("not wanted any more")?;
        let to = Id::of(&work.send.target_id);
        let begun = self.with_server(node, |server, ctx| server.migrate_slots(ctx, slots, to));
        begun.unwrap_or_else(|| Err("the server does not answer".into()))
    }

    pub(super) fn piece(&self, node: usize, target: &NodeName) -> Option<&Piece> {
        self.nodes[node].agent.as_ref()?.moves.by_target.get(target)?.piece.as_ref()
    }

    pub(super) fn set_piece(&mut self, node: usize, target: &NodeName, piece: Option<Piece>) {
        if let Some(work) = self.work(node, target) {
            work.piece = piece;
        }
    }

    pub(super) fn set_step(&mut self, node: usize, target: &NodeName, step: Step) {
        if let Some(piece) = self.work(node, target).and_then(|work| work.piece.as_mut()) {
            piece.step = step;
        }
    }

    pub(super) fn memory(&mut self, node: usize, target: &NodeName) -> Option<&mut Memory> {
        Some(self.nodes[node].agent.as_mut()?.moves.memory.entry(target.clone()).or_default())
    }
}

impl Piece {
    /// Whether a server that serves one such move at a time is at it.
    pub(super) fn pulls(&self) -> bool {
        self.driver == DriverKind::Import && !matches!(self.step, Step::Asking { .. })
    }

    /// The driver's name.
    pub(super) fn driver_name(&self) -> &'static str {
        self.driver.name()
    }
}
