//! The real coordinator as a process of this machine, beside a control plane alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::Kubernetes;
use crate::cluster::binaries;
use crate::procs;

/// Runs until this is dropped, or until it ends.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
    log: PathBuf,
}

impl Kubernetes {
    /// Starts a coordinator called `identity`, with a kubeconfig of its own, its Lease in `namespace`; `alone`: it looks
    /// after that namespace and no other one.
    pub fn coordinator(&self, kubeconfig: &Path, namespace: &str, alone: bool, identity: &str) -> Coordinator {
        let log = self.folder().join("logs").join(format!("{namespace}-{identity}.log"));
        let mut command = Command::new(binaries().join("redis-coordinator"));
        command.args(["kubernetes", "--agent-image=redisnode:none", "--listen=127.0.0.1:0", "--identity", identity]);
        command.args(["--lease-namespace", namespace]);
        if alone {
            command.args(["--namespace", namespace]);
        }
        let out = File::create(&log).expect("the folder can be written");
        let child = command
            .env("KUBECONFIG", kubeconfig)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .expect("the coordinator can be started");
        Coordinator { child, log }
    }
}

impl Coordinator {
    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        procs::signal(self.pid(), signal);
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("-- {}\n{}", self.log.display(), last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        drop((self.child.kill(), self.child.wait()));
    }
}
