//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs Redis and Valkey clusters whose nodes look after themselves.
#[derive(Debug, Parser)]
#[command(name = "redis-coordinator", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the cluster of a YAML file on this machine and follow the file until Ctrl-C.
    Local(LocalArgs),
    /// Print the definition of the resource RedisCluster, as YAML for Kubernetes.
    Crd,
}

/// Options of `local`.
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// The RedisCluster, as YAML. Edit it while the cluster runs, and the cluster follows.
    pub file: PathBuf,
    /// Where the cluster is kept. The same folder again continues the same cluster [default: ./<metadata.name>]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Port of the first node; the others follow. Bus: port + 10000, agent: port + 1000 [default: 7000, or as before]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// The server to run [default: redis-server or valkey-server in the PATH]
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// The redisnode program [default: beside this one, or in the PATH]
    #[arg(long)]
    pub agent: Option<PathBuf>,
    /// Where to serve the status page, metrics and probes.
    #[arg(long, default_value = "127.0.0.1:8086")]
    pub listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_options_are_refused() {
        for wrong in [&["local"][..], &["local", "a", "--port", "0"], &["local", "a", "--port", "70000"], &["cluster"]]
        {
            let all = std::iter::once("redis-coordinator").chain(wrong.iter().copied());
            assert_eq!(Cli::try_parse_from(all).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
