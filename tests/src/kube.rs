//! A real Kubernetes for tests: `tests/k8s/up.sh` brings it up in namespaces of its own, this looks at it and breaks it.
//!
//! It ends when its [`Kubernetes`] is dropped, and also when the test process dies in any way: what holds it reads from
//! a pipe that this process has open. It believes the API server, and for pods the processes themselves.

mod account;
mod api;
mod audit;
mod break_it;
mod coordinator;
mod images;
mod namespace;
mod network;
mod pod;
mod stand_in;
mod start;
mod volumes;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Mutex;

pub use account::Rights;
pub use api::Api;
pub use audit::{Request, Requests};
pub use break_it::{Cordoned, Cut, Frozen};
pub use coordinator::Coordinator;
pub use images::Image;
pub use namespace::Namespace;
pub use pod::Pod;
pub use stand_in::StandIns;
pub use volumes::Volume;

use crate::cluster::binaries;

/// A cluster that runs until this is dropped.
#[derive(Debug)]
pub struct Kubernetes {
    folder: PathBuf,
    programs: PathBuf,
    api: Api,
    /// The network that its pods and services are in; of a control plane alone, none but the machine's.
    network: Option<File>,
    loaded: Mutex<Vec<PathBuf>>,
    up: Child,
    hold: Option<ChildStdin>,
}

impl Kubernetes {
    /// Its folder: state, logs, kubeconfig.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A user with all rights, for kubectl, helm, and programs that run inside its network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The API, from this process, whatever network it is in.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A command that finds kubectl with its plugin, helm and the kubeconfig. Run it with [`Kubernetes::inside`] if it has to reach the
    /// API server, pods or services.
    pub fn command(&self, program: &str) -> Command {
        let own = self.programs.join(program);
        let mut command = if own.exists() { Command::new(own) } else { Command::new(program) };
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", self.programs.display(), binaries().display());
        command.env("KUBECONFIG", self.kubeconfig()).env("PATH", path);
        // helm keeps files in the home folder otherwise.
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.folder.join("helm"));
        }
        command
    }

    /// Runs a command to its end inside the network.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        self.run_with(program, args, "")
    }

    /// As [`Kubernetes::run`], with text on standard input.
    pub fn run_with(&self, program: &str, args: &[&str], input: &str) -> Output {
        self.inside(|| {
            let mut command = self.command(program);
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
            let mut stdin = child.stdin.take().expect("it is piped");
            // A program that does not read its input may end before it is written.
            let written = stdin.write_all(input.as_bytes());
            drop(stdin);
            let output = child.wait_with_output().expect("the output can be read");
            assert!(
                written.is_ok() || input.is_empty() || !output.status.success(),
                "{program} did not read its input"
            );
            output
        })
    }

    /// kubectl's standard output. Panics with what it says on an error.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        text(&self.run("kubectl", args), "kubectl", args)
    }

    /// helm's standard output. Panics with what it says on an error.
    #[track_caller]
    pub fn helm(&self, args: &[&str]) -> String {
        text(&self.run("helm", args), "helm", args)
    }

    /// Applies YAML on the server side. Panics with what the API server says if it refuses.
    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        if let Err(refused) = self.try_apply(yaml) {
            panic!("{refused}\n{yaml}");
        }
    }

    /// As [`Kubernetes::apply`], with the API server's words if it refuses.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        let args = ["apply", "--server-side", "--force-conflicts", "--field-manager=tests", "-f", "-"];
        let output = self.run_with("kubectl", &args, yaml);
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(out.into_owned()) } else { Err(error.trim().to_owned()) }
    }
}

#[track_caller]
fn text(output: &Output, program: &str, args: &[&str]) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {}", args.join(" "), error.trim());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
