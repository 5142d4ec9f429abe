//! The launcher's own end: by order, by signal, with and without an agent.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_agent::launch_client::OrderError;
use redisnode_agent::launcher::{OrderedSignal, SERVER_LOG, SOCKET, ServerState};
use redisnode_agent::lock::LockState;
use tokio::time::sleep;

use crate::raw::Raw;
use crate::scene::{Agent, SHORT, Scene, until};

const POLITE: &str = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.02; done";

async fn start_polite(scene: &Scene, agent: &Agent) -> u32 {
    agent.start_script(POLITE).await;
    until("the trap", || said(scene, "ready")).await;
    agent.until_running().await
}

fn said(scene: &Scene, word: &str) -> bool {
    fs::read_to_string(scene.path(SERVER_LOG)).is_ok_and(|log| log.contains(word))
}

#[tokio::test]
async fn a_stop_is_left_to_the_agent_and_ends_with_the_server() {
    let mut scene = Scene::new("stop-agent");
    let agent = scene.agent().await;
    start_polite(&scene, &agent).await;
    scene.signal_launcher(Signal::SIGTERM);
    agent.until("the wish to stop", |status| status.stop_requested).await;
    scene.signal_launcher(Signal::SIGTERM);
    sleep(SHORT).await;
    assert!(!said(&scene, "asked"), "the agent decides when the server stops");
    assert!(matches!(agent.until("it", |_| true).await.server, ServerState::Running { .. }));
    agent.client.signal(OrderedSignal::Term).await.unwrap();
    assert_eq!(scene.launcher_end().await.code(), Some(0));
    assert!(said(&scene, "asked"));
    assert!(!scene.path(SOCKET).exists());
    agent.until_absent().await;
    assert_eq!(agent.client.signal(OrderedSignal::Kill).await, Err(OrderError::Absent));
}

#[tokio::test]
async fn an_agent_that_comes_during_a_stop_is_told() {
    let mut scene = Scene::new("stop-late");
    let agent = scene.agent().await;
    start_polite(&scene, &agent).await;
    drop(agent);
    scene.signal_launcher(Signal::SIGTERM);
    sleep(SHORT).await;
    let agent = scene.agent().await;
    agent.until("the wish to stop", |status| status.stop_requested).await;
    agent.client.signal(OrderedSignal::Term).await.unwrap();
    assert_eq!(scene.launcher_end().await.code(), Some(0));
}

#[tokio::test]
async fn without_an_agent_the_server_is_asked_itself_after_five_seconds() {
    let mut scene = Scene::new("stop-alone");
    let agent = scene.agent().await;
    start_polite(&scene, &agent).await;
    drop(agent);
    let at = Instant::now();
    scene.signal_launcher(Signal::SIGTERM);
    assert_eq!(scene.launcher_end().await.code(), Some(0));
    let took = at.elapsed();
    assert!(took >= Duration::from_secs(4), "an agent that restarts had only {took:?}");
    assert!(said(&scene, "asked"));
    assert_eq!(scene.lock(), LockState::Free);
}

#[tokio::test]
async fn a_stop_without_a_server_ends_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut scene = Scene::new(&format!("stop-idle-{signal}"));
        let agent = scene.agent().await;
        scene.signal_launcher(signal);
        assert_eq!(scene.launcher_end().await.code(), Some(0));
        agent.until_absent().await;
    }
}

#[tokio::test]
async fn a_second_interrupt_reaches_the_server() {
    let mut scene = Scene::new("stop-twice");
    let agent = scene.agent().await;
    agent.start_script("trap 'exit 9' INT; echo ready; while :; do sleep 0.02; done").await;
    until("the trap", || said(&scene, "ready")).await;
    let raw = Raw::connect(&scene).await;
    scene.signal_launcher(Signal::SIGINT);
    agent.until("the wish to stop", |status| status.stop_requested).await;
    scene.signal_launcher(Signal::SIGINT);
    let all = raw.hear_out().await;
    let last = all.lines().last().unwrap();
    assert!(last.contains(r#""state":"ended","code":9"#), "{all}");
    assert_eq!(scene.launcher_end().await.code(), Some(0));
}

#[tokio::test]
async fn the_order_to_end_is_obeyed_only_without_a_server() {
    let mut scene = Scene::new("exit");
    let agent = scene.agent().await;
    agent.start_sleeper().await;
    agent.client.exit().await.unwrap();
    agent.client.signal(OrderedSignal::Kill).await.unwrap();
    agent.until_ended().await;
    agent.client.exit().await.unwrap();
    assert_eq!(scene.launcher_end().await.code(), Some(0));
}
