//! One folder, its launcher and an agent's client, gone with the test.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redisnode_agent::launch_client::{LaunchClient, LauncherState};
use redisnode_agent::launcher::{Ended, SERVER_LOCK, ServerState, Status};
use redisnode_agent::lock::{LockState, probe};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// For everything that must happen; long enough that a busy machine does not matter.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);
/// For what must not happen.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// An agent's side of the launcher.
pub(crate) struct Agent {
    pub(crate) client: LaunchClient,
    link: JoinHandle<()>,
}

pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
    pub(crate) launcher: Child,
}

impl Scene {
    /// A new folder (`name` is unique among these tests) with a launcher.
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("redisnode-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let launcher = launch(&dir);
        Self { dir, launcher }
    }

    /// An agent that is connected.
    pub(crate) async fn agent(&self) -> Agent {
        let (client, link) = LaunchClient::new(&self.dir);
        let agent = Agent { client, link: tokio::spawn(link.run()) };
        agent.until("a launcher", |_| true).await;
        agent
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn lock(&self) -> LockState {
        probe(&self.path(SERVER_LOCK)).unwrap()
    }

    pub(crate) async fn until_lock(&self, wanted: LockState) {
        until("the lock", || self.lock() == wanted).await;
    }

    pub(crate) fn signal_launcher(&self, signal: Signal) {
        send(self.launcher_pid(), signal);
    }

    pub(crate) fn launcher_pid(&self) -> u32 {
        self.launcher.id().unwrap()
    }

    pub(crate) async fn launcher_end(&mut self) -> ExitStatus {
        timeout(PATIENT, self.launcher.wait()).await.unwrap().unwrap()
    }

    /// kill -9, and another one in its place.
    pub(crate) async fn replace_launcher(&mut self) {
        self.signal_launcher(Signal::SIGKILL);
        self.launcher_end().await;
        self.launcher = launch(&self.dir);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The launcher goes with its handle, but its server would outlive it.
        let servers = self.launcher.id().map(children).unwrap_or_default();
        for server in servers {
            // It may have ended meanwhile, and a panic here would hide the test's own.
            kill(Pid::from_raw(server), Signal::SIGKILL).ok();
        }
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl Agent {
    pub(crate) async fn start(&self, argv: &[&str]) {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        self.client.start(argv).await.unwrap();
    }

    /// Starts a shell script as the server.
    pub(crate) async fn start_script(&self, script: &str) {
        self.start(&["sh", "-c", script]).await;
    }

    /// Starts a server that does nothing for longer than any test, and gives its process.
    pub(crate) async fn start_sleeper(&self) -> u32 {
        self.start(&["sleep", "60"]).await;
        self.until_running().await
    }

    /// Waits until the launcher says what is wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let is_wanted = |state: &LauncherState| match state {
            LauncherState::Present(status) => wanted(status),
            LauncherState::Unknown | LauncherState::Absent => false,
        };
        let mut states = self.client.state();
        let Ok(state) = timeout(PATIENT, states.wait_for(is_wanted)).await else {
            panic!("waited for {what} and have {:?}", self.client.state().borrow());
        };
        let state = state.unwrap().clone();
        match state {
            LauncherState::Present(status) => status,
            LauncherState::Unknown | LauncherState::Absent => unreachable!("it was not wanted"),
        }
    }

    pub(crate) async fn until_absent(&self) {
        let mut states = self.client.state();
        let gone = states.wait_for(|state| *state == LauncherState::Absent);
        timeout(PATIENT, gone).await.unwrap().unwrap();
    }

    pub(crate) async fn until_running(&self) -> u32 {
        let status = self.until("running", |status| matches!(status.server, ServerState::Running { .. })).await;
        match status.server {
            ServerState::Running { pid } => pid,
            _ => unreachable!("it was waited for"),
        }
    }

    pub(crate) async fn until_ended(&self) -> Ended {
        let status = self.until("an end", |status| matches!(status.server, ServerState::Ended(_))).await;
        match status.server {
            ServerState::Ended(ended) => ended,
            _ => unreachable!("it was waited for"),
        }
    }

    pub(crate) async fn until_failed(&self, change: u64) -> String {
        let is_failed =
            |status: &Status| status.change == change && matches!(status.server, ServerState::StartFailed { .. });
        match self.until("a failed start", is_failed).await.server {
            ServerState::StartFailed { reason } => reason,
            _ => unreachable!("it was waited for"),
        }
    }

    pub(crate) async fn until_state(&self, wanted: ServerState) {
        self.until("a state", |status| status.server == wanted).await;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.link.abort();
    }
}

/// A launcher on this folder, silent, killed when dropped.
pub(crate) fn launch(dir: &Path) -> Child {
    launch_logging(dir, "off")
}

/// A launcher that logs so much.
pub(crate) fn launch_logging(dir: &Path, log: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_redisnode"))
        .args(["launch", "--dir"])
        .arg(dir)
        .env("REDISNODE_LOG", log)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// Looks again until it is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let by = Instant::now() + PATIENT;
    while !is_so() {
        assert!(Instant::now() < by, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The living children of a process, orphans that it adopted included. Those of a living launcher are not waited for
/// by anybody else, so their numbers are theirs.
fn children(pid: u32) -> Vec<i32> {
    let parent = pid.to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|process| process_field(*process, "PPid").as_deref() == Some(&parent))
        .filter_map(|process| process.try_into().ok())
        .collect()
}

/// A line of a process's status in /proc; none once the process is gone, zombies included.
pub(crate) fn process_field(pid: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim_start_matches(':').trim().to_owned())
}
