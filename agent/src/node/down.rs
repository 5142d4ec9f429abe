//! The server is surely dead: the start check decides what comes first, a takeover or a start.

use std::time::Duration;

use redisnode_agent_core::{StartAct, StartSituation, StartVerdict, start_check};
use redisnode_http::CallError;
use redisnode_proto::event::Severity;
use redisnode_proto::ledger::Promise;
use redisnode_proto::message::{DeathNotice, Outcome};
use redisnode_proto::report::ServerState;
use redisnode_proto::{Millis, NodeName};

use super::ending::{Life, account};
use super::folder;
use super::reconcile::Reconciler;
use super::shared::whole;
use super::starting::Birth;
use super::tasks::Done;
use crate::launcher::Ended;

/// How long the chosen mate's agent may take over one answer; then it is asked again.
const NOTICE_WITHIN: Duration = Duration::from_millis(1500);
/// How long a refusal counts before the same mate may be asked again.
const REFUSAL_LASTS: Millis = Millis(2000);

/// A server that is down, and the check before its next start.
#[derive(Debug)]
pub(super) struct Down {
    /// Since when, by this agent's clock.
    pub(super) since: Millis,
    /// Since when the present check goes on.
    pub(super) check_since: Millis,
    refused_at: Option<Millis>,
    pub(super) start_after: Option<Millis>,
    told_end: bool,
}

impl Reconciler {
    /// Called on each round in which the server is down; sets the stage on the first.
    pub(super) fn went_down(&mut self) {
        if self.down.is_some() {
            return;
        }
        let now = self.shared.now();
        self.eye.close();
        self.gate = None;
        self.reopening = None;
        self.shared.jobs.source_is_down();
        let mut state = self.shared.state();
        self.down = Some(Down { since: now, check_since: now, refused_at: None, start_after: None, told_end: false });
        state.refused.clear();
        state.inbox.death = None;
        state.inbox.forced_at = None;
        state.silent_since = None;
        drop(state);
        self.look_at_folder();
    }

    fn look_at_folder(&self) {
        let seen = folder::look(&self.shared.args.dir);
        let mut state = self.shared.state();
        match seen {
            Ok(disk) => {
                state.disk = disk;
                state.settle("FolderUnreadable");
            }
            Err(error) => state.problem("FolderUnreadable", whole(&error)),
        }
    }

    pub(super) async fn on_down(&mut self, ended: Option<Ended>, start_failed: Option<String>, launcher: bool) {
        self.tell_end(ended.as_ref(), start_failed.as_deref());
        if launcher {
            self.look_for_program().await;
        }
        if let Some(reason) = self.folder_unreadable() {
            self.waits(reason);
            return self.look_again();
        }
        let verdict = self.check();
        self.decided(format!("{verdict:?}"));
        let deposed = verdict.is_deposed();
        match verdict.act {
            StartAct::Ask(names) => {
                self.waits(format!("asking {} before the server starts", join(&names)));
                self.ask(names);
            }
            StartAct::Wait { reason, ask } => {
                self.waits(reason);
                self.ask(ask);
            }
            StartAct::Promote { mate, mate_id, dead, epoch } => {
                let promise = Promise { dead, epoch, chosen: mate, chosen_id: mate_id };
                self.send_notice(promise);
            }
            StartAct::Never => self.retired(),
            // Addresses in nodes.conf are brought up to date before the start, as far as their owners can be found.
            StartAct::Start { .. } if !*self.shared.greeted.borrow() && self.has_identity() => {
                self.waits("looking for the other members before the server starts".into());
            }
            StartAct::Start { gated, aside, lost } if launcher => {
                if let Some(program) = self.program() {
                    self.start(verdict.row, program, Birth { gated, deposed, aside, lost }).await;
                }
            }
            StartAct::Start { .. } => self.waits("the server may start, but no launcher runs".into()),
        }
    }

    fn folder_unreadable(&self) -> Option<String> {
        self.shared.state().problems.get("FolderUnreadable").map(|problem| problem.message.clone())
    }

    /// The check begins when the folder can be read: nobody was asked before.
    fn look_again(&mut self) {
        self.look_at_folder();
        let now = self.shared.now();
        if let Some(down) = &mut self.down {
            down.check_since = now;
        }
    }

    fn has_identity(&self) -> bool {
        self.shared.state().disk.identity.is_some()
    }

    /// The folder is emptied again: the life before may have died between its word and its deed.
    fn retired(&mut self) {
        let emptied = folder::empty(&self.shared.args.dir);
        let mut state = self.shared.state();
        match emptied {
            Ok(()) => {
                state.disk = redisnode_proto::report::Disk::default();
                state.settle("FolderNotEmptied");
                state.server = ServerState::Retired;
            }
            Err(error) => state.problem("FolderNotEmptied", whole(&error)),
        }
    }

    pub(super) fn waits(&self, reason: String) {
        let mut state = self.shared.state();
        state.ready = Err(reason.clone());
        state.server = ServerState::Waiting { reason };
    }

    fn check(&mut self) -> StartVerdict {
        let now = self.shared.now();
        let mut state = self.shared.state();
        let down = self.down.as_mut();
        let since = down.as_ref().map_or(now, |down| down.check_since);
        if let Some(down) = down
            && down.refused_at.is_some_and(|at| now.since(at) >= REFUSAL_LASTS)
        {
            down.refused_at = None;
            state.refused.clear();
        }
        start_check(&StartSituation {
            now,
            since,
            me: &self.shared.me,
            ledger: &state.ledger,
            disk: &state.disk,
            may_found: self.shared.args.may_found,
            peers: &state.peers,
            refused: &state.refused,
        })
    }

    /// Says once how the server ended; a server that ends again and again right after its start is a problem of its own.
    fn tell_end(&mut self, ended: Option<&Ended>, start_failed: Option<&str>) {
        let Some(down) = self.down.as_mut().filter(|down| !down.told_end) else { return };
        down.told_end = true;
        let now = self.shared.now();
        let life = std::mem::take(&mut self.life);
        let Some(text) = account(life, ended, start_failed) else {
            if life == Life::Stopped {
                self.started_at = None;
            }
            return;
        };
        // A server that has just started and never answered ends by its own fault.
        let young = self.started_at.take().is_some_and(|at| now.since(at) < Millis(5000));
        let early = start_failed.is_some() || (young && life != Life::Answered);
        let mut state = self.shared.state();
        if early {
            let pause = Millis(100u64.saturating_mul(1 << self.early_exits.min(6)).min(5000));
            if let Some(down) = &mut self.down {
                down.start_after = Some(now.after(pause));
            }
            self.early_exits = self.early_exits.saturating_add(1);
            state.problem(
                "ServerExits",
                format!(
                    "the server ends right after its start: {text}; look at the spec's redisConfig and renameCommands, and at server.log"
                ),
            );
        } else if !state.stopping {
            state.event(Severity::Warning, "ServerDied", text);
        }
    }

    /// The promise first, on disk; then the notice. The same mate is asked again until it says how it ended.
    fn send_notice(&mut self, promise: Promise) {
        let (mate, dead, epoch) = (promise.chosen.clone(), promise.dead.clone(), promise.epoch);
        self.waits(format!("{mate} takes over before this server may start again"));
        if !self.write_down(|ledger| ledger.promise = Some(promise)) {
            return;
        }
        let since = self.down.as_ref().map_or(Millis(0), |down| down.since);
        self.notify(
            mate,
            DeathNotice { by: self.shared.me.name.clone(), dead, epoch, dead_for: self.shared.now().since(since) },
        );
    }

    /// Sends one notice, if none is on its way.
    pub(super) fn notify(&mut self, mate: NodeName, notice: DeathNotice) {
        let Some(address) = self.shared.agent_of(&mate).filter(|_| !self.noticing) else { return };
        self.noticing = true;
        let client = self.shared.client.clone();
        tracing::info!(%mate, dead = %notice.dead.short(), "death notice");
        self.tasks.spawn(async move {
            let outcome = client.death_notice(address.agent(), &notice, NOTICE_WITHIN).await;
            Done::Noticed(mate, outcome)
        });
    }

    /// What the chosen mate's agent answered.
    pub(super) fn notice_ended(&mut self, mate: &NodeName, outcome: Result<Outcome, CallError>) {
        self.noticing = false;
        match outcome {
            Ok(Outcome::Done { name, .. }) => {
                let text = format!("{name} has taken over the slots of {}", self.shared.me.name);
                self.shared.state().event(Severity::Warning, "TakenOver", text);
            }
            Ok(Outcome::Refused { reason }) => {
                tracing::warn!(%mate, %reason, "takeover refused");
                let now = self.shared.now();
                self.shared.state().refused.insert(mate.clone());
                if let Some(down) = &mut self.down {
                    down.refused_at = Some(now);
                }
            }
            Ok(Outcome::Pending { reason }) => tracing::debug!(%mate, %reason, "takeover pending"),
            Err(error) => tracing::warn!(%mate, error = %error.whole(), "no answer to the death notice"),
        }
        // Whatever it said: who owns the slots is read anew from everybody.
        let known: Vec<NodeName> = self.shared.state().peers.keys().cloned().collect();
        self.ask(known);
    }
}

fn join(names: &[NodeName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
