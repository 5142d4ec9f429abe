//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use redisnode_proto::NodeName;

use crate::place::kubernetes::Where;

/// Shows Redis and Valkey clusters, checks them, and hands a primary's role over.
#[derive(Debug, Parser)]
#[command(name = "kubectl-rediscluster", version, arg_required_else_help = true)]
#[command(
    after_help = "On Kubernetes it works with your own rights: `get` and `list` of redisclusters, pods and statefulsets; to ask \
                        the agents also `get` of the cluster's Secret, `get` and `create` of pods/proxy; to pause (moves, too), `patch` of \
                        redisclusters.\n\nExit codes: 0 healthy or done, 1 not healthy or refused, 2 wrong usage or no answer."
)]
pub(crate) struct Cli {
    /// The folder of a local cluster, instead of a Kubernetes.
    #[arg(long, global = true, value_name = "DIR", conflicts_with_all = ["namespace", "all_namespaces", "context", "kubeconfig"])]
    pub(crate) local: Option<PathBuf>,
    /// The namespace [default: the context's].
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// The context of the kubeconfig.
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// The kubeconfig [default: as kubectl finds it].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a cluster and its nodes, or a line for each cluster.
    Status(StatusArgs),
    /// Check the cluster, a line for each check, from what its nodes say now.
    Verify(VerifyArgs),
    /// Show what is done next and why, and what is not done and why. Changes nothing.
    Plan(PlanArgs),
    /// Make a replica the primary of its shard in the place of NODE, with no acknowledged write lost.
    Handoff(HandoffArgs),
    /// Have the coordinator change nothing of this cluster any more. What agents were told goes on, takeovers too.
    Pause(Named),
    /// Have the coordinator go on with the changes of this cluster.
    Resume(Named),
    /// Show how slots move, pause that, resume it, or abort it.
    Migration(MigrationArgs),
}

/// Which cluster.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The cluster's name; the only one needs none.
    pub(crate) name: Option<String>,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) cluster: Named,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Show it again and again.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) cluster: Named,
    /// How long to wait until every check passes: members report one after the other, and after a loss servers need some
    /// node time-outs to forget who has gone.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub(crate) wait: u64,
}

/// What to do with moves of slots; to show them if nothing is said.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MigrationArgs {
    #[command(subcommand)]
    pub(crate) action: Option<MigrationAction>,
    #[command(flatten)]
    pub(crate) show: MovesArgs,
}

/// What can be done with moves of slots.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrationAction {
    /// Show each pair of nodes that slots move between, and its tries that failed.
    Show(MovesArgs),
    /// Begin to move nothing. Slots that are half moved are finished.
    Pause(Named),
    /// Move slots again.
    Resume(Named),
    /// End what moves at whole slots, and leave every slot where it is, until the spec changes or `resume` is said.
    Abort(Named),
}

/// Options of `migration show`.
#[derive(Debug, Args)]
pub(crate) struct MovesArgs {
    #[command(flatten)]
    pub(crate) cluster: Named,
    /// How to show them.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

impl MigrationArgs {
    /// Which cluster is meant.
    fn cluster(&self) -> &Named {
        match &self.action {
            None => &self.show.cluster,
            Some(MigrationAction::Show(args)) => &args.cluster,
            Some(MigrationAction::Pause(named) | MigrationAction::Resume(named) | MigrationAction::Abort(named)) => {
                named
            }
        }
    }
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) cluster: Named,
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

impl Cli {
    /// Which Kubernetes is meant.
    pub(crate) fn place(&self) -> Where {
        Where {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            all_namespaces: self.all_namespaces,
        }
    }
}

impl Command {
    /// The name of the cluster that is meant, if it is said: by a name, a file or a node.
    pub(crate) fn cluster(&self) -> Result<Option<String>, String> {
        Ok(match self {
            Self::Status(args) => args.cluster.name.clone(),
            Self::Plan(args) => match (&args.cluster.name, &args.file) {
                (None, Some(file)) => Some(crate::plan::edited(file)?.metadata.name),
                (name, _) => name.clone(),
            },
            Self::Handoff(args) => args.node.as_str().rsplit_once('-').map(|(cluster, _)| cluster.to_owned()),
            Self::Verify(args) => args.cluster.name.clone(),
            Self::Pause(named) | Self::Resume(named) => named.name.clone(),
            Self::Migration(args) => args.cluster().name.clone(),
        })
    }
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
    fn moves_are_shown_unless_something_else_is_said() {
        let read = |words: &[&str]| {
            let Command::Migration(args) = Cli::try_parse_from([&["x", "migration"], words].concat()).unwrap().command
            else {
                panic!("{words:?}")
            };
            (format!("{:?}", args.action).split('(').nth(1).map(str::to_owned), args.cluster().name.clone())
        };
        let my = || Some("my".to_owned());
        assert_eq!((read(&[]), read(&["my"])), ((None, None), (None, my())));
        assert_eq!(read(&["show", "my", "-o", "json"]), (Some("Show".to_owned()), my()));
        assert_eq!(read(&["abort", "my"]), (Some("Abort".to_owned()), my()));
        assert_eq!(read(&["pause"]), (Some("Pause".to_owned()), None));
    }

    #[test]
    fn wrong_usage_ends_with_two() {
        let both: &[&str] = &["--local", "run", "-n", "there", "status"];
        for wrong in [&["status", "-o", "xml"][..], &["handoff"], &["handoff", "NODE!"], &["heal"], both] {
            let all = std::iter::once("x").chain(wrong.iter().copied());
            assert_eq!(Cli::try_parse_from(all).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
