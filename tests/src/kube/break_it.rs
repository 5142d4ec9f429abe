//! What a test does to pods and nodes: their processes, found by the cgroups and folders of this cluster alone, and the
//! network between them. What only lasts a while ends when it is dropped.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Kubernetes, Pod, start};
use crate::procs;
use crate::wait::wait_until;

/// Processes that are stopped until this is dropped.
#[derive(Debug)]
pub struct Frozen(Vec<i32>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            procs::signal(*pid, Signal::SIGCONT);
        }
    }
}

/// A node that gets no new pods until this is dropped.
#[derive(Debug)]
pub struct Cordoned<'k> {
    kube: &'k Kubernetes,
    node: String,
}

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        let done = self.kube.run("kubectl", &["uncordon", &self.node]);
        if !done.status.success() {
            eprintln!("{} stays cordoned: {}", self.node, String::from_utf8_lossy(&done.stderr));
        }
    }
}

/// Packets that do not arrive until this is dropped.
#[derive(Debug)]
pub struct Cut<'k> {
    kube: &'k Kubernetes,
    rules: Vec<Vec<String>>,
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        for rule in &self.rules {
            if let Err(why) = self.kube.iptables("--delete", rule) {
                eprintln!("a rule stays: {why}");
            }
        }
    }
}

impl Kubernetes {
    /// The processes of a pod's container, by their ids on this machine. Empty if it is not running.
    pub fn processes(&self, pod: &Pod, container: &str) -> Vec<i32> {
        let Some(id) = pod.containers.get(container) else { return Vec::new() };
        let tail = format!("redisnode-{}/k8s.io/{id}/cgroup.procs", self.holder());
        let files = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(|root| PathBuf::from(root).join(&tail));
        let text = files.iter().find_map(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// The process of the server in a pod's container `redis`: not the launcher, which is its parent. `None` while it does
    /// not run.
    pub fn server_process(&self, pod: &Pod) -> Option<i32> {
        let named = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // A child of the server that saves has its name too, and is younger.
        self.processes(pod, "redis").into_iter().filter(|pid| named(pid).trim_end().ends_with("-server")).min()
    }

    /// Drains a node of the pods with this label as a person would, by evictions, and keeps new ones off it until the
    /// result is dropped. Other pods stay.
    #[track_caller]
    pub fn drain(&self, node: &str, selector: &str, within: Duration) -> Cordoned<'_> {
        let cordoned = Cordoned { kube: self, node: node.to_owned() };
        let within = format!("{}s", within.as_secs());
        let only = format!("--pod-selector={selector}");
        self.kubectl(&["drain", node, &only, "--delete-emptydir-data", "--timeout", &within]);
        cordoned
    }

    /// Sends a signal to all processes of a pod's container. Panics if it has none.
    #[track_caller]
    pub fn signal(&self, pod: &Pod, container: &str, signal: Signal) {
        let pids = self.processes(pod, container);
        assert!(!pids.is_empty(), "{container} of {} is not running", pod.name);
        for pid in pids {
            procs::signal(pid, signal);
        }
    }

    /// Stops a pod's container (SIGSTOP) until the result is dropped: alive for its kubelet, silent for all others.
    #[track_caller]
    pub fn freeze(&self, pod: &Pod, container: &str) -> Frozen {
        self.signal(pod, container, Signal::SIGSTOP);
        Frozen(self.processes(pod, container))
    }

    /// Stops a node's kubelet until the result is dropped: the node is declared lost while its pods run on.
    #[track_caller]
    pub fn freeze_kubelet(&self, node: u8) -> Frozen {
        let pids = self.parts_of(node, "kubelet");
        assert!(!pids.is_empty(), "node-{node} has no kubelet");
        for pid in &pids {
            procs::signal(*pid, Signal::SIGSTOP);
        }
        Frozen(pids)
    }

    /// Kills a node at once, as a power cut would: its kubelet, its containerd, and every process of its pods. It is
    /// declared lost after twelve seconds.
    #[track_caller]
    pub fn kill_node(&self, node: u8) {
        let mut pids = self.parts_of(node, "kubelet");
        pids.extend(self.parts_of(node, "containerd"));
        assert!(!pids.is_empty(), "node-{node} is not running");
        let folder = self.node_folder(node);
        let shims = procs::under(&folder).into_iter().map(|process| process.pid);
        for shim in shims.filter(|pid| !pids.contains(pid)).collect::<Vec<_>>() {
            pids.push(shim);
            pids.extend(descendants(shim));
        }
        for pid in &pids {
            procs::signal(*pid, Signal::SIGKILL);
        }
        wait_until(Duration::from_secs(5), "the node's processes end", || {
            match pids.iter().find(|pid| procs::is_alive(**pid)) {
                None => Ok(()),
                Some(pid) => Err(format!("{pid} lives")),
            }
        });
    }

    /// Starts a node that was killed, with the disk it had.
    #[track_caller]
    pub fn start_node(&self, node: u8) {
        let mut command = Command::new("bash");
        command.arg(start::script("up.sh")).arg(self.folder()).args(["node", &node.to_string()]);
        let output = command.env("PATH", self.path()).output().expect("bash is there");
        let log = fs::read_to_string(self.folder().join("logs/up.log")).unwrap_or_default();
        assert!(output.status.success(), "{} {log}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until a node's condition Ready is, or is not, true.
    #[track_caller]
    pub fn wait_node(&self, node: u8, ready: bool, within: Duration) {
        let path = format!("/api/v1/nodes/node-{node}");
        wait_until(within, &format!("node-{node} is {}ready", if ready { "" } else { "not " }), || {
            let object = self.api().get(&path)?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            if is == ready { Ok(()) } else { Err(format!("{conditions:?}")) }
        });
    }

    /// Keeps a pod from the API server until the result is dropped. It can talk to everybody else.
    #[track_caller]
    pub fn cut_from_api(&self, ip: IpAddr) -> Cut<'_> {
        let rule = format!("INPUT --source {ip} --protocol tcp --destination-port 6443 --jump DROP");
        self.cut_by(&[rule])
    }

    /// Keeps two pods from each other until the result is dropped.
    #[track_caller]
    pub fn cut_between(&self, one: IpAddr, other: IpAddr) -> Cut<'_> {
        let way = |from, to| format!("FORWARD --source {from} --destination {to} --jump DROP");
        self.cut_by(&[way(one, other), way(other, one)])
    }

    #[track_caller]
    fn cut_by(&self, rules: &[String]) -> Cut<'_> {
        let mut cut = Cut { kube: self, rules: Vec::new() };
        for rule in rules {
            let rule: Vec<String> = rule.split(' ').map(str::to_owned).collect();
            if let Err(why) = self.iptables("--insert", &rule) {
                panic!("{why}");
            }
            cut.rules.push(rule);
        }
        cut
    }

    fn iptables(&self, action: &str, rule: &[String]) -> Result<(), String> {
        let mut args = vec!["--wait", "5", action];
        args.extend(rule.iter().map(String::as_str));
        let output = self.inside(|| self.command("iptables").env("PATH", self.path()).args(&args).output());
        let output = output.map_err(|error| format!("iptables: {error}"))?;
        let why = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("iptables {}: {why}", args.join(" "))) }
    }

    fn node_folder(&self, node: u8) -> PathBuf {
        // With its end, so that node-1 is not node-10.
        self.folder().join(format!("node-{node}/"))
    }

    /// The ids of a node's own program: those that name the node's folder, and begin with it.
    fn parts_of(&self, node: u8, program: &str) -> Vec<i32> {
        let all = procs::under(&self.node_folder(node)).into_iter();
        let own = |command: &str| command.split_whitespace().next().is_some_and(|first| first.ends_with(program));
        all.filter(|process| own(&process.command)).map(|process| process.pid).collect()
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}:/usr/sbin:/sbin", self.programs.display())
    }
}

/// The processes that a process has started, and those that they have.
fn descendants(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(entry.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}
