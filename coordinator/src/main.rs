//! The `redis-coordinator` program: reads the command line, runs, ends with one sentence and an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use redis_coordinator::cli::{Cli, Command};
use redis_coordinator::failure::Failure;
use redis_coordinator::kubernetes::crd;
use redis_coordinator::local;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be there to read it; the exit code says it too.
            drop(writeln!(std::io::stderr(), "redis-coordinator: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Local(args) => runtime()?.block_on(local::run(args)),
        Command::Crd => print_crd(),
    }
}

fn print_crd() -> Result<(), Failure> {
    let text = crd::yaml().map_err(Failure::runtime)?;
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::runtime)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start: {error}")))
}
