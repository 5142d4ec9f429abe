//! Bringing a cluster up and down, finding out whether this machine can, and saying so if it cannot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::unistd::geteuid;

use super::{Api, Kubernetes};
use crate::procs;
use crate::skip::skip;
use crate::wait::poll;

/// Nodes of the cluster that all cases of a run share.
const SHARED_NODES: u8 = 3;
/// How long it may take until everything is ready: it is ten seconds on two idle cores.
const UP: Duration = Duration::from_mins(2);
/// How long everything may take to be gone.
const DOWN: Duration = Duration::from_secs(20);
/// Whether this machine gives namespaces, once it was tried.
static NAMESPACES: OnceLock<Result<(), String>> = OnceLock::new();

impl Kubernetes {
    /// The cluster that all cases of a test process share, with three nodes, each in a zone of its own. It ends with the
    /// process. `None`, after the reason has been said, where this machine cannot have one.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Kubernetes>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(SHARED_NODES)).as_ref()
    }

    /// A cluster of one's own. `None`, after the reason has been said, where this machine cannot have one.
    pub fn start(nodes: u8) -> Option<Self> {
        let possible = programs().and_then(|programs| can_have_nodes().map(|()| programs));
        let programs = possible.map_err(|why| skip("Kubernetes with nodes", &why)).ok()?;
        Some(Self::up(programs, "run", &nodes.to_string()))
    }

    /// An API server and controllers alone, on this machine's network, without root. `None`, after the reason has been
    /// said, if Kubernetes' programs are not here. `first_port` is the first of four free ports.
    pub fn control_plane(first_port: u16) -> Option<Self> {
        let programs = programs().map_err(|why| skip("Kubernetes' control plane", &why)).ok()?;
        Some(Self::up(programs, "control-plane", &(first_port + 1).to_string()))
    }

    /// One of its programs, for what needs no cluster. `None`, after the reason has been said, if it is not here.
    pub fn program(name: &str) -> Option<PathBuf> {
        programs().map(|programs| programs.join(name)).map_err(|why| skip(name, &why)).ok()
    }

    fn up(programs: PathBuf, how: &str, argument: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("redisnode-kubernetes-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let mut up = Command::new("setsid")
            .args(["--wait", "bash"])
            .arg(script("up.sh"))
            .args([folder.as_os_str(), how.as_ref(), argument.as_ref()])
            .env("REDISNODE_KUBERNETES_BIN", &programs)
            .env("REDISNODE_REMOVE_DIR", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("start.log")).expect("the folder can be written"))
            .spawn()
            .expect("setsid is there");
        let hold = up.stdin.take();
        wait_ready(&mut up, &folder);
        let network = (how == "run").then(|| network_of(&folder));
        let api = Api::new(folder.join("api.sock"));
        Self { folder, programs, api, network, loaded: Mutex::default(), up, hold }
    }

    /// The process that holds the namespaces: its cgroups are named by it.
    pub(super) fn holder(&self) -> i32 {
        holder(&self.folder).expect("it is up")
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", last_words(&self.folder));
        }
        drop(self.hold.take());
        let gone = poll(DOWN, || match self.up.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err("it still runs".to_owned()),
        });
        if gone.is_err() {
            let down = Command::new("bash").arg(script("up.sh")).arg(&self.folder).arg("down").status();
            eprintln!("Kubernetes did not end by itself; `up.sh down`: {down:?}");
            procs::kill_all_under(&self.folder);
        }
        // It removes its folder itself.
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && self.folder.exists()
        {
            eprintln!("{} cannot be removed: {error}", self.folder.display());
        }
    }
}

/// A script of this repository that is part of the bring-up.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s").join(name)
}

/// The folder of Kubernetes' programs. Panics if root named one that has none: `make` names what it has just prepared.
fn programs() -> Result<PathBuf, String> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kubernetes");
    let named = std::env::var_os("REDISNODE_KUBERNETES_BIN").map(PathBuf::from);
    if let Some(named) = named.as_ref().filter(|named| !named.join("kubectl").exists()) {
        assert!(!geteuid().is_root(), "{} has no kubectl: run `make kubernetes`", named.display());
    }
    let usual = named.unwrap_or(usual);
    let missing = "its programs are not here: `make kubernetes` finds or builds them";
    if usual.join("kubectl").exists() { Ok(usual) } else { Err(missing.to_owned()) }
}

fn can_have_nodes() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("only root can have nodes".to_owned());
    }
    for program in ["/usr/bin/containerd", "/usr/lib/cni/ptp"] {
        if !Path::new(program).exists() {
            return Err(format!("{program} is missing: `tests/setup.sh kubernetes` installs it"));
        }
    }
    NAMESPACES.get_or_init(try_namespaces).clone()
}

fn try_namespaces() -> Result<(), String> {
    let link = ["ip", "link", "add", "probe", "type", "veth"];
    let args = ["--net", "--mount", "--pid", "--cgroup", "--fork", "--kill-child", "--mount-proc"];
    let output = Command::new("unshare").args(args).args(link).output().map_err(|error| format!("unshare: {error}"))?;
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("this machine gives no namespaces: {why}")) }
}

fn wait_ready(up: &mut Child, folder: &Path) {
    let ready = poll(UP, || {
        if let Ok(Some(status)) = up.try_wait() {
            return Ok(Err(format!("it ended with {status}")));
        }
        if folder.join("ready").exists() { Ok(Ok(())) } else { Err(format!("it is not ready within {UP:?}")) }
    });
    if let Err(why) = ready.and_then(|ended| ended) {
        let words = last_words(folder);
        let _ended = (up.kill(), up.wait());
        procs::kill_all_under(folder);
        panic!("Kubernetes did not come up: {why}\n{words}");
    }
}

/// The ends of all logs: the folder goes with the cluster.
fn last_words(folder: &Path) -> String {
    let mut logs: Vec<PathBuf> =
        fs::read_dir(folder.join("logs")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    logs.push(folder.join("start.log"));
    logs.sort();
    let end = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(4).collect();
        let lines: Vec<&str> = lines.into_iter().rev().map(|line| line.get(..300).unwrap_or(line)).collect();
        format!("-- {}\n{}", path.file_name().unwrap_or_default().display(), lines.join("\n"))
    };
    logs.iter().map(end).collect::<Vec<_>>().join("\n")
}

fn holder(folder: &Path) -> Option<i32> {
    fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()
}

fn network_of(folder: &Path) -> File {
    let holder = holder(folder).expect("it wrote who holds it");
    let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).expect("the holder lives");
    let first = children.split_whitespace().next().expect("process 1 of the namespaces lives");
    File::open(format!("/proc/{first}/ns/net")).expect("it has a network")
}
