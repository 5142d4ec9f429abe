//! Starting the server, and holding its writes until the gate opens.

use std::collections::BTreeMap;

use redisnode_agent_core::config;
use redisnode_agent_core::start::{Gate, GateSituation, Row, gate};
use redisnode_proto::event::Severity;
use redisnode_proto::report::ServerState;
use redisnode_proto::{Address, Millis, NodeId};

use super::folder::{self, Known};
use super::prime::prime;
use super::reconcile::Reconciler;
use super::shared::whole;
use crate::files::write_durably;
use crate::launcher::Program;
use crate::resp::Command;

/// Each pause lasts so long and is renewed well before its end: an agent that dies leaves no closed server behind.
const PAUSE_MS: i64 = 1000;
const RENEW_AFTER: Millis = Millis(300);

/// Writes are held since a start.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenGate {
    started_at: Millis,
    paused_at: Option<Millis>,
}

/// What the start check decided about a start.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) gated: bool,
    pub(super) deposed: bool,
    pub(super) aside: bool,
    pub(super) lost: Option<String>,
}

/// The command line of the server. What its own entry point would load is loaded.
fn argv(program: Program) -> Vec<String> {
    let modules = program.modules.into_iter().flat_map(|module| ["--loadmodule".to_owned(), module]);
    [program.path, "server.conf".to_owned()].into_iter().chain(modules).collect()
}

impl Reconciler {
    /// Starts the server. Everything that must be on disk before is written first; any failure leaves it down, said.
    pub(super) async fn start(&mut self, row: Row, program: Program, birth: Birth) {
        let now = self.shared.now();
        if self.down.as_ref().and_then(|down| down.start_after).is_some_and(|after| now < after)
            || self.shared.state().stopping
        {
            return;
        }
        if let Err(reason) = self.prepare(&birth) {
            let mut state = self.shared.state();
            state.problem("CannotStart", format!("{reason}; the server is not started until this works"));
            state.ready = Err(reason.clone());
            state.server = ServerState::Waiting { reason };
            return;
        }
        self.begins_anew();
        let argv = argv(program);
        tracing::info!(?row, gated = birth.gated, "starting the server");
        self.shared.state().server = ServerState::Starting;
        if let Err(error) = self.shared.launcher.start(argv).await {
            tracing::warn!(error = %whole(&error), "cannot order the start");
            return;
        }
        if let Some(lost) = birth.lost {
            self.shared.state().event(Severity::Warning, "DataLost", lost);
        }
        self.started_at = Some(now);
        self.gate = birth.gated.then_some(OpenGate { started_at: now, paused_at: None });
        self.await_start().await;
    }

    /// What the last life had of the settings, or did not take, is over: the next one starts with what `prepare` wrote down.
    fn begins_anew(&mut self) {
        let mut state = self.shared.state();
        state.settle("CannotStart");
        state.settle("WrongDirective");
        state.restart_needed.clear();
        self.applied.clone_from(&state.ledger.configured);
    }

    /// The launcher says what came of the order; until then the process would still look dead.
    async fn await_start(&mut self) {
        let mut launcher = self.shared.launcher.state();
        let told = launcher.wait_for(|state| {
            matches!(state, crate::launch_client::LauncherState::Present(status)
                if status.server.is_live() || matches!(status.server, crate::launcher::ServerState::StartFailed { .. }))
        });
        if tokio::time::timeout(std::time::Duration::from_millis(500), told).await.is_err() {
            tracing::debug!("the launcher has not shown the start yet");
        }
        self.down = None;
    }

    fn prepare(&mut self, birth: &Birth) -> Result<(), String> {
        let dir = self.shared.args.dir.clone();
        let settings = self.shared.layout().map(|layout| layout.settings);
        let file = config::file(settings.as_ref(), &self.shared.place());
        write_durably(&dir.join("server.conf"), file.as_bytes()).map_err(|error| whole(&error))?;
        folder::mend_nodes_conf(&dir, &self.known_addresses()).map_err(|error| whole(&error))?;
        if let Some(why) = self.why_aside(birth.aside) {
            let moved = folder::set_aside(&dir).map_err(|error| whole(&error))?;
            self.aside = None;
            let text = format!("the data was moved to {}: {why}", moved.display());
            self.shared.state().event(Severity::Warning, "DataSetAside", text);
        }
        let mut disk = folder::look(&dir).map_err(|error| whole(&error))?;
        if self.shared.args.may_found && disk.identity.is_none() && self.shared.layout().is_none() {
            prime(&dir.join(folder::NODES_CONF), &self.shared.address).map_err(|error| whole(&error))?;
            disk = folder::look(&dir).map_err(|error| whole(&error))?;
        }
        let empty = !disk.has_data;
        let open = disk.identity.as_ref().map(|identity| identity.open.clone());
        self.shared.state().disk = disk;
        let written = self.shared.change_ledger(|ledger| {
            ledger.clean_stop = None;
            ledger.open_at_start = open;
            ledger.started_empty = empty;
            ledger.gated = birth.gated;
            ledger.deposed = birth.deposed;
            ledger.configured = settings;
            if birth.lost.is_some() {
                ledger.data_lost.clone_from(&birth.lost);
            }
        });
        written.map_err(|error| whole(&error))
    }

    /// Why what is in the folder must not be loaded, if so.
    fn why_aside(&self, told: bool) -> Option<String> {
        let state = self.shared.state();
        let nobodys = state.disk.identity.is_none() && state.disk.has_data;
        let emptied = "the primary has started empty and would have this copy overwritten";
        let stray = "there is no nodes.conf that says whose it is";
        self.aside.clone().or_else(|| nobodys.then(|| stray.into())).or_else(|| told.then(|| emptied.into()))
    }

    /// Addresses of peers whose agents have proved who they are: the last ones that they gave themselves.
    fn known_addresses(&self) -> Known {
        let state = self.shared.state();
        let address = |at: &Address| (at.ip, at.port, at.bus_port);
        let heard = state.peers.iter().filter_map(|(name, peer)| Some((name, peer.heard_since(Millis(0))?)));
        let mut proved: BTreeMap<NodeId, _> = heard
            .filter_map(|(name, report)| {
                let running = report.server.running().map(|running| running.view.me.clone());
                let id = running.or_else(|| report.disk.identity.as_ref().map(|identity| identity.id.clone()))?;
                Some((id, address(state.addresses.get(name).unwrap_or(&report.address))))
            })
            .collect();
        if let Some(own) = &state.disk.identity {
            proved.insert(own.id.clone(), address(&self.shared.address));
        }
        Known { proved, dealt_anew: !self.shared.args.peers.is_empty() }
    }

    /// The agent before this one held writes, and did not come to know whether they may flow.
    pub(super) fn adopt_gate(&mut self) {
        if self.shared.state().ledger.gated && self.gate.is_none() && self.started_at.is_none() {
            self.gate = Some(OpenGate { started_at: self.shared.now(), paused_at: None });
        }
    }

    /// Pauses writes as soon as the server has loaded its data, and again before the pause ends. Not sooner: it would take
    /// the command, but Redis 8.4 and later then abort when they find keys of foreign slots behind the load, which they
    /// delete and propagate (seen on 8.6). Its first two seconds without writes begin behind the load as well.
    pub(super) async fn hold_gate(&mut self) {
        let now = self.shared.now();
        let due = self.gate.is_some_and(|gate| gate.paused_at.is_none_or(|at| now.since(at) >= RENEW_AFTER));
        if !due {
            return;
        }
        let pause = Command::new("CLIENT").arg("PAUSE").number(PAUSE_MS).arg("WRITE");
        let first = self.gate.is_some_and(|gate| gate.paused_at.is_none());
        let Ok(connection) = self.eye.open(&self.shared).await else { return };
        // A server that loads refuses a PING.
        if first && let Err(error) = connection.demand(&Command::new("PING")).await {
            tracing::debug!(error = %whole(&error), "writes are not paused yet");
            return;
        }
        match connection.demand(&pause).await {
            Ok(_) => {
                if let Some(gate) = &mut self.gate {
                    gate.paused_at = Some(now);
                }
            }
            Err(error) => tracing::debug!(error = %whole(&error), "cannot pause writes yet"),
        }
    }

    /// Opens the gate if the core says so. True while it is closed.
    pub(super) async fn try_gate(&mut self) -> bool {
        let Some(open) = self.gate else { return false };
        let confirmed = self.shared.state().layout_confirmed_at.is_some_and(|at| at >= open.started_at);
        let decision = self.with_situation(|node| {
            gate(&GateSituation { node, started_at: open.started_at, layout_confirmed: confirmed })
        });
        match decision {
            Gate::Held { reason, ask } => {
                self.decided(reason);
                self.ask(ask);
                true
            }
            Gate::Open => {
                if !self.write_down(|ledger| ledger.gated = false) {
                    return true;
                }
                self.gate = None;
                if let Ok(connection) = self.eye.open(&self.shared).await
                    && let Err(error) = connection.demand(&Command::new("CLIENT").arg("UNPAUSE")).await
                {
                    tracing::debug!(error = %whole(&error), "the pause ends by itself within a second");
                }
                if let ServerState::Running(running) = &mut self.shared.state().server {
                    running.writes_paused = false;
                }
                false
            }
        }
    }
}
