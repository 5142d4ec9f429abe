//! The members of a local cluster: which there are, which processes each has, and signals to these.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::LocalCluster;
use crate::wait::{check, wait_until};
use crate::{procs, view};

/// One member, as its folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its server listens.
    pub port: u16,
    /// Its folder.
    pub folder: PathBuf,
}

/// A process of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The server.
    Server,
    /// The agent.
    Agent,
    /// The launcher.
    Launcher,
}

impl LocalCluster {
    /// The members whose folders are there, by name.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = fs::read_dir(self.dir.join("nodes"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| member(entry.path()))
            .collect();
        members.sort_by_key(|member| member.port);
        members
    }

    /// Where the servers listen.
    pub fn ports(&self) -> Vec<u16> {
        self.members().into_iter().map(|member| member.port).collect()
    }

    /// The member whose server listens on a port.
    #[track_caller]
    pub fn member_on(&self, port: u16) -> Member {
        self.members().into_iter().find(|member| member.port == port).expect("a member listens there")
    }

    /// The first primary that owns slots, by the servers' own word.
    #[track_caller]
    pub fn a_primary(&self) -> Member {
        let view = wait_until(Duration::from_secs(15), "the cluster agrees", || self.agreed());
        self.member_on(view.owners().first().expect("somebody owns slots").port)
    }

    /// The process id of a member's process, if it lives.
    pub fn pid(&self, member: &Member, which: Which) -> Option<i32> {
        let pid = match which {
            Which::Agent => locked_by(member, "agent.lock"),
            Which::Launcher => locked_by(member, "launcher.lock"),
            Which::Server => view::server_pid(member.port).ok(),
        };
        pid.filter(|pid| procs::is_alive(*pid))
    }

    /// Sends a signal to processes of a member, all found before the first is sent. Says the ids.
    #[track_caller]
    pub fn kill(&self, member: &Member, which: &[Which], signal: Signal) -> Vec<i32> {
        let pids: Vec<i32> = which
            .iter()
            .map(|which| self.pid(member, *which).unwrap_or_else(|| panic!("the {which:?} of {} lives", member.name)))
            .collect();
        for pid in &pids {
            procs::signal(*pid, signal);
        }
        if signal == Signal::SIGKILL {
            wait_until(Duration::from_secs(5), "killed processes end", || {
                check(!pids.iter().any(|pid| procs::is_alive(*pid)), || format!("{pids:?}"))
            });
        }
        pids
    }

    /// Kills launcher, agent and server of a member while the coordinator cannot act, does something to its folder,
    /// and lets the coordinator go on after `later`.
    pub fn kill_whole(&self, member: &Member, later: Duration, meanwhile: impl FnOnce(&Member)) {
        let coordinator = self.coordinator_pid();
        coordinator.inspect(|pid| procs::signal(*pid, Signal::SIGSTOP));
        self.kill(member, &[Which::Launcher, Which::Agent, Which::Server], Signal::SIGKILL);
        meanwhile(member);
        // A span of the experiment itself, not a wait for a state.
        std::thread::sleep(later);
        coordinator.inspect(|pid| procs::signal(*pid, Signal::SIGCONT));
    }

    /// Kills every process of the cluster at once.
    pub fn kill_everything(&mut self) {
        for process in procs::under(self.folder()) {
            procs::signal(process.pid, Signal::SIGKILL);
        }
        procs::kill_all_under(self.folder());
        self.reap();
    }
}

fn member(folder: PathBuf) -> Option<Member> {
    let text = fs::read_to_string(folder.join("member.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(Member {
        name: json.get("name")?.as_str()?.to_owned(),
        port: u16::try_from(json.get("port")?.as_u64()?).ok()?,
        folder,
    })
}

fn locked_by(member: &Member, lock: &str) -> Option<i32> {
    fs::read_to_string(member.folder.join(lock)).ok()?.trim().parse().ok()
}
