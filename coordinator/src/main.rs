//! The `redis-coordinator` program: reads the command line, runs, ends with one sentence and an exit code.

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use redis_coordinator::cli::{Cli, Command, KubernetesArgs};
use redis_coordinator::failure::Failure;
use redis_coordinator::kubernetes::lease::LeaseName;
use redis_coordinator::kubernetes::objects::Images;
use redis_coordinator::kubernetes::{self, crd};
use redis_coordinator::{check, local};
use tracing_subscriber::EnvFilter;

/// Packs tightly: the coordinator of a fleet holds a little of each of many agents for long, and of musl's own allocator a
/// third was room between what is held.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    // On a terminal the console speaks; in a pod the log is all there is.
    let default = if matches!(command, Command::Kubernetes(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Colours are for terminals: in a pod's log they are only noise.
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr).init();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be there to read it; the exit code says it too.
            drop(writeln!(stderr(), "redis-coordinator: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Kubernetes(args) => runtime()?.block_on(kubernetes::run(options(args))),
        Command::Local(args) => runtime()?.block_on(local::run(args)),
        Command::Crd => print_crd(),
        Command::Check(args) => runtime()?.block_on(check::run(args)),
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

fn options(args: KubernetesArgs) -> kubernetes::Options {
    kubernetes::Options {
        namespace: args.namespace,
        lease: LeaseName { namespace: args.lease_namespace, name: args.lease_name, identity: args.identity },
        images: Images {
            agent: args.agent_image,
            server: args.server_image,
            agent_pull_policy: args.agent_pull_policy,
        },
        users_are_assigned: args.users_are_assigned,
        listen: args.listen,
    }
}
