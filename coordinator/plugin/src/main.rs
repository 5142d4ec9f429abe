//! `kubectl rediscluster`: shows clusters, checks them, shows what would be done, hands a role over, holds moves up. It needs no
//! running coordinator: it asks the agents, and the planner's pure functions tell what that means.

mod cli;
mod handoff;
mod migration;
mod moves;
mod pause;
mod place;
mod plan;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod tree;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::place::Place;
use crate::place::kubernetes::Kubernetes;
use crate::place::local::Folder;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Healthy, or done.
    Good,
    /// Not healthy, or refused.
    Bad,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(sentence) => {
            // Nobody may be there to read it; the exit code says it too.
            drop(writeln!(std::io::stderr(), "kubectl-rediscluster: {sentence}"));
            ExitCode::from(2)
        }
    }
}

/// The error is a sentence: wrong usage, or no answer.
fn run(cli: &Cli) -> Result<Verdict, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        match &cli.local {
            Some(root) => {
                let folder = Folder::open(root)?;
                if let Some(name) = cli.command.cluster()?.filter(|name| *name != folder.name()) {
                    return Err(format!("the cluster here is {}, not {name}", folder.name()));
                }
                on(&folder, &cli.command).await
            }
            None => on_kubernetes(&Kubernetes::open(&cli.place()).await?, &cli.command).await,
        }
    })
}

async fn on_kubernetes(kubernetes: &Kubernetes, command: &Command) -> Result<Verdict, String> {
    let name = command.cluster()?;
    if let (Command::Status(args), None) = (command, &name) {
        return status::all(kubernetes, args).await;
    }
    Box::pin(on(&kubernetes.cluster(name.as_deref()).await?, command)).await
}

async fn on(place: &impl Place, command: &Command) -> Result<Verdict, String> {
    match command {
        Command::Status(args) => status::run(place, args).await,
        Command::Verify(args) => verify::run(place, args).await,
        Command::Plan(args) => plan::run(place, args).await,
        Command::Handoff(args) => handoff::run(place, args).await,
        Command::Pause(_) => pause::run(place, true).await,
        Command::Resume(_) => pause::run(place, false).await,
        Command::Migration(args) => migration::run(place, args).await,
    }
}

/// Writes to the standard output. A reader that has gone away is no reason for noise.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
