//! Plain servers without the product: for the self-test of the accounting and as the peer of the benches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ports::Ports;
use crate::servers::Server;
use crate::wait::wait_until;
use crate::{procs, view};

/// Plain servers on loopback, gone when dropped.
#[derive(Debug)]
pub struct RawServers {
    /// The program they run.
    pub server: Server,
    /// Where they listen.
    pub ports: Vec<u16>,
    folder: PathBuf,
    children: Vec<Child>,
    _ports: Ports,
}

impl RawServers {
    /// Starts `count` empty servers in cluster mode, with no persistence and the node time-out given in milliseconds.
    pub fn start(server: &Server, count: u16, node_timeout_ms: u32) -> Self {
        let ports = Ports::take();
        let folder = scratch("raw", ports.first);
        let mut raw = Self {
            server: server.clone(),
            ports: (ports.first..ports.first + count).collect(),
            folder,
            children: Vec::new(),
            _ports: ports,
        };
        for port in raw.ports.clone() {
            let child = raw.spawn(port, node_timeout_ms);
            raw.children.push(child);
        }
        for port in &raw.ports {
            wait_until(Duration::from_secs(20), "a plain server starts", || view::text(*port, &["PING"]));
        }
        raw
    }

    /// Makes them one cluster the usual way, and waits until every node says so.
    pub fn create(&self, replicas: u16) {
        self.create_of(&self.ports, replicas);
    }

    /// As [`RawServers::create`], of some of them.
    pub fn create_of(&self, ports: &[u16], replicas: u16) {
        let mut args = vec!["--cluster".to_owned(), "create".to_owned()];
        args.extend(ports.iter().map(|port| format!("127.0.0.1:{port}")));
        args.extend(["--cluster-replicas".to_owned(), replicas.to_string(), "--cluster-yes".to_owned()]);
        self.cli(&args);
        wait_until(Duration::from_mins(1), "the plain cluster agrees", || view::agreed(ports));
    }

    /// Runs the family's own command line client; panics with its output if it fails.
    pub fn cli(&self, args: &[String]) -> String {
        let output = Command::new(&self.server.cli).args(args).output().expect("the cli can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{} {} failed: {text}", self.server.cli.display(), args.join(" "));
        text
    }

    /// The child that listens on a port.
    pub fn pid(&self, port: u16) -> i32 {
        let index = self.ports.iter().position(|other| *other == port).expect("one of these servers");
        self.children[index].id().cast_signed()
    }

    fn spawn(&self, port: u16, node_timeout_ms: u32) -> Child {
        let dir = self.folder.join(port.to_string());
        fs::create_dir_all(&dir).expect("the temporary folder can be written");
        let log = fs::File::create(dir.join("server.log")).expect("the log can be written");
        Command::new(&self.server.server)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", ""])
            .args([
                "--cluster-node-timeout",
                &node_timeout_ms.to_string(),
                "--dir",
                dir.to_str().expect("a plain path"),
            ])
            .args(["--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("the server can be started")
    }
}

impl Drop for RawServers {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
        procs::kill_all_under(&self.folder);
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A new, empty folder for one test. What a test process that was killed has left behind is cleared first.
pub fn scratch(kind: &str, first_port: u16) -> PathBuf {
    clear_orphans();
    let name = format!("redisnode-{kind}-{}-{first_port}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder.canonicalize().unwrap_or_else(|_| Path::new(&folder).to_path_buf())
}

/// Ends the processes and removes the folders of test processes that are gone: their names have the process's id.
fn clear_orphans() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix("redisnode-local-").or_else(|| name.strip_prefix("redisnode-raw-")) else {
            continue;
        };
        let owner = rest.split('-').next().and_then(|pid| pid.parse().ok());
        if std::env::var_os("REDISNODE_KEEP").is_none() && owner.is_some_and(|pid| !procs::is_alive(pid)) {
            procs::kill_all_under(&entry.path());
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
