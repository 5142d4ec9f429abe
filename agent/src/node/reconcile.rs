//! The loop: look, decide (in the pure core), act, report. It owns the server's connection and all tasks.

use std::sync::Arc;
use std::time::Duration;

use redisnode_agent_core::catch_up::CatchUp;
use redisnode_agent_core::relink::Relink;
use redisnode_agent_core::{Situation, health};
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::{Health, Product, Role};
use redisnode_proto::{Ledger, Millis, NodeId, NodeName};
use tokio::task::JoinSet;

use super::asks::Asks;
use super::down::Down;
use super::ending::Life;
use super::liveness::{Process, process, stop_requested};
use super::look::{Eye, LookError};
use super::reporting::{self, Told};
use super::shared::{Shared, whole};
use super::tasks::Done;

/// While something is to be done, while something lasts, and while nothing is.
const BUSY: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);
/// How long after the last change the loop stays busy.
const BUSY_FOR: Millis = Millis(3000);
/// A server that does not answer so soon after its start is starting.
const STARTS_WITHIN: Millis = Millis(10_000);

/// The loop's own memory. What must outlive the agent is in the ledger.
pub(super) struct Reconciler {
    pub(super) shared: Arc<Shared>,
    pub(super) eye: Eye,
    pub(super) asks: Asks,
    pub(super) tasks: JoinSet<Done>,
    pub(super) down: Option<Down>,
    pub(super) gate: Option<super::starting::OpenGate>,
    pub(super) started_at: Option<Millis>,
    pub(super) life: Life,
    pub(super) handing_off: bool,
    pub(super) noticing: bool,
    pub(super) primary_failed_since: Option<Millis>,
    pub(super) met_at: std::collections::BTreeMap<NodeId, Millis>,
    /// Slots to open again once the promotion is through.
    pub(super) reopening: Option<super::reopen::Reopening>,
    /// Data is to be moved aside before the next start; why.
    pub(super) aside: Option<String>,
    pub(super) applied: Option<redisnode_proto::layout::Settings>,
    pub(super) early_exits: u32,
    /// When the launcher was last asked for the server's program.
    pub(super) program_asked_at: Option<Millis>,
    pub(super) relink: Relink,
    pub(super) catch_up: CatchUp,
    told: Told,
    last_change_at: Millis,
    last_decided: String,
    adopted: bool,
}

impl Reconciler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            eye: Eye::default(),
            asks: Asks::default(),
            tasks: JoinSet::new(),
            down: None,
            gate: None,
            started_at: None,
            life: Life::default(),
            handing_off: false,
            noticing: false,
            primary_failed_since: None,
            met_at: std::collections::BTreeMap::new(),
            reopening: None,
            aside: None,
            applied: None,
            early_exits: 0,
            program_asked_at: None,
            relink: Relink::default(),
            catch_up: CatchUp::default(),
            told: Told::default(),
            last_change_at: Millis(0),
            last_decided: String::new(),
            adopted: false,
        }
    }

    /// Runs until `stop` says so, then stops the node in order.
    pub(super) async fn run(mut self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut launcher = self.shared.launcher.state();
        loop {
            let restless = self.step().await;
            self.publish();
            if *stop.borrow() {
                self.orderly_stop().await;
                return;
            }
            if stop_requested(&self.shared) {
                self.orderly_stop().await;
                self.wait_for_launcher(&mut stop).await;
                continue;
            }
            if std::mem::take(&mut self.shared.state().restart_wanted) {
                self.restart_server().await;
                continue;
            }
            let pause = self.pace(restless);
            tokio::select! {
                biased;
                changed = launcher.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.last_change_at = self.shared.now();
                }
                // An error means that nobody can stop this agent any more: the runtime is going down.
                _ = stop.changed() => {}
                Some(done) = self.tasks.join_next() => {
                    let routine = matches!(done, Ok(Done::Asked(..) | Done::Told)) && self.is_moving();
                    self.settle(done);
                    if !routine {
                        self.last_change_at = self.shared.now();
                    }
                }
                () = self.shared.wake.notified() => self.last_change_at = self.shared.now(),
                () = tokio::time::sleep(pause) => {}
            }
            self.drain();
        }
    }

    /// Takes in every task that has ended meanwhile.
    pub(super) fn drain(&mut self) {
        while let Some(done) = self.tasks.try_join_next() {
            self.settle(done);
        }
    }

    pub(super) fn settle(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Asked(name, at, answer)) => self.asks.ended(&self.shared, &name, at, answer),
            Ok(Done::Noticed(mate, outcome)) => self.notice_ended(&mate, outcome),
            Ok(Done::HandedOff(outcome)) => self.handoff_ended(outcome),
            Ok(Done::Told) => {}
            Ok(Done::Moved(target, result)) => self.shared.jobs.ended(&self.shared, &target, result),
            Err(error) => tracing::error!(%error, "a task of the agent ended by itself"),
        }
    }

    pub(super) fn publish(&mut self) {
        reporting::publish(&self.shared, &mut self.told);
    }

    fn pace(&mut self, restless: bool) -> Duration {
        let since = self.shared.now().since(self.last_change_at);
        if !restless {
            return if since < Millis(200) { BUSY } else { IDLE };
        }
        if since < BUSY_FOR { BUSY } else { SLOW }
    }

    /// Slots are open here: that lasts, and the loop need not be busy with it all the time.
    pub(super) fn is_moving(&self) -> bool {
        self.shared.state().server.running().is_some_and(|running| !running.view.open.is_empty())
    }

    /// Notes what was decided; a change keeps the loop busy.
    pub(super) fn decided(&mut self, what: String) {
        if what != self.last_decided {
            tracing::debug!(decided = %what, "decided");
            self.last_decided = what;
            self.last_change_at = self.shared.now();
        }
    }

    /// One round. True while something is left to do.
    async fn step(&mut self) -> bool {
        match process(&self.shared) {
            Process::Alive => {
                self.down = None;
                self.life.seen_alive();
                self.alive().await
            }
            Process::Down { ended, start_failed, launcher } => {
                self.went_down();
                self.on_down(ended, start_failed, launcher).await;
                true
            }
            Process::Unknown(reason) => {
                self.shared.state().server = ServerState::Unknown { reason };
                true
            }
        }
    }

    async fn alive(&mut self) -> bool {
        if !self.adopted {
            self.adopt_gate();
        }
        self.hold_gate().await;
        let gated = self.gate.is_some();
        match self.eye.look(&self.shared, gated).await {
            Ok(mut server) => {
                self.relink_if_new(&mut server).await;
                self.catch_up(&mut server);
                self.seen(server).await
            }
            Err(error) => {
                self.eye.close();
                // The end of the process is told by the launcher within milliseconds; until then nothing is known.
                if process(&self.shared) == Process::Alive {
                    self.not_seen(&error);
                }
                true
            }
        }
    }

    fn not_seen(&mut self, error: &LookError) {
        let (now, said) = (self.shared.now(), whole(error));
        let starting = self.started_at.is_some_and(|at| now.since(at) < STARTS_WITHIN);
        let mut state = self.shared.state();
        if error.is_answer() {
            // It is busy with a long script, say: that is no silence.
            state.silent_since = None;
        } else {
            state.silent_since.get_or_insert(now);
        }
        state.server = if starting && !matches!(state.server, ServerState::Running(_)) {
            ServerState::Starting
        } else {
            ServerState::Unknown { reason: format!("the server lives but does not answer: {said}") }
        };
        state.ready = Err(said);
    }

    async fn seen(&mut self, server: ServerState) -> bool {
        let loading = matches!(server, ServerState::Loading);
        {
            let mut state = self.shared.state();
            state.silent_since = None;
            state.server = server;
            state.looks += 1;
            state.forget_finished_resumes();
        }
        // Published before anybody who waits for this look is told that it was taken.
        self.publish();
        self.shared.looks.send_modify(|looks| *looks += 1);
        if loading {
            self.shared.state().ready = Err("the server is loading its data".into());
            return true;
        }
        self.adopt();
        self.life = Life::Answered;
        self.early_exits = 0;
        self.shared.state().settle("ServerExits");
        self.watch_primary();
        super::receive::end_unasked(&self.shared).await;
        let gated = self.try_gate().await;
        let reopening = self.reopen().await;
        let promoting = self.takeover().await;
        let configuring = self.configure().await;
        let busy = self.act().await;
        if !(gated || reopening || promoting) {
            self.count_strays().await;
            self.weigh().await;
        }
        let now = self.shared.now();
        let ready = self.with_situation(health::is_ready);
        let unready = ready.is_err();
        self.shared.state().ready = ready;
        self.shared.jobs.forget_old(now);
        self.shared.arrivals.forget_old(now);
        gated || reopening || promoting || configuring || busy || unready
    }

    /// The first look at a server that another life of the agent started.
    fn adopt(&mut self) {
        if std::mem::replace(&mut self.adopted, true) || self.started_at.is_some() {
            return;
        }
        self.shared.state().event(
            redisnode_proto::event::Severity::Normal,
            "ServerAdopted",
            "the agent has started beside a running server and takes care of it from now on",
        );
    }

    /// Since when the own primary is marked as failed.
    fn watch_primary(&mut self) {
        let now = self.shared.now();
        let state = self.shared.state();
        let failed = state.server.running().is_some_and(|running| {
            let view = &running.view;
            let primary = view.myself().and_then(|me| me.primary.as_ref()).and_then(|id| view.node(id));
            primary.is_some_and(|primary| primary.health == Health::Failed)
        });
        self.primary_failed_since = failed.then(|| self.primary_failed_since.unwrap_or(now));
    }

    /// Builds the situation for the pure core and lets it decide.
    pub(super) fn with_situation<T>(&self, decide: impl FnOnce(&Situation<'_>) -> T) -> T {
        let targets: Vec<NodeName> = self.shared.jobs.targets();
        let state = self.shared.state();
        decide(&Situation {
            now: self.shared.now(),
            me: &self.shared.me,
            ledger: &state.ledger,
            server: &state.server,
            peers: &state.peers,
            inbox: &state.inbox,
            jobs: &targets,
            stopping: state.stopping,
            primary_failed_since: self.primary_failed_since,
            node_timeout: self.eye.node_timeout,
            no_failover: self.eye.no_failover,
            marks_survive: marks_survive(&state.server),
        })
    }

    pub(super) fn ask(&mut self, names: Vec<NodeName>) {
        self.asks.ask(&self.shared, names, &mut self.tasks);
    }

    /// Changes the ledger; false (and said) if that failed, and then the deed must not be done.
    pub(super) fn write_down(&self, change: impl FnOnce(&mut Ledger)) -> bool {
        self.shared.change_ledger(change).inspect_err(|e| tracing::error!(error = %whole(e), "ledger")).is_ok()
    }

    pub(super) fn is_primary_with_slots(&self) -> bool {
        self.shared.state().server.running().is_some_and(|running| {
            running.replication.role == Role::Primary && running.view.myself().is_some_and(|me| !me.slots.is_empty())
        })
    }
}

/// Valkey 8.0 and later replicate the marks of open slots.
pub(super) fn marks_survive(server: &ServerState) -> bool {
    server.running().is_some_and(|r| r.version.product == Product::Valkey && r.version.major >= 8)
}
