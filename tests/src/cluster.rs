//! A cluster that the product runs on this machine, seen from outside: its files, its command line, its servers.
//!
//! Whatever it started ends with it, also when a test panics: every process that works in its temporary folder or names
//! it is killed by id.

mod members;
mod spec;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

pub use members::{Member, Which};
pub use spec::Spec;

use crate::ports::Ports;
use crate::procs;
use crate::raw::scratch;
use crate::servers::Server;
use crate::view::{self, View};
use crate::wait::{check, poll, wait_until};

/// How long what was settled may look otherwise.
const AGREED: Duration = Duration::from_secs(10);
/// How long a healthy cluster may take to come.
const FIRST_HEALTHY: Duration = Duration::from_secs(30);

/// A local cluster.
#[derive(Debug)]
pub struct LocalCluster {
    /// What its file asks for now.
    pub spec: Spec,
    /// The file.
    pub file: PathBuf,
    /// The coordinator's folder.
    pub dir: PathBuf,
    /// The servers that it runs.
    pub server: Server,
    folder: PathBuf,
    ports: Ports,
    coordinator: Option<Child>,
    lives: u32,
}

/// The folder of the product's binaries. Panics with what to do if it is not known.
pub fn binaries() -> PathBuf {
    let folder = std::env::var_os("REDISNODE_BIN").map(PathBuf::from).unwrap_or_default();
    assert!(
        folder.join("redis-coordinator").exists(),
        "set REDISNODE_BIN to the folder with redisnode, redis-coordinator and kubectl-rediscluster, or run `make test`"
    );
    folder
}

impl LocalCluster {
    /// A cluster that is healthy, and whose nodes have heard it of each other.
    #[track_caller]
    pub fn start(server: &Server, spec: Spec) -> Self {
        let mut cluster = Self::unstarted(server, spec);
        cluster.start_coordinator();
        cluster.wait_healthy_line(FIRST_HEALTHY);
        cluster.wait_settled(FIRST_HEALTHY);
        cluster
    }

    /// A cluster of which there is only the file.
    pub fn unstarted(server: &Server, spec: Spec) -> Self {
        binaries();
        let ports = Ports::take();
        let folder = scratch("local", ports.first);
        let (file, dir) = (folder.join("cluster.yaml"), folder.join("dir"));
        fs::write(&file, spec.yaml()).expect("the file can be written");
        Self { spec, file, dir, server: server.clone(), folder, ports, coordinator: None, lives: 0 }
    }

    /// The temporary folder that everything is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port of the first server.
    pub fn first_port(&self) -> u16 {
        self.ports.first
    }

    /// Starts a coordinator, as a person would.
    pub fn start_coordinator(&mut self) {
        self.lives += 1;
        let out = File::create(self.log(self.lives)).expect("the log can be written");
        let errors = File::create(self.errors(self.lives)).expect("the log can be written");
        let child = self.command().stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
        self.coordinator = Some(child.expect("redis-coordinator can be started"));
    }

    /// The command that starts the coordinator. Its parts can be changed before it runs.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binaries().join("redis-coordinator"));
        command.arg("local").arg(&self.file).arg("--dir").arg(&self.dir);
        command.arg("--port").arg(self.ports.first.to_string()).arg("--listen").arg(self.ports.listen());
        command.arg("--server").arg(&self.server.server);
        command
    }

    /// Waits until this life of the coordinator has said `healthy:`.
    #[track_caller]
    pub fn wait_healthy_line(&mut self, within: Duration) {
        let log = self.log(self.lives);
        let found = poll(within, || {
            if let Some(status) = self.coordinator.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Ok(Err(status));
            }
            let text = fs::read_to_string(&log).unwrap_or_default();
            check(text.lines().any(|line| line.starts_with("healthy:")), || tail(&text, 5)).map(Ok)
        });
        match found {
            Ok(Ok(())) => {}
            Ok(Err(status)) => panic!("the coordinator ended ({status}): {}", self.said()),
            Err(last) => panic!("no `healthy:` within {within:?}; last: {last}"),
        }
    }

    /// What the coordinator has said in this life, on both outputs.
    pub fn said(&self) -> String {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        read(self.log(self.lives)) + &read(self.errors(self.lives))
    }

    /// The coordinator's process, if it runs.
    pub fn coordinator_pid(&self) -> Option<i32> {
        self.coordinator.as_ref().map(|child| child.id().cast_signed())
    }

    /// Kills the coordinator alone.
    pub fn kill_coordinator(&mut self) {
        if let Some(pid) = self.coordinator_pid() {
            procs::signal(pid, Signal::SIGKILL);
        }
        self.reap();
    }

    /// Asks the coordinator to stop everything, and says how long it took. Panics if it takes more than 10 s, does not
    /// exit with 0, or leaves a process.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> Duration {
        let begun = Instant::now();
        procs::signal(self.coordinator_pid().expect("a coordinator runs"), signal);
        let child = self.coordinator.as_mut().expect("a coordinator runs");
        let status = wait_until(Duration::from_secs(10), "the coordinator stops", || {
            child.try_wait().ok().flatten().ok_or_else(|| "it runs".to_owned())
        });
        self.coordinator = None;
        assert!(status.success(), "the coordinator ended with {status}: {}", self.said());
        let left = procs::under(&self.folder);
        assert!(left.is_empty(), "left behind: {left:?}");
        begun.elapsed()
    }

    /// Changes the file.
    pub fn edit(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        let yaml = self.spec.yaml();
        self.write(&yaml);
    }

    /// Replaces the file by any text, the way editors do.
    pub fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &self.file)).expect("the file can be written");
    }

    /// Runs the command line client on this cluster.
    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binaries().join("kubectl-rediscluster"));
        command.arg("--local").arg(&self.dir).args(args);
        command.output().expect("kubectl-rediscluster can be started")
    }

    /// The resource with its status.
    pub fn status(&self) -> Result<serde_json::Value, String> {
        let output = self.cli(&["status", "-o", "json"]);
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// `.status` and everything in it as one line of text, for tests that look for a sentence.
    pub fn status_text(&self) -> String {
        self.status().map_or_else(|error| error, |status| status["status"].to_string())
    }

    /// The condition of a type: its status, reason and message.
    pub fn condition(&self, kind: &str) -> Option<(String, String, String)> {
        let status = self.status().ok()?;
        let conditions = status["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        let field = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        Some((field("status"), field("reason"), field("message")))
    }

    /// `verify`: whether it found everything in order, and what it printed.
    pub fn verify(&self) -> Result<(), String> {
        let output = self.cli(&["verify"]);
        check(output.status.code() == Some(0), || {
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        })
    }

    /// What the servers agree on, if they do.
    pub fn agreed(&self) -> Result<View, String> {
        view::agreed(&self.ports())
    }

    /// Waits for [`LocalCluster::agreed`]: what is settled stays so, but on a busy machine a node may be taken for dead for
    /// a moment, and a look that goes from node to node may meet the last change half told.
    #[track_caller]
    pub fn wait_agreed(&self) -> View {
        wait_until(AGREED, "every slot has one owner on every node, and none is open", || self.agreed())
    }

    /// Whether the servers themselves show what the file asks for, and `verify` says the same.
    pub fn settled(&self) -> Result<View, String> {
        let view = self.shaped()?;
        self.verify()?;
        Ok(view)
    }

    /// Whether the servers themselves show what the file asks for.
    pub fn shaped(&self) -> Result<View, String> {
        let ports = self.ports();
        check(ports.len() == self.spec.nodes(), || format!("{} of {} members", ports.len(), self.spec.nodes()))?;
        let view = view::agreed(&ports)?;
        view.is_even(self.spec.primaries)?;
        for owner in view.owners() {
            let replicas = view.replicas_of(&owner.id).len();
            check(replicas == self.spec.replicas, || format!("127.0.0.1:{} has {replicas} replicas", owner.port))?;
        }
        Ok(view)
    }

    /// Waits for [`LocalCluster::settled`].
    #[track_caller]
    pub fn wait_settled(&self, within: Duration) -> View {
        wait_until(within, "the cluster becomes what its file asks for", || self.settled())
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.coordinator.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    fn log(&self, life: u32) -> PathBuf {
        self.folder.join(format!("coordinator-{life}.out"))
    }

    fn errors(&self, life: u32) -> PathBuf {
        self.folder.join(format!("coordinator-{life}.err"))
    }

    fn print_logs(&self) {
        eprintln!("--- {} in {}", self.server.version, self.folder.display());
        for life in 1..=self.lives {
            for path in [self.log(life), self.errors(life)] {
                print_tail(&path, 25);
            }
        }
        for member in self.members() {
            for log in ["agent.log", "launcher.log", "server.log"] {
                print_tail(&member.folder.join(log), 15);
            }
        }
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        self.reap();
        procs::kill_all_under(&self.folder);
        if std::thread::panicking() && std::env::var_os("REDISNODE_KEEP").is_some() {
            return;
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn print_tail(path: &Path, lines: usize) {
    let text = fs::read_to_string(path).unwrap_or_default();
    if !text.trim().is_empty() {
        eprintln!("--- {}\n{}", path.display(), tail(&text, lines));
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
