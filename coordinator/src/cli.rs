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
    /// Look after the RedisClusters of a Kubernetes cluster.
    Kubernetes(KubernetesArgs),
    /// Print the definition of the resource RedisCluster, as YAML for Kubernetes.
    Crd,
    /// Ask a running coordinator whether it is ready.
    Check(CheckArgs),
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

/// Options of `kubernetes`. Each may also come from the environment, in capitals and with REDISNODE_ before it.
#[derive(Debug, Args)]
pub struct KubernetesArgs {
    /// The one namespace to look after [default: all of them]
    #[arg(long, env = "REDISNODE_NAMESPACE")]
    pub namespace: Option<String>,
    /// The image with the program redisnode, for the agents.
    #[arg(long, env = "REDISNODE_AGENT_IMAGE")]
    pub agent_image: String,
    /// imagePullPolicy of that image [default: Kubernetes' own choice]
    #[arg(long, env = "REDISNODE_AGENT_PULL_POLICY")]
    pub agent_pull_policy: Option<String>,
    /// The server's image, for clusters whose podTemplate names none.
    #[arg(long, env = "REDISNODE_SERVER_IMAGE", default_value = "valkey/valkey:9.1")]
    pub server_image: String,
    /// The platform gives pods their user, as OpenShift does: set none.
    #[arg(long, env = "REDISNODE_USERS_ARE_ASSIGNED")]
    pub users_are_assigned: bool,
    /// Namespace of the Lease by which one coordinator leads.
    #[arg(long, env = "REDISNODE_LEASE_NAMESPACE", default_value = "default")]
    pub lease_namespace: String,
    /// Name of that Lease.
    #[arg(long, env = "REDISNODE_LEASE_NAME", default_value = "redis-coordinator")]
    pub lease_name: String,
    /// The name of this process among its twins: its pod's name.
    #[arg(long, env = "REDISNODE_IDENTITY")]
    pub identity: String,
    /// Where to serve probes, metrics and the list of clusters.
    #[arg(long, env = "REDISNODE_LISTEN", default_value = "0.0.0.0:8086")]
    pub listen: SocketAddr,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Where it serves: HOST:PORT
    pub address: String,
    /// How many seconds to ask again while the answer is no.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
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
        for wrong in [
            &["local"][..],
            &["local", "a", "--port", "0"],
            &["local", "a", "--port", "70000"],
            &["cluster"],
            &["kubernetes"],
            &["check"],
        ] {
            let all = std::iter::once("redis-coordinator").chain(wrong.iter().copied());
            assert_eq!(Cli::try_parse_from(all).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
