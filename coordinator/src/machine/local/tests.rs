//! The local machine with real processes: a script stands for agent and launcher, holding its lock as they do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use redisnode_planner::Presence;
use redisnode_proto::NodeName;

use super::*;
use crate::files::{LockState, look};
use crate::testing::Folder;

/// Holds the lock of its kind with its own process number in it, and is ended by SIGTERM.
const SCRIPT: &str = r#"#!/bin/sh
kind=$1
while [ $# -gt 0 ]; do [ "$1" = --dir ] && dir=$2; shift; done
case $kind in agent) lock=$dir/agent.lock;; *) lock=$dir/launcher.lock;; esac
exec 9<>"$lock"
flock -n 9 || exit 1
echo $$ >"$lock"
exec sleep 60
"#;

/// Ignores SIGTERM.
const STUBBORN: &str = "trap '' TERM\nexec sleep 60";

struct Place {
    folder: Folder,
    port: u16,
}

impl Place {
    fn new(test: &str, port: u16) -> Self {
        Self { folder: Folder::new(test), port }
    }

    fn machine(&self, script: &str) -> LocalMachine {
        let agent = self.folder.path().join("redisnode");
        std::fs::write(&agent, script).unwrap();
        std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
        let opened = Opened::open(&self.folder.path().join("run"), "my", Some(self.port), 2).unwrap();
        LocalMachine::start(opened, Binaries { server: "/bin/true".into(), agent }).unwrap()
    }
}

fn name(ordinal: u32) -> NodeName {
    NodeName::of("my", ordinal).unwrap()
}

fn lock_pid(lock: &Path) -> Option<u32> {
    match look(lock) {
        Ok(LockState::Held(pid)) => pid,
        _ => None,
    }
}

fn pids(machine: &LocalMachine, ordinal: u32) -> Option<(u32, u32)> {
    let node = machine.dir().node(&name(ordinal));
    Some((lock_pid(&node.agent_lock())?, lock_pid(&node.launcher_lock())?))
}

/// Lets the machine work until `holds`.
async fn until(machine: &mut LocalMachine, what: &str, mut holds: impl FnMut(&LocalMachine) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while !holds(machine) {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        drop(tokio::time::timeout(Duration::from_millis(20), machine.changed()).await);
    }
}

fn uid(machine: &LocalMachine, ordinal: u32) -> Option<String> {
    let member = machine.members().into_iter().find(|m| m.member.name == name(ordinal))?;
    Some(member.member.uid.to_string())
}

#[tokio::test]
async fn members_run_outlive_the_coordinator_are_adopted_and_stop() {
    let place = Place::new("local-adopt", 14_200);
    let mut machine = place.machine(SCRIPT);
    machine.ensure(2).await;
    until(&mut machine, "all run", |m| pids(m, 0).is_some() && pids(m, 1).is_some()).await;
    let (before, uids) = ([pids(&machine, 0), pids(&machine, 1)], [uid(&machine, 0), uid(&machine, 1)]);
    drop(machine);

    let mut machine = place.machine(SCRIPT);
    until(&mut machine, "both are present", |m| {
        m.members().iter().filter(|m| m.presence == Presence::Present).count() == 2
    })
    .await;
    machine.ensure(2).await;
    assert_eq!([pids(&machine, 0), pids(&machine, 1)], before, "nothing was started again");
    assert_eq!([uid(&machine, 0), uid(&machine, 1)], uids);
    let stopped = machine.stop_all().await;
    assert_eq!(stopped, AllStopped { in_order: 2, ..AllStopped::default() });
    assert_eq!([pids(&machine, 0), pids(&machine, 1)], [None, None]);
}

#[tokio::test]
async fn a_killed_agent_comes_back_and_a_lost_folder_is_a_new_incarnation() {
    let place = Place::new("local-lost", 14_210);
    let mut machine = place.machine(SCRIPT);
    machine.ensure(1).await;
    until(&mut machine, "it runs", |m| pids(m, 0).is_some()).await;
    let (agent, launcher) = pids(&machine, 0).unwrap();
    let first = uid(&machine, 0);
    stop::kill(agent);
    until(&mut machine, "the agent is back", |m| pids(m, 0).is_some_and(|(pid, _)| pid != agent)).await;
    assert_eq!(pids(&machine, 0).unwrap().1, launcher, "the launcher was left alone");
    assert_eq!(uid(&machine, 0), first);

    let (agent, launcher) = pids(&machine, 0).unwrap();
    std::fs::remove_dir_all(machine.dir().node(&name(0)).root()).unwrap();
    stop::kill(agent);
    stop::kill(launcher);
    until(&mut machine, "the old one is gone", |m| m.members().is_empty()).await;
    machine.ensure(1).await;
    until(&mut machine, "a new one runs", |m| pids(m, 0).is_some()).await;
    assert_ne!(uid(&machine, 0), first);
    machine.stop_all().await;
}

#[tokio::test]
async fn a_removed_member_leaves_no_process_and_no_folder() {
    let place = Place::new("local-removed", 14_220);
    let mut machine = place.machine(SCRIPT);
    machine.ensure(2).await;
    until(&mut machine, "both run", |m| pids(m, 0).is_some() && pids(m, 1).is_some()).await;
    machine.remove(&name(1)).await;
    machine.remove(&name(1)).await;
    machine.ensure(1).await;
    until(&mut machine, "one is left", |m| m.members().len() == 1).await;
    assert!(!machine.dir().node(&name(1)).root().exists());
    assert_eq!(machine.dir().read_index().unwrap().len(), 1);
    machine.stop_all().await;
}

#[tokio::test]
async fn a_port_that_is_taken_later_is_a_problem_and_heals() {
    let place = Place::new("local-port", 14_230);
    let mut machine = place.machine(SCRIPT);
    let held = std::net::TcpListener::bind("127.0.0.1:14231").unwrap();
    machine.ensure(2).await;
    let problem = machine.problems().into_iter().next().unwrap();
    assert!(problem.message.contains("port 14231"), "{problem:?}");
    assert_eq!(machine.members().len(), 1);
    drop(held);
    // A child of another test, between its fork and its exec, may hold the port a moment longer.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while (machine.members().len(), machine.problems().len()) != (2, 0) {
        assert!(tokio::time::Instant::now() < deadline, "never: {:?}", machine.problems());
        machine.ensure(2).await;
    }
    machine.stop_all().await;
}

#[tokio::test]
async fn what_does_not_stop_is_killed_when_there_is_a_hurry() {
    let place = Place::new("local-hurry", 14_240);
    let mut machine = place.machine(&SCRIPT.replace("exec sleep 60", STUBBORN));
    machine.ensure(1).await;
    until(&mut machine, "it runs", |m| pids(m, 0).is_some()).await;
    machine.hurry().send_replace(true);
    let begun = std::time::Instant::now();
    let stopped = machine.stop_all().await;
    assert_eq!(stopped.by_force, [name(0)]);
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(pids(&machine, 0), None);
}
