//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use redisnode_proto::NodeName;

/// Shows Redis and Valkey clusters, checks them, and hands a primary's role over.
#[derive(Debug, Parser)]
#[command(name = "kubectl-rediscluster", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 healthy or done, 1 not healthy or refused, 2 wrong usage or no answer.")]
pub(crate) struct Cli {
    /// The folder of a local cluster.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) local: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the cluster and its nodes.
    Status(StatusArgs),
    /// Check the cluster, a line for each check, from what its nodes say now.
    Verify,
    /// Show what is done next and why, and what is not done and why. Changes nothing.
    Plan(PlanArgs),
    /// Make a replica the primary of its shard in the place of NODE, with no acknowledged write lost.
    Handoff(HandoffArgs),
}

/// Options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The cluster's name.
    pub(crate) name: Option<String>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Show it again and again.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Plan for this edited RedisCluster instead of the present one.
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// Options of `handoff`.
#[derive(Debug, Args)]
pub(crate) struct HandoffArgs {
    /// The primary that gives its role away.
    pub(crate) node: NodeName,
    /// Who gets it [default: the replica that is best in sync]
    #[arg(long, value_name = "REPLICA")]
    pub(crate) to: Option<NodeName>,
}

/// How to show something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide screens.
    Wide,
    /// For programs.
    Json,
    /// For both.
    Yaml,
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
    fn the_folder_may_stand_before_or_behind_the_command() {
        for line in [["x", "--local", "run", "status"], ["x", "status", "--local", "run"]] {
            assert_eq!(Cli::try_parse_from(line).unwrap().local, Some("run".into()));
        }
    }

    #[test]
    fn wrong_usage_ends_with_two() {
        for wrong in [&["status", "-o", "xml"][..], &["handoff"], &["handoff", "NODE!"], &["heal"]] {
            let all = std::iter::once("x").chain(wrong.iter().copied());
            assert_eq!(Cli::try_parse_from(all).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
