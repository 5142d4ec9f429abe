//! `redis-coordinator local FILE`: a file as source, this machine's processes as members, one coordinator for both.

use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

use redisnode_http::server::listen;
use redisnode_http::{Client, Guard, Token};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::LocalArgs;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::files::write_json;
use crate::machine::local::dir::{CoordinatorFile, Dir};
use crate::machine::local::{Binaries, LocalMachine, Opened};
use crate::reconcile::Coordinator;
use crate::source::{LocalFile, Source};
use crate::term::{Term, TermFile};
use crate::{admin, console};

/// Runs until a signal or a failure. Whatever ends it, the processes that it keeps running are stopped.
pub async fn run(args: LocalArgs) -> Result<(), Failure> {
    let clock = Clock::start();
    // Before anything is started: a signal must never find nobody who stops it.
    let mut signals = Signals::install()?;
    let mut source = LocalFile::open(&args.file).map_err(Failure::Input)?;
    let wanted = source.wanted().resource.clone();
    let binaries = Binaries::find(args.server.as_deref(), args.agent.as_deref()).map_err(Failure::Input)?;
    source.try_directives_on(binaries.server.clone()).await.map_err(Failure::Input)?;
    let name = &wanted.metadata.name;
    let root = args.dir.unwrap_or_else(|| Path::new(".").join(name));
    Opened::check(&root, name, args.port, wanted.spec.members())?;
    let listener = listen(args.listen)
        .map_err(|error| Failure::Runtime(format!("{error}: choose another address with --listen")))?;
    let own = listener.local_addr().map_err(Failure::runtime)?;

    let opened = Opened::open(&root, name, args.port, wanted.spec.members())?;
    let (dir, cluster) = (opened.dir.clone(), opened.cluster.clone());
    let term = Term::new(TermFile::open(dir.term())?);
    source.keep_copy(dir.spec())?;
    let coordinator_file = CoordinatorFile { pid: std::process::id(), listen: own };
    write_json(&dir.coordinator(), &coordinator_file)?;
    greet(name, &dir, &coordinator_file);

    let token = Token::in_file(dir.token());
    let client = Client::new(Some(token.clone()));
    let machine = LocalMachine::start(opened, binaries).map_err(Failure::Runtime)?;
    let hurry = machine.hurry();
    let mut coordinator = Coordinator::new(source, machine, cluster.cluster, &client, clock, term);
    let shown = coordinator.shown();
    let connect = format!("connect: redis-cli -c -p {}", cluster.port);
    let end: Result<Infallible, Failure> = tokio::select! {
        end = coordinator.run() => end,
        () = admin::run(listener, Guard::Token(token), shown.clone(), clock) => {
            Err(Failure::runtime("the HTTP server ended; start again"))
        }
        () = console::follow(shown, clock, connect) => Err(Failure::runtime("the console ended; start again")),
        () = signals.next() => return stop(&mut coordinator.machine, &mut signals, &hurry).await,
    };
    stop(&mut coordinator.machine, &mut signals, &hurry).await?;
    end.map(|never| match never {})
}

/// Stops everything; a second signal means at once.
async fn stop(machine: &mut LocalMachine, signals: &mut Signals, hurry: &watch::Sender<bool>) -> Result<(), Failure> {
    let begun = Instant::now();
    console::say("stopping; Ctrl-C again kills what is left");
    let coordinator = machine.dir().coordinator();
    let mut stopping = std::pin::pin!(machine.stop_all());
    let stopped = loop {
        tokio::select! {
            stopped = &mut stopping => break stopped,
            () = signals.next() => { hurry.send_replace(true); }
        }
    };
    for name in &stopped.by_force {
        console::say(&format!("{name} did not stop in order and was killed"));
    }
    if !stopped.alive.is_empty() {
        let names: Vec<&str> = stopped.alive.iter().map(redisnode_proto::NodeName::as_str).collect();
        return Err(Failure::Runtime(format!("processes of {} live on: end them by hand", names.join(", "))));
    }
    // It says where to find a coordinator that runs; if it stays, the lock tells the truth all the same.
    drop(std::fs::remove_file(coordinator));
    console::say(&format!("stopped ({:.1} s)", begun.elapsed().as_secs_f32()));
    Ok(())
}

fn greet(name: &str, dir: &Dir, coordinator: &CoordinatorFile) {
    console::say(&format!("{name} in {}, status at http://{}/", dir.root().display(), coordinator.listen));
}

/// The signals that end the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> Result<Self, Failure> {
        let one = |kind| signal(kind).map_err(|error| Failure::Runtime(format!("cannot handle signals: {error}")));
        Ok(Self { interrupt: one(SignalKind::interrupt())?, terminate: one(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
