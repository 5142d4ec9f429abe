//! The containers of one pod: they start in any order, one ends without the other, and they stop in theirs.

use redisnode_proto::Millis;
use redisnode_proto::topology::Role;
use tokio::time::timeout;

use crate::data::{ask, missing, write};
use crate::pod::Pod;
use crate::scene::{PATIENT, Scene, servers};

#[tokio::test]
async fn a_servers_container_that_is_killed_comes_back_beside_the_same_agent() {
    let Some(path) = servers("system") else { return };
    // Long enough that within the test's patience the servers hold no election of their own.
    let node_timeout = Millis(4 * u64::try_from(PATIENT.as_millis()).unwrap());
    let mut scene = Scene::start_with("container-killed", 11, 3, path, 6, node_timeout).await;
    write(&scene).await;
    scene.pods[0].kill_server_container();
    // The agent certifies the death by the lock alone, before there is a new launcher.
    let took_over = async || {
        let report = scene.report(&scene.pods[3]).await?;
        (report.server.running()?.replication.role == Role::Primary).then_some(())
    };
    scene.until(PATIENT, "a takeover", took_over).await;
    scene.probe(&scene.pods[0], "/livez").await.unwrap();
    scene.probe(&scene.pods[0], "/readyz").await.unwrap_err();
    let died = async || {
        let report = scene.report(&scene.pods[0]).await?;
        report
            .events
            .iter()
            .any(|event| event.reason == "ServerDied" && event.message.contains("launcher"))
            .then_some(())
    };
    scene.until(PATIENT, "word of the death", died).await;
    let told = scene.told.clone();
    scene.pods[0].start_launcher(&told);
    scene.until_ready(PATIENT).await;
    let report = scene.report(&scene.pods[0]).await.unwrap();
    assert_eq!(report.server.running().unwrap().replication.role, Role::Replica);
    assert_eq!(missing(&scene).await, 0);
}

#[tokio::test]
async fn a_pod_stops_in_order_first_the_server_then_the_agent() {
    let Some(path) = servers("system") else { return };
    let mut scene = Scene::start("stops", 12, 3, path, 6).await;
    write(&scene).await;
    Pod::terminate(scene.pods[0].launcher.as_ref());
    let mut launcher = scene.pods[0].launcher.take().unwrap();
    let ended = tokio::task::spawn_blocking(move || launcher.wait().unwrap());
    assert!(timeout(PATIENT, ended).await.unwrap().unwrap().success());
    let role = ask(&scene, 3, &["ROLE"]).await.unwrap().into_array().unwrap();
    assert_eq!(role[0].as_text(), Some("master"), "the role was handed off before the end");
    scene.probe(&scene.pods[0], "/livez").await.unwrap();
    let events = scene.report(&scene.pods[0]).await.unwrap().events;
    assert!(events.iter().all(|event| event.reason != "ServerDied"), "a stop in order is no death: {events:?}");
    Pod::terminate(scene.pods[0].agent.as_ref());
    let mut agent = scene.pods[0].agent.take().unwrap();
    let ended = tokio::task::spawn_blocking(move || agent.wait().unwrap());
    assert!(timeout(PATIENT, ended).await.unwrap().unwrap().success());
    let told = scene.told.clone();
    // The sidecar is there first, and waits for the server's container.
    scene.pods[0].start_agent(&told);
    let answers = async || scene.probe(&scene.pods[0], "/livez").await.ok();
    scene.until(PATIENT, "the agent", answers).await;
    scene.pods[0].start_launcher(&told);
    scene.until_ready(PATIENT).await;
    assert_eq!(missing(&scene).await, 0);
}

#[tokio::test]
async fn a_restart_in_order_is_no_death_however_soon_after_the_start() {
    let Some(path) = servers("system") else { return };
    let scene = Scene::start("restart", 13, 3, path, 6).await;
    let run_id = async || Some(scene.report(&scene.pods[0]).await?.server.running()?.run_id.clone());
    let before = scene.until(PATIENT, "the first life", run_id).await;
    scene.restart(&scene.pods[0]).await;
    let other_life = async || run_id().await.filter(|now| *now != before);
    scene.until(PATIENT, "another life", other_life).await;
    scene.until_ready(PATIENT).await;
    let log = scene.pods[0].log("agent.log");
    assert!(log.contains("Restarting"), "{log}");
    assert!(!log.contains("ServerDied") && !log.contains("ServerExits"), "{log}");
}

#[tokio::test]
async fn names_that_the_server_would_not_start_with_are_said_and_wait_for_no_restart() {
    let Some(path) = servers("system") else { return };
    let scene = Scene::start("names", 14, 1, path, 2).await;
    let told = async |needed: &[&str], said: Option<&str>| {
        scene
            .until(PATIENT, "the server's word on the names", async || {
                let report = scene.report(&scene.pods[0]).await?;
                let problem = report.problems.iter().find(|problem| problem.reason == "WrongDirective");
                let fits = match (said, problem) {
                    (Some(said), Some(problem)) => problem.message.contains(said),
                    (None, None) => true,
                    _ => false,
                };
                (fits && report.restart_needed == needed).then_some(())
            })
            .await;
    };
    scene.rename(&[("KEYS", "hidden"), ("COMMANDLOG", "")]).await;
    told(&[], Some("rename-command COMMANDLOG: it has no such command")).await;
    scene.rename(&[("KEYS", "hidden"), ("MONITOR", "scan")]).await;
    told(&[], Some("rename-command scan: it has a command of this name")).await;
    scene.rename(&[("KEYS", "hidden")]).await;
    told(&["rename-command"], None).await;
    scene.rename(&[]).await;
    told(&[], None).await;
}
