//! `kubectl rediscluster`: shows clusters, checks them, shows what would be done, hands a role over. It needs no
//! running coordinator: it asks the agents, and the planner's pure functions tell what that means.

mod cli;
mod gather;
mod handoff;
mod plan;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod tree;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Healthy, or done.
    Good,
    /// Not healthy, or refused.
    Bad,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
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
fn run(Cli { local, command }: Cli) -> Result<Verdict, String> {
    let root: PathBuf = local.ok_or(
        "this version shows local clusters only: give the folder of one with --local, as redis-coordinator local got it \
         with --dir",
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let place = gather::Place::open(&root)?;
        match command {
            Command::Status(args) => status::run(&place, &args).await,
            Command::Verify => verify::run(&place).await,
            Command::Plan(args) => plan::run(&place, &args).await,
            Command::Handoff(args) => handoff::run(&place, &args).await,
        }
    })
}

/// Writes to the standard output. A reader that has gone away is no reason for noise.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
