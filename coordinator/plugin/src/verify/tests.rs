//! The checks on a healthy pair and on what can be wrong with it: each fault is found by its own check, by name.

use std::collections::BTreeMap;

use redisnode_planner::Heard;
use redisnode_proto::report::{Report, Running, ServerState};
use redisnode_proto::spec::ContainerMemory;
use redisnode_proto::topology::Health;
use redisnode_proto::{Millis, NodeName, SlotSet};
use serde_json::{Value, json};

use super::*;
use crate::testing::resource;

const IDS: [&str; 2] = ["0ba1af8c623416ef995175c0f6c1b132d94f7e94", "1ba1af8c623416ef995175c0f6c1b132d94f7e94"];

fn line(ordinal: usize) -> Value {
    json!({
        "id": IDS[ordinal], "ip": "127.0.0.1", "port": 7000 + ordinal, "bus_port": 17000 + ordinal,
        "role": if ordinal == 0 { "primary" } else { "replica" },
        "primary": if ordinal == 0 { Value::Null } else { IDS[0].into() },
        "health": "fine", "handshake": false, "no_address": false, "connected": true, "epoch": 1,
    })
}

fn report(ordinal: usize) -> Report {
    let member = json!({ "name": format!("my-{ordinal}"), "uid": "u1" });
    let mut report: Report = serde_json::from_value(json!({
        "version": 1, "life": 1, "revision": 1, "agent_version": "0", "cluster": "c1", "member": member,
        "address": { "ip": "127.0.0.1", "port": 7000, "bus_port": 17000, "http_port": 8000 },
        "server": { "state": "starting" }, "disk": { "has_data": false },
        "ledger": { "version": 1, "cluster": "c1", "member": member },
    }))
    .unwrap();
    let mut running: Running = serde_json::from_value(json!({
        "version": { "product": "redis", "major": 8, "minor": 0, "patch": 0 }, "run_id": "r1",
        "view": { "me": IDS[ordinal], "nodes": [line(0), line(1)], "state_ok": true, "current_epoch": 1 },
        "replication": {
            "role": if ordinal == 0 { "primary" } else { "replica" }, "offset": 10, "replication_id": "h1",
            "link_up": ordinal == 1, "syncing": false,
        },
        "keys": 0, "used_memory": 1, "max_memory": 0, "started_empty": false, "synced_since_start": true,
        "writes_paused": false,
    }))
    .unwrap();
    running.view.nodes[0].slots = SlotSet::full();
    report.server = ServerState::Running(Box::new(running));
    report
}

/// A primary with all slots and its replica.
fn pair() -> Snapshot {
    let mut resource = resource();
    (resource.spec.number_of_master, resource.spec.replication_factor) = (1, 1);
    let reports: Vec<Report> = vec![report(0), report(1)];
    let machine = reports.iter().map(|report| MachineMember {
        member: report.member.clone(),
        address: report.address.clone(),
        host: None,
        zone: None,
        presence: Presence::Present,
        outdated: false,
        unborn: false,
        memory: ContainerMemory::default(),
    });
    let machine = machine.collect();
    let heard = reports.into_iter().map(|report| (report.member.name.clone(), Heard { report, at: Millis(0) }));
    Snapshot {
        name: "my".to_owned(),
        cluster: "c1".parse().unwrap(),
        resource,
        machine,
        heard: heard.collect(),
        silent: BTreeMap::new(),
    }
}

/// What is found wrong when `fault` is done to the pair: the check's first words and its findings.
fn found(fault: impl FnOnce(&mut Snapshot)) -> Vec<(String, Vec<String>)> {
    let mut snapshot = pair();
    fault(&mut snapshot);
    let failed = check(&snapshot).into_iter().filter(|check| !check.wrong.is_empty());
    failed.map(|check| (check.what, check.wrong)).collect()
}

fn report_of(snapshot: &mut Snapshot, ordinal: u32) -> &mut Report {
    &mut snapshot.heard.get_mut(&NodeName::of("my", ordinal).unwrap()).unwrap().report
}

fn server_of(snapshot: &mut Snapshot, ordinal: u32) -> &mut Running {
    match &mut report_of(snapshot, ordinal).server {
        ServerState::Running(running) => running,
        _ => panic!("my-{ordinal} runs in these tests"),
    }
}

fn finds(fault: impl FnOnce(&mut Snapshot), what: &str, finding: &str) {
    let found = found(fault);
    let hit = found.iter().find(|(check, _)| check.contains(what));
    let findings = hit.map(|(_, findings)| findings.join("\n")).unwrap_or_default();
    assert!(findings.contains(finding), "{what}: {finding}\nfound: {found:?}");
}

#[test]
fn a_healthy_pair_passes_every_check() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn a_silent_member_is_not_passed_over() {
    finds(|all| drop(all.heard.remove(&"my-1".parse().unwrap())), "every member answers", "my-1: no answer");
    finds(
        |all| report_of(all, 1).cluster = "c2".parse().unwrap(),
        "every member answers",
        "my-1 belongs to another cluster",
    );
}

#[test]
fn slots_without_an_owner_or_with_a_dead_one_are_not_covered() {
    let uncover = |all: &mut Snapshot| {
        for ordinal in 0..2 {
            let slots = &mut server_of(all, ordinal).view.nodes[0].slots;
            slots.remove(slots.first().unwrap());
        }
    };
    finds(uncover, "every slot has an owner", "slots without an owner: 0");
    let kill = |all: &mut Snapshot| report_of(all, 0).server = ServerState::Dead { reason: "killed".to_owned() };
    finds(kill, "every slot has an owner", "16384 slots belong to 0ba1af8c, which does not run");
    finds(kill, "every server runs", "my-0: killed");
}

#[test]
fn a_view_that_differs_is_named() {
    let fault = |all: &mut Snapshot| {
        let slots = &mut server_of(all, 1).view.nodes[0].slots;
        slots.remove(slots.first().unwrap());
    };
    finds(fault, "all servers agree", "my-1 sees other slots of my-0");
}

#[test]
fn failures_and_strangers_in_a_view_are_named() {
    let failed = |all: &mut Snapshot| server_of(all, 0).view.nodes[1].health = Health::Failed;
    finds(failed, "no server misses", "my-1 has failed in the eyes of my-0");
    let stranger = |all: &mut Snapshot| {
        let view = &mut server_of(all, 0).view;
        let mut stranger = view.nodes[1].clone();
        stranger.id = "2ba1af8c623416ef995175c0f6c1b132d94f7e94".parse().unwrap();
        view.nodes.push(stranger);
    };
    finds(stranger, "nobody else", "my-0 knows 2ba1af8c at 127.0.0.1:7001");
    let unknown = |all: &mut Snapshot| server_of(all, 0).view.nodes.truncate(1);
    finds(unknown, "nobody else", "my-0 does not know my-1");
}

#[test]
fn a_replica_that_is_not_in_sync_or_missing_is_named() {
    finds(|all| server_of(all, 1).replication.link_up = false, "replica is in sync", "my-1 is not in sync with my-0");
    finds(|all| all.resource.spec.replication_factor = 2, "as many as", "my-0 has 1 replicas, not 2");
}

#[test]
fn open_slots_old_layouts_waiting_restarts_and_problems_are_named() {
    let open = |all: &mut Snapshot| {
        let open = json!({ "slot": 5, "direction": "migrating", "peer": IDS[1] });
        server_of(all, 0).view.open.push(serde_json::from_value(open).unwrap());
    };
    finds(open, "no slot is open", "my-0 has 1 open");
    let restart = |all: &mut Snapshot| report_of(all, 1).restart_needed.push("io-threads".to_owned());
    finds(restart, "configuration", "my-1 must restart for io-threads");
    let lost = |all: &mut Snapshot| report_of(all, 1).ledger.data_lost = Some("it started empty".to_owned());
    finds(lost, "problem", "my-1: it started empty");
}
