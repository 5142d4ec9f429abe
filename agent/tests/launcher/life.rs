//! A server's life: its start, its end, and what is told of both.

use std::fs;
use std::time::Instant;

use nix::sys::signal::Signal;
use redisnode_agent::launcher::{OrderedSignal, SERVER_LOG, ServerState, Status};
use redisnode_agent::lock::LockState;
use tokio::time::sleep;

use crate::scene::{SHORT, Scene, launch_logging, process_field, send, until};

#[tokio::test]
async fn an_end_is_told_with_its_code_and_the_last_lines_of_this_life() {
    let scene = Scene::new("code");
    fs::write(scene.path(SERVER_LOG), "a line of an earlier life\n").unwrap();
    let agent = scene.agent().await;
    agent.until_state(ServerState::Idle).await;
    agent.start_script("for i in $(seq 30); do echo line $i; done; echo oops >&2; exit 3").await;
    let ended = agent.until_ended().await;
    assert_eq!((ended.code, ended.signal), (Some(3), None));
    assert_eq!(ended.tail.len(), 20);
    assert_eq!(ended.tail.last().unwrap(), "oops");
    agent.start_script("exit 0").await;
    let again = agent.until("the second end", |status| status.change == 4).await;
    let ServerState::Ended(ended) = again.server else { panic!("{again:?}") };
    assert_eq!((ended.code, ended.tail), (Some(0), vec![]));
}

#[tokio::test]
async fn a_killed_server_is_told_at_once() {
    let scene = Scene::new("killed");
    let agent = scene.agent().await;
    let pid = agent.start_sleeper().await;
    let at = Instant::now();
    send(pid, Signal::SIGKILL);
    let ended = agent.until_ended().await;
    let took = at.elapsed();
    println!("told after {took:?}");
    assert_eq!((ended.code, ended.signal.as_deref()), (None, Some("SIGKILL")));
    // A few milliseconds; the rest is for a machine that is busy with other tests.
    assert!(took < 2 * SHORT, "told after {took:?}");
}

#[tokio::test]
async fn the_agents_signals_reach_the_server() {
    let scene = Scene::new("signals");
    let agent = scene.agent().await;
    agent.start_script("trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done").await;
    until("the trap", || fs::read_to_string(scene.path(SERVER_LOG)).is_ok_and(|log| log.contains("ready"))).await;
    agent.client.signal(OrderedSignal::Term).await.unwrap();
    assert_eq!(agent.until_ended().await.code, Some(5));
    agent.start_sleeper().await;
    agent.client.signal(OrderedSignal::Kill).await.unwrap();
    assert_eq!(agent.until_ended().await.signal.as_deref(), Some("SIGKILL"));
}

#[tokio::test]
async fn a_server_that_cannot_start_is_told_each_time_with_what_to_do() {
    let scene = Scene::new("cannot");
    let agent = scene.agent().await;
    agent.start(&["/no/such/redis-server", "--port", "1"]).await;
    let reason = agent.until_failed(1).await;
    assert!(reason.starts_with("cannot start /no/such/redis-server: "), "{reason}");
    assert!(reason.contains("install it"), "{reason}");
    assert_eq!(scene.lock(), LockState::Free);
    fs::write(scene.path("plain"), "").unwrap();
    agent.start(&["./plain"]).await;
    assert!(agent.until_failed(2).await.contains("executable"));
    agent.start(&[]).await;
    agent.until_failed(3).await;
    agent.start_sleeper().await;
}

#[tokio::test]
async fn a_second_server_is_never_started() {
    let scene = Scene::new("second");
    let agent = scene.agent().await;
    let script = "echo started >> count; exec sleep 60";
    agent.start_script(script).await;
    agent.until_running().await;
    agent.start_script(script).await;
    agent.start_script(script).await;
    let started = || fs::read_to_string(scene.path("count")).unwrap_or_default().lines().count();
    until("the first", || started() > 0).await;
    sleep(SHORT).await;
    assert_eq!(started(), 1);
}

#[tokio::test]
async fn orphans_are_reaped() {
    let scene = Scene::new("orphans");
    let agent = scene.agent().await;
    // The orphan leaves the server's process group, so that only its own end can end it.
    agent.start_script("(setsid sh -c 'echo $$ > orphan; exec sleep 60' &); exec sleep 60").await;
    let number = || fs::read_to_string(scene.path("orphan")).ok()?.trim().parse::<u32>().ok();
    until("the orphan", || number().is_some()).await;
    let orphan = number().unwrap();
    let launcher = scene.launcher_pid().to_string();
    until("adoption", || process_field(orphan, "PPid").as_deref() == Some(&launcher)).await;
    send(orphan, Signal::SIGKILL);
    until("the end of the zombie", || process_field(orphan, "State").is_none()).await;
    agent.until_running().await;
}

#[tokio::test]
async fn a_large_log_is_put_aside_at_the_next_start() {
    let scene = Scene::new("log");
    let agent = scene.agent().await;
    let log = fs::File::create(scene.path(SERVER_LOG)).unwrap();
    log.set_len(17 * 1024 * 1024).unwrap();
    agent.start_script("echo fresh; exit 1").await;
    assert_eq!(agent.until_ended().await.tail, ["fresh"]);
    assert_eq!(fs::read_to_string(scene.path(SERVER_LOG)).unwrap(), "fresh\n");
    assert!(scene.path("server.log.1").exists());
}

#[tokio::test]
async fn a_launcher_goes_on_when_nobody_reads_its_log_any_more() {
    let mut scene = Scene::new("deaf");
    scene.signal_launcher(Signal::SIGKILL);
    scene.launcher_end().await;
    scene.launcher = launch_logging(&scene.dir, "debug");
    drop(scene.launcher.stderr.take());
    let agent = scene.agent().await;
    agent.start_sleeper().await;
    agent.client.signal(OrderedSignal::Kill).await.unwrap();
    agent.until_ended().await;
    agent.start_sleeper().await;
}

#[tokio::test]
async fn a_program_is_found_where_the_launcher_is_and_its_version_told() {
    let scene = Scene::new("find");
    let agent = scene.agent().await;
    let server = scene.path("some-server");
    std::fs::write(&server, "#!/bin/sh\necho \"Valkey server v=9.1.2 given $1\"\n").unwrap();
    std::fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let asked = server.display().to_string();
    agent.client.find(asked.clone()).await.unwrap();
    let status = agent.until("a program", |status| status.program.is_some()).await;
    let program = status.program.unwrap();
    assert_eq!((program.asked.as_str(), program.path.as_str(), &program.missing), (&*asked, &*asked, &None));
    assert_eq!(program.version, "Valkey server v=9.1.2 given --version");
    assert_eq!((status.server, status.change), (ServerState::Idle, 0), "looking starts nothing");
    agent.client.find("/nonexistent/server".into()).await.unwrap();
    let is_missing = |status: &Status| status.program.as_ref().is_some_and(|program| program.missing.is_some());
    agent.until("a refusal", is_missing).await;
}
