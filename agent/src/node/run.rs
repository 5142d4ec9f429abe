//! From the command line to a running agent: folder, lock, HTTP, launcher link, loop. The first signal drains, the
//! second ends at once.

use std::sync::Arc;

use anyhow::Context;
use rand::TryRng;
use rand::rngs::SysRng;
use redisnode_http::{Client, Guard, Token, serve, server};
use redisnode_proto::Ledger;
use redisnode_proto::report::ServerState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::api::Api;
use super::args::AgentArgs;
use super::folder;
use super::greet;
use super::reconcile::Reconciler;
use super::shared::{Shared, whole};
use crate::launch_client::LaunchClient;
use crate::lock::FolderLock;

/// Runs the agent of one node until it is told to stop, or one of its parts ends by itself.
pub async fn run(mut args: AgentArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot use the folder {}", args.dir.display()))?;
    args.dir = args.dir.canonicalize().with_context(|| format!("cannot use the folder {}", args.dir.display()))?;
    let _lock = FolderLock::acquire(&args.dir.join("agent.lock"))?;
    let listener = server::listen(args.listen()).context("end what uses this port, or choose another one")?;
    let token = Token::in_file(&args.token_file);
    let client = Client::new(Some(token.clone()));
    let (launcher, link) = LaunchClient::new(&args.dir);
    let (ledger, refusal) = match folder::open(&args.dir, &args.cluster, &args.member()) {
        Ok(ledger) => (ledger, None),
        Err(error) => (Ledger::new(args.cluster.clone(), args.member()), Some(whole(&error))),
    };
    let life = SysRng.try_next_u64().context("the system gives no random numbers")?;
    let shared = Shared::new(args, ledger, client, launcher, life);
    let (stop, stopped) = watch::channel(false);
    let api = Arc::new(Api(Arc::clone(&shared)));
    let mut end = stopped.clone();
    let http = serve(listener, Guard::Token(token), api, async move { drop(end.wait_for(|stop| *stop).await) });
    let http = tokio::spawn(http);
    let link = tokio::spawn(link.run());
    let work = tokio::spawn(work(Arc::clone(&shared), refusal, stopped));
    tracing::info!(node = %shared.me.name, address = %shared.args.listen(), "agent started");
    supervise(stop, work, http, link).await
}

/// The loop, or, in a folder that is not this node's, only the word that it is so.
async fn work(shared: Arc<Shared>, refusal: Option<String>, mut stopped: watch::Receiver<bool>) {
    let Some(reason) = refusal else {
        return tokio::select! {
            () = Reconciler::new(Arc::clone(&shared)).run(stopped) => {}
            () = greet::run(&shared) => {}
        };
    };
    {
        let mut state = shared.state();
        state.ready = Err(reason.clone());
        state.problem("Refused", reason.clone());
        state.server = ServerState::Refused { reason };
    }
    super::reporting::publish(&shared, &mut super::reporting::Told::default());
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Ends when the work has ended in order; anything else that ends is an error, by name.
async fn supervise(
    stop: watch::Sender<bool>,
    mut work: tokio::task::JoinHandle<()>,
    mut http: tokio::task::JoinHandle<()>,
    mut link: tokio::task::JoinHandle<()>,
) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen to signals")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    let mut signals = 0;
    loop {
        tokio::select! {
            _ = term.recv() => signals += 1,
            _ = int.recv() => signals += 1,
            ended = &mut work => {
                ended.context("the agent's loop broke")?;
                anyhow::ensure!(*stop.borrow(), "the agent's loop ended by itself");
                return Ok(());
            }
            ended = &mut http, if !*stop.borrow() => {
                ended.context("the agent's HTTP server broke")?;
                anyhow::bail!("the agent's HTTP server ended by itself");
            }
            ended = &mut link => {
                ended.context("the link to the launcher broke")?;
                anyhow::bail!("the link to the launcher ended by itself");
            }
        }
        anyhow::ensure!(signals < 3, "ended at once by a repeated signal; the server goes on without its agent");
        stop.send_replace(signals > 0);
    }
}
