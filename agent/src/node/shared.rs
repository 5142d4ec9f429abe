//! What the loop and the HTTP handlers share. Short critical sections, no lock held over an await.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redisnode_agent_core::config::{self, ServerPlace, UNTOLD_TIMEOUT};
use redisnode_agent_core::{Answer, Inbox, Peer, Peers};
use redisnode_http::Client;
use redisnode_proto::event::{Event, Problem, Severity};
use redisnode_proto::message::Outcome;
use redisnode_proto::report::{Disk, ServerState};
use redisnode_proto::{Address, Generation, Layout, Ledger, Member, Millis, NodeId, NodeName, Report};
use tokio::sync::{Notify, watch};

use super::args::AgentArgs;
use super::arrivals::Arrivals;
use super::migrate::Jobs;
use super::receive::Receiving;
use crate::files::{FileError, write_json};
use crate::launch_client::LaunchClient;
use crate::resp::{Access, Auth, Connection, Names, RespError, Secret};

/// Most events that a Report carries.
const EVENTS_KEPT: usize = 64;

/// One agent's own world.
pub(super) struct Shared {
    pub(super) args: AgentArgs,
    pub(super) me: Member,
    pub(super) address: Address,
    pub(super) client: Client,
    pub(super) launcher: LaunchClient,
    pub(super) jobs: Jobs,
    /// Connections that open slots for arrival.
    pub(super) arrivals: Arrivals,
    /// What the own server pulls from other servers.
    pub(super) receiving: Receiving,
    /// Read by moves that open slots for arrival, written while foreign slots are marked for a question: so none ends the
    /// mark of a move. The loop only tries to take it.
    pub(super) marking: tokio::sync::RwLock<()>,
    /// Wakes the loop.
    pub(super) wake: Notify,
    /// The newest Report.
    pub(super) report: watch::Sender<Arc<Report>>,
    /// Of the Layout that is held.
    pub(super) generation: watch::Sender<Generation>,
    /// Grows with each completed look at the server.
    pub(super) looks: watch::Sender<u64>,
    /// The server's first start need not wait for missing members any longer: see [`super::greet`].
    pub(super) greeted: watch::Sender<bool>,
    pub(super) life: u64,
    origin: Instant,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) server: ServerState,
    /// Looks at the server that have ended.
    pub(super) looks: u64,
    pub(super) disk: Disk,
    pub(super) peers: Peers,
    /// Addresses that peers gave themselves.
    pub(super) addresses: BTreeMap<NodeName, Address>,
    pub(super) inbox: Inbox,
    /// How the last death notice ended, by the dead one's id.
    pub(super) notice_outcome: Option<(NodeId, Outcome)>,
    /// How the last handoff ended.
    pub(super) handoff_outcome: Option<Outcome>,
    pub(super) stopping: bool,
    pub(super) restart_wanted: bool,
    /// When a coordinator last sent the Layout that is held, or a newer one.
    pub(super) layout_confirmed_at: Option<Millis>,
    pub(super) ready: Result<(), String>,
    /// Since when the server has not answered although it lives.
    pub(super) silent_since: Option<Millis>,
    pub(super) problems: BTreeMap<&'static str, Problem>,
    pub(super) events: VecDeque<Event>,
    pub(super) restart_needed: Vec<String>,
    /// Slots that this agent has opened for arrival, and when: the source needs a moment to open its side.
    pub(super) imports: BTreeMap<u16, Millis>,
    /// Mates that refused to take over since the check began.
    pub(super) refused: BTreeSet<NodeName>,
    event_number: u64,
}

impl Shared {
    pub(super) fn new(args: AgentArgs, ledger: Ledger, client: Client, launcher: LaunchClient, life: u64) -> Arc<Self> {
        let (me, address) = (args.member(), args.address());
        let greeted = watch::Sender::new(args.peers.is_empty());
        let generation = ledger.layout.as_ref().map(|layout| layout.generation).unwrap_or_default();
        let state = State::new(ledger);
        let report = super::reporting::build(&state, &me, &address, life, 0, Vec::new());
        Arc::new(Self {
            args,
            me,
            address,
            client,
            launcher,
            jobs: Jobs::default(),
            arrivals: Arrivals::default(),
            receiving: Receiving::default(),
            marking: tokio::sync::RwLock::new(()),
            wake: Notify::new(),
            report: watch::Sender::new(Arc::new(report)),
            generation: watch::Sender::new(generation),
            looks: watch::Sender::new(0),
            greeted,
            life,
            origin: Instant::now(),
            state: Mutex::new(state),
        })
    }

    /// Milliseconds since this agent began.
    pub(super) fn now(&self) -> Millis {
        Millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this agent does nothing at all: its folder is another node's. Not a byte in it is changed.
    pub(super) fn refusal(&self) -> Option<String> {
        match &self.state().server {
            ServerState::Refused { reason } => Some(reason.clone()),
            _ => None,
        }
    }

    pub(super) fn layout(&self) -> Option<Layout> {
        self.state().ledger.layout.clone()
    }

    /// After so long without a word from one of them, servers call it failed.
    pub(super) fn node_timeout(&self) -> Millis {
        let state = self.state();
        state.ledger.layout.as_ref().map_or(UNTOLD_TIMEOUT, |layout| layout.settings.node_timeout)
    }

    pub(super) fn ledger_path(&self) -> PathBuf {
        self.args.dir.join("ledger.json")
    }

    /// Changes the ledger: on disk first, then here. On an error nothing has changed, and the deed must not be done.
    pub(super) fn change_ledger(&self, change: impl FnOnce(&mut Ledger)) -> Result<(), FileError> {
        let before = self.state().ledger.clone();
        let mut next = before.clone();
        change(&mut next);
        if next == before {
            return Ok(());
        }
        let written = write_json(&self.ledger_path(), &next);
        let mut state = self.state();
        match written {
            Ok(()) => {
                let held = next.layout.as_ref().map(|layout| layout.generation).unwrap_or_default();
                self.generation.send_if_modified(|old| std::mem::replace(old, held) != held);
                state.ledger = next;
                state.settle("LedgerNotWritten");
                Ok(())
            }
            Err(error) => {
                state.problem("LedgerNotWritten", format!("{}; nothing is decided until this works", whole(&error)));
                Err(error)
            }
        }
    }

    /// Where a peer's agent is reached: by its own word, else by the Layout.
    pub(super) fn agent_of(&self, name: &NodeName) -> Option<Address> {
        let state = self.state();
        let said = state.addresses.get(name).cloned();
        said.or_else(|| state.ledger.layout.as_ref()?.member(name).map(|member| member.address.clone()))
    }

    pub(super) fn auth(&self) -> Auth {
        let secrets = config::secrets(self.state().ledger.layout.as_ref().map(|layout| &layout.settings));
        secrets.password.map_or(Auth::None, |password| Auth::Password(Secret::new(password)))
    }

    /// How servers are spoken to: the own one, under the names that it has started with, and others.
    pub(super) fn access(&self) -> Access {
        let configured = self.state().ledger.configured.clone();
        let names = configured.map(|settings| Names::new(&settings.rename_commands)).unwrap_or_default();
        Access { auth: self.auth(), names }
    }

    pub(super) fn place(&self) -> ServerPlace {
        ServerPlace {
            bind: vec![self.args.interface()],
            announce_ip: self.address.ip,
            port: self.address.port,
            bus_port: self.address.bus_port,
        }
    }

    /// A new connection to the own server.
    pub(super) async fn connect(&self, deadline: Duration) -> Result<Connection, RespError> {
        Connection::open(self.address.server(), &self.access(), deadline).await
    }

    /// Notes an answer of a peer's agent.
    pub(super) fn heard(&self, name: &NodeName, report: Report) {
        let at = self.now();
        let mut state = self.state();
        state.addresses.insert(name.clone(), report.address.clone());
        state.peers.insert(name.clone(), Peer { answer: Answer::Heard { report: Box::new(report), at } });
    }

    /// Notes that a peer's agent did not answer.
    pub(super) fn unheard(&self, name: &NodeName) {
        let now = self.now();
        let mut state = self.state();
        let since = match state.peers.get(name).map(|peer| &peer.answer) {
            Some(Answer::Silent { since }) => *since,
            Some(Answer::Heard { .. } | Answer::NeverAsked) | None => now,
        };
        state.peers.insert(name.clone(), Peer { answer: Answer::Silent { since } });
    }
}

impl State {
    fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            // Not a word about the server before it was looked at: an agent that restarts stands beside a running one.
            server: ServerState::Unknown { reason: "the agent is starting".into() },
            looks: 0,
            disk: Disk::default(),
            peers: Peers::new(),
            addresses: BTreeMap::new(),
            inbox: Inbox::default(),
            notice_outcome: None,
            handoff_outcome: None,
            stopping: false,
            restart_wanted: false,
            layout_confirmed_at: None,
            ready: Err("the agent is starting".into()),
            silent_since: None,
            problems: BTreeMap::new(),
            events: VecDeque::new(),
            restart_needed: Vec::new(),
            imports: BTreeMap::new(),
            refused: BTreeSet::new(),
            event_number: 0,
        }
    }

    /// Says a problem until [`Self::settle`].
    pub(super) fn problem(&mut self, reason: &'static str, message: impl Into<String>) {
        let problem = Problem::new(reason, message);
        if self.problems.get(reason) != Some(&problem) {
            tracing::warn!(reason, message = %problem.message, "problem");
            self.problems.insert(reason, problem);
        }
    }

    /// The problem is over.
    pub(super) fn settle(&mut self, reason: &'static str) {
        if self.problems.remove(reason).is_some() {
            tracing::info!(reason, "problem is over");
        }
    }

    /// Slots that are not here any more need not be finished by this server.
    pub(super) fn forget_finished_resumes(&mut self) {
        let mine = self.server.running().and_then(|r| r.view.myself()).map(|me| me.slots.clone()).unwrap_or_default();
        self.inbox.resume.retain(|(slot, _)| mine.contains(*slot));
    }

    /// Notes that something happened.
    pub(super) fn event(&mut self, severity: Severity, reason: &str, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(reason, %message, "event");
        self.event_number += 1;
        let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.events.push_back(Event {
            number: self.event_number,
            severity,
            reason: reason.to_owned(),
            message,
            at_unix_ms: u64::try_from(at_unix_ms).unwrap_or(u64::MAX),
        });
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }
}

/// An error with all its causes, in one line.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
