//! A real server under the launcher, asked through the RESP client. Skipped, and said, where there is none.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use redisnode_agent::lock::LockState;
use redisnode_agent::resp::{Auth, Command, Connection, RespError, Secret};
use tokio::time::{Instant, sleep};

use crate::scene::{Agent, PATIENT, Scene, send};

/// `REDISNODE_SERVER`, or the first one on the PATH.
fn server() -> Option<String> {
    let named = std::env::var_os("REDISNODE_SERVER").map(PathBuf::from);
    let found = named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .flat_map(|dir| [dir.join("redis-server"), dir.join("valkey-server")])
            .find(|server| server.is_file())
    });
    if found.is_none() {
        println!("skipped: no server; install redis-server, or set REDISNODE_SERVER");
    }
    found?.into_os_string().into_string().ok()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

async fn start(agent: &Agent, server: &str, port: u16) {
    let port = port.to_string();
    let options = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--requirepass", "hunter2"];
    agent.start(&[&[server], &options[..]].concat()).await;
}

async fn connect(port: u16) -> Connection {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let auth = Auth::Password(Secret::new("hunter2"));
    let by = Instant::now() + PATIENT;
    loop {
        match Connection::open(address, &auth.clone().into(), PATIENT).await {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < by, "{error}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_real_server_lives_and_dies_under_the_launcher() {
    let Some(server) = server() else { return };
    let scene = Scene::new("real");
    let agent = scene.agent().await;
    let port = free_port();
    start(&agent, &server, port).await;
    let pid = agent.until_running().await;
    let mut connection = connect(port).await;
    let value = b"\x00\r\n$5\r\n\xff";
    connection.demand(&Command::new("SET").arg("k").arg(value)).await.unwrap();
    let got = connection.call(&["GET", "k"]).await.unwrap();
    assert_eq!(got.into_bytes().unwrap(), &value[..]);
    let wrong = connection.call(&["LPUSH", "k", "x"]).await.unwrap();
    assert!(wrong.is_error("WRONGTYPE"), "{wrong:?}");
    let info = connection.call(&["INFO", "server"]).await.unwrap().text("INFO").unwrap();
    assert!(info.contains(&format!("process_id:{pid}")), "{info}");
    send(pid, Signal::SIGKILL);
    assert_eq!(agent.until_ended().await.signal.as_deref(), Some("SIGKILL"));
    assert_eq!(scene.lock(), LockState::Free);
    assert!(matches!(connection.call(&["PING"]).await, Err(RespError::Closed { .. })));
}

#[tokio::test]
async fn a_server_in_the_middle_of_a_snapshot_leaves_nothing_behind() {
    let Some(server) = server() else { return };
    let scene = Scene::new("real-snapshot");
    let agent = scene.agent().await;
    let port = free_port();
    start(&agent, &server, port).await;
    let pid = agent.until_running().await;
    let mut connection = connect(port).await;
    // The snapshot would take ten seconds for each key.
    connection.demand(&Command::new("SET").arg("k").arg("v")).await.unwrap();
    let slow = Command::new("CONFIG").arg("SET").arg("rdb-key-save-delay").number(10_000_000);
    connection.demand(&slow).await.unwrap();
    connection.demand(&Command::new("BGSAVE")).await.unwrap();
    send(pid, Signal::SIGKILL);
    agent.until_ended().await;
    scene.until_lock(LockState::Free).await;
    start(&agent, &server, port).await;
    agent.until_running().await;
    let mut connection = connect(port).await;
    assert_eq!(connection.call(&["DBSIZE"]).await.unwrap().as_integer(), Some(0));
    let last = connection.call(&["SHUTDOWN", "NOSAVE"]).await.unwrap_err();
    assert!(matches!(last, RespError::Closed { .. }), "{last}");
    assert_eq!(agent.until_ended().await.code, Some(0));
}

#[tokio::test]
async fn a_window_moves_many_commands_through_a_real_server() {
    const COUNT: i64 = 20_000;
    let Some(server) = server() else { return };
    let scene = Scene::new("real-window");
    let agent = scene.agent().await;
    let port = free_port();
    start(&agent, &server, port).await;
    let (mut sender, mut receiver) = connect(port).await.into_window(64);
    let send = async move {
        for _ in 0..COUNT {
            sender.send(&Command::new("INCR").arg("n")).await.unwrap();
        }
    };
    let receive = async {
        let mut expected = 0;
        while let Some(reply) = receiver.receive().await.unwrap() {
            expected += 1;
            assert_eq!(reply.as_integer(), Some(expected));
        }
        expected
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, COUNT);
}

#[tokio::test]
async fn a_server_that_refuses_its_options_is_told_in_its_own_words() {
    let Some(server) = server() else { return };
    let scene = Scene::new("real-option");
    let agent = scene.agent().await;
    agent.start(&[&server, "--no-such-option", "1"]).await;
    let ended = agent.until_ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.tail.iter().any(|line| line.contains("no-such-option")), "{:?}", ended.tail);
}
