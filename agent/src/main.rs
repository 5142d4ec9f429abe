//! The `redisnode` binary: reads the command line and hands over. Everything else is in the library.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use redisnode_agent::install::install;
use redisnode_agent::launcher;
use redisnode_agent::node::AgentArgs;
use tracing_subscriber::EnvFilter;

/// One node of a Redis Cluster: its agent, and the launcher of its server.
#[derive(Debug, Parser)]
#[command(name = "redisnode", version)]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Takes care of one server: joins it to its cluster, and does all that the cluster needs of it.
    Agent(Box<AgentArgs>),
    /// Starts the server when the agent says so, waits for its end, tells. Can be process 1 of a container.
    Launch {
        /// The member's folder; made if it is missing.
        #[arg(long, env = "REDISNODE_DIR")]
        dir: PathBuf,
    },
    /// Copies this program into a folder, for containers whose image does not have it.
    Install {
        /// The folder; made if it is missing.
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    match run(cli.part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads it any more, the exit code still speaks.
            writeln!(std::io::stderr(), "redisnode: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(part: Part) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    match part {
        Part::Agent(args) => runtime.block_on(redisnode_agent::node::run(*args)),
        Part::Launch { dir } => Ok(runtime.block_on(launcher::run(&dir))?),
        Part::Install { dir } => {
            let program = install(&dir)?;
            tracing::info!(program = %program.display(), "installed");
            Ok(())
        }
    }
}

/// What is logged is chosen by `REDISNODE_LOG` (`info` if it is not set or wrong). A log that nobody reads any more
/// (its reader was killed) is no reason to end: errors of writing it are not reported, which would panic.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("REDISNODE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
