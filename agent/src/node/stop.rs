//! Stopping in order: moves end, the role is handed off, the server stops, and the ledger says how it stopped.

use std::time::Duration;

use redisnode_proto::event::Severity;
use redisnode_proto::ledger::CleanStop;
use redisnode_proto::message::Outcome;
use redisnode_proto::report::ServerState;
use redisnode_proto::topology::Info;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::ending::Life;
use super::liveness::{Process, process, stop_requested};
use super::reconcile::Reconciler;
use super::shared::whole;
use crate::launcher::OrderedSignal;
use crate::resp::Command;

/// For moves and handoff together.
const HANDOFF_WITHIN: Duration = Duration::from_secs(20);
/// For the server to save and end.
const END_WITHIN: Duration = Duration::from_mins(1);
/// Longer than any stop: nothing is acknowledged after the offset was read.
const STOP_PAUSE_MS: i64 = 60_000;
const ROUND: Duration = Duration::from_millis(10);

impl Reconciler {
    /// Hands off, stops the server and leaves. The agent ends afterwards, or waits for a new launcher.
    pub(super) async fn orderly_stop(&mut self) {
        self.shared.state().stopping = true;
        self.publish();
        tracing::info!("stopping the node in order");
        self.shared.jobs.stop_all("the node is stopping");
        if self.is_primary_with_slots() {
            self.hand_off_before_stop().await;
        }
        self.end_server().await;
        self.publish();
    }

    /// Stops the server and starts it again: a restart in order, handoff first.
    pub(super) async fn restart_server(&mut self) {
        self.shared.state().event(Severity::Normal, "Restarting", "the server is restarted in order");
        self.orderly_stop().await;
        self.shared.state().stopping = false;
    }

    async fn hand_off_before_stop(&mut self) {
        let deadline = Instant::now() + HANDOFF_WITHIN;
        self.hand_off(None);
        while self.handing_off && Instant::now() < deadline && process(&self.shared) == Process::Alive {
            if let Ok(Some(done)) = timeout(ROUND, self.tasks.join_next()).await {
                self.settle(done);
            }
            self.look_only().await;
        }
        let done = matches!(self.shared.state().handoff_outcome, Some(Outcome::Done { .. }));
        // The new primary serves; this server must have seen it, so that it leaves as a replica.
        while done
            && self.is_primary_with_slots()
            && Instant::now() < deadline
            && process(&self.shared) == Process::Alive
        {
            self.look_only().await;
            tokio::time::sleep(ROUND).await;
        }
    }

    /// A look without any decision.
    async fn look_only(&mut self) {
        if let Ok(server) = self.eye.look(&self.shared, self.gate.is_some()).await {
            {
                let mut state = self.shared.state();
                state.server = server;
                state.looks += 1;
            }
            self.shared.looks.send_modify(|looks| *looks += 1);
        }
        self.publish();
    }

    /// Stops the server and waits until it is surely dead.
    pub(super) async fn end_server(&mut self) {
        if process(&self.shared) != Process::Alive {
            return;
        }
        let stop = self.pause_and_shut_down().await;
        let deadline = Instant::now() + END_WITHIN;
        let mut launcher = self.shared.launcher.state();
        while process(&self.shared) == Process::Alive {
            if Instant::now() >= deadline {
                self.shared.state().problem("ServerDoesNotStop", "the server does not end; it is killed");
                if let Err(error) = self.shared.launcher.signal(OrderedSignal::Kill).await {
                    tracing::error!(error = %whole(&error), "cannot kill the server");
                }
                break;
            }
            // The launcher tells of its own server; the lock of another one raises no event.
            drop(timeout(ROUND, launcher.changed()).await);
        }
        self.eye.close();
        if process(&self.shared) != Process::Alive {
            self.life = Life::Stopped;
        }
        if let Some(stop) = stop.filter(|_| process(&self.shared) != Process::Alive) {
            self.write_down(|ledger| ledger.clean_stop = Some(stop));
        }
        self.shared.state().server = ServerState::Waiting { reason: "the server was stopped in order".into() };
    }

    /// Nothing is acknowledged after the offset is read. A server that refuses (it cannot save) is told why it must.
    async fn pause_and_shut_down(&mut self) -> Option<CleanStop> {
        let connection = self.eye.open(&self.shared).await.ok()?;
        let pause = Command::new("CLIENT").arg("PAUSE").number(STOP_PAUSE_MS).arg("WRITE");
        let info = Command::new("INFO").arg("replication");
        let seen = match connection.pipeline(&[pause, info]).await {
            Ok(replies) => replies.into_iter().nth(1).and_then(|reply| reply.text("INFO").ok()),
            Err(_) => None,
        };
        let replication = seen.and_then(|text| Info::parse(&text).ok()).and_then(|info| info.replication().ok());
        connection.set_deadline(END_WITHIN);
        match connection.run(&Command::new("SHUTDOWN")).await {
            // A server that obeys answers nothing.
            Err(_) => {}
            Ok(reply) => {
                let text = reply.error_text().unwrap_or("it answered").to_owned();
                self.shared.state().problem("ServerRefusesToStop", format!("SHUTDOWN: {text}; it is ended by SIGTERM"));
                if let Err(error) = self.shared.launcher.signal(OrderedSignal::Term).await {
                    tracing::warn!(error = %whole(&error), "cannot signal the server");
                }
            }
        }
        replication.map(|r| CleanStop { offset: r.offset, replication_id: r.replication_id, role: r.role })
    }

    /// The launcher was stopped, not this agent: it comes back, or the agent is stopped too.
    pub(super) async fn wait_for_launcher(&mut self, stop: &mut watch::Receiver<bool>) {
        let mut launcher = self.shared.launcher.state();
        while stop_requested(&self.shared) && !*stop.borrow() {
            tokio::select! {
                changed = launcher.changed() => if changed.is_err() { return },
                _ = stop.changed() => {}
            }
        }
        self.shared.state().stopping = false;
    }
}
