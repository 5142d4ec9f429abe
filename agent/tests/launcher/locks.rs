//! Whose server it is: the lock that the server inherits, the launcher's own, and who is obeyed.

use std::fs;

use nix::sys::signal::Signal;
use redisnode_agent::launcher::ServerState;
use redisnode_agent::lock::LockState;
use tokio::time::{sleep, timeout};

use crate::raw::Raw;
use crate::scene::{PATIENT, SHORT, Scene, launch, process_field, send, until};

#[tokio::test]
async fn the_lock_is_held_exactly_as_long_as_the_server_lives() {
    let scene = Scene::new("lock");
    let agent = scene.agent().await;
    assert_eq!(scene.lock(), LockState::Missing);
    let pid = agent.start_sleeper().await;
    assert_eq!(scene.lock(), LockState::Held);
    send(pid, Signal::SIGKILL);
    agent.until_ended().await;
    assert_eq!(scene.lock(), LockState::Free);
}

#[tokio::test]
async fn a_child_that_a_killed_server_leaves_does_not_hold_the_next_one_up() {
    let scene = Scene::new("leftover");
    let agent = scene.agent().await;
    agent.start_script("sleep 60 & echo $! > child; wait").await;
    let server = agent.until_running().await;
    let number = || fs::read_to_string(scene.path("child")).ok()?.trim().parse::<u32>().ok();
    until("the child", || number().is_some()).await;
    send(server, Signal::SIGKILL);
    agent.until_ended().await;
    until("the child's end", || process_field(number().unwrap(), "State").is_none()).await;
    scene.until_lock(LockState::Free).await;
    agent.start_sleeper().await;
}

#[tokio::test]
async fn a_server_outlives_its_launcher_and_the_next_one_respects_it() {
    let mut scene = Scene::new("outlives");
    let agent = scene.agent().await;
    let server = agent.start_sleeper().await;
    scene.replace_launcher().await;
    assert_eq!(scene.lock(), LockState::Held);
    agent.until_state(ServerState::Occupied).await;
    agent.start(&["sh", "-c", "touch second"]).await;
    agent.client.exit().await.unwrap();
    sleep(SHORT).await;
    agent.until_state(ServerState::Occupied).await;
    assert!(!scene.path("second").exists());
    send(server, Signal::SIGKILL);
    agent.until_state(ServerState::Idle).await;
    agent.start_sleeper().await;
}

#[tokio::test]
async fn a_server_that_somebody_else_started_meanwhile_is_found_at_the_start() {
    let scene = Scene::new("meanwhile");
    let agent = scene.agent().await;
    let lock = redisnode_agent::lock::FolderLock::acquire(&scene.path("server.lock")).unwrap();
    agent.start(&["sh", "-c", "touch second"]).await;
    agent.until_state(ServerState::Occupied).await;
    assert!(!scene.path("second").exists());
    drop(lock);
    agent.until_state(ServerState::Idle).await;
}

#[tokio::test]
async fn a_second_launcher_on_the_same_folder_refuses_in_one_sentence() {
    let scene = Scene::new("two-launchers");
    let agent = scene.agent().await;
    let second = timeout(PATIENT, launch(&scene.dir).wait_with_output()).await.unwrap().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&format!("process {}", scene.launcher_pid())), "{said}");
    agent.start_sleeper().await;
}

#[tokio::test]
async fn only_the_newest_connection_is_obeyed_and_everybody_is_told() {
    let scene = Scene::new("newest");
    let _ready = scene.agent().await;
    let mut old = Raw::connect(&scene).await;
    let mut new = Raw::connect(&scene).await;
    for raw in [&mut old, &mut new] {
        assert!(raw.hear().await.contains(r#""state":"idle""#));
    }
    old.say(r#"{"start":{"argv":["sh","-c","touch old; exec sleep 60"]}}"#).await;
    old.say("this is no order").await;
    sleep(SHORT).await;
    assert!(!scene.path("old").exists());
    new.say(r#"{"start":{"argv":["sleep","60"]}}"#).await;
    assert!(new.hear().await.contains(r#""state":"running""#));
    assert!(old.hear().await.contains(r#""state":"running""#));
    drop(new);
    // Now the old one is the newest again; it has to say it until the launcher has seen the other one go.
    let by = tokio::time::Instant::now() + PATIENT;
    loop {
        old.say(r#"{"signal":"KILL"}"#).await;
        if let Ok(line) = timeout(SHORT, old.hear()).await {
            assert!(line.contains(r#""state":"ended","signal":"SIGKILL""#), "{line}");
            break;
        }
        assert!(tokio::time::Instant::now() < by);
    }
}

#[tokio::test]
async fn a_folder_with_a_very_long_path_works() {
    let name = format!("long/{}/{}", "a".repeat(120), "b".repeat(120));
    let scene = Scene::new(&name);
    let agent = scene.agent().await;
    agent.start_sleeper().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_refused_in_one_sentence() {
    let scene = Scene::new("unusable");
    fs::write(scene.path("file"), "").unwrap();
    let refused = launch(&scene.path("file")).wait_with_output();
    let refused = timeout(PATIENT, refused).await.unwrap().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.starts_with("redisnode: cannot use the folder ") && said.lines().count() == 1, "{said}");
}
