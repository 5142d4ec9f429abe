//! The RESP client against a scripted peer on loopback: order, deadlines, and what happens after either is broken.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that panics fails its test, which is what it is for"
)]

use std::net::SocketAddr;
use std::time::Duration;

use redisnode_agent::resp::{Access, Auth, Command, Connection, Lanes, Reply, RespError, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Long enough that a busy machine does not matter.
const PATIENT: Duration = Duration::from_secs(10);
/// For the tests that want to see a deadline pass.
const SHORT: Duration = Duration::from_millis(50);

/// A peer that accepts one connection and plays `script` on it.
async fn peer<F>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(stream).await;
    });
    (address, task)
}

/// Waits until the peer has received exactly these bytes.
async fn want(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes));
}

async fn open(address: SocketAddr, deadline: Duration) -> Connection {
    let mut connection = Connection::open(address, &Access::default(), PATIENT).await.unwrap();
    connection.set_deadline(deadline);
    connection
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

#[tokio::test]
async fn it_introduces_itself_before_anything_else() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, b"*3\r\n$4\r\nAUTH\r\n$5\r\nagent\r\n$7\r\nhunter2\r\n").await;
        stream.write_all(b"+OK\r\n").await.unwrap();
        want(&mut stream, PING).await;
        stream.write_all(b"+PO").await.unwrap();
        stream.write_all(b"NG\r\n").await.unwrap();
    })
    .await;
    let auth = Auth::User { name: "agent".into(), password: Secret::new("hunter2") };
    let mut connection = Connection::open(address, &auth.clone().into(), PATIENT).await.unwrap();
    assert_eq!(connection.call(&["PING"]).await.unwrap(), Reply::Status("PONG".into()));
    task.await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_being_shown() {
    let (address, _task) = peer(async |mut stream| {
        want(&mut stream, b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n").await;
        stream.write_all(b"-WRONGPASS invalid username-password pair\r\n").await.unwrap();
    })
    .await;
    let error = Connection::open(address, &Auth::Password(Secret::new("hunter2")).into(), PATIENT).await.unwrap_err();
    assert!(error.refusal().unwrap().starts_with("WRONGPASS"));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Connection::open(address, &Access::default(), PATIENT).await.unwrap_err();
    assert!(matches!(error, RespError::Connect { .. }));
    assert!(error.to_string().contains(&address.to_string()));
    assert!(!error.is_outcome_unknown());
}

#[tokio::test]
async fn a_peer_that_accepts_but_never_answers_the_password_is_timed_out() {
    let (address, task) = peer(async |_stream| std::future::pending::<()>().await).await;
    let auth = Auth::Password(Secret::new("x"));
    let error = Connection::open(address, &auth.clone().into(), SHORT).await.unwrap_err();
    assert!(matches!(error, RespError::TimedOut { .. }), "{error}");
    task.abort();
}

#[tokio::test]
async fn a_server_that_another_client_holds_up_is_introduced_to_as_patiently_as_it_is_asked() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n").await;
        tokio::time::sleep(4 * SHORT).await;
        stream.write_all(b"+OK\r\n").await.unwrap();
        want(&mut stream, PING).await;
        stream.write_all(b"+PONG\r\n").await.unwrap();
    })
    .await;
    let mut lanes = Lanes::new(address, Auth::Password(Secret::new("x")).into(), SHORT, PATIENT);
    assert_eq!(lanes.run(&Command::new("PING")).await.unwrap(), Reply::Status("PONG".into()));
    task.await.unwrap();
}

#[tokio::test]
async fn a_late_answer_is_never_the_answer_of_the_next_command() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, PING).await;
        tokio::time::sleep(4 * SHORT).await;
        stream.write_all(b"+LATE\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut connection = open(address, SHORT).await;
    let error = connection.call(&["PING"]).await.unwrap_err();
    assert!(matches!(error, RespError::TimedOut { .. }), "{error}");
    assert!(error.is_outcome_unknown());
    connection.set_deadline(PATIENT);
    tokio::time::sleep(6 * SHORT).await;
    let error = connection.call(&["INFO"]).await.unwrap_err();
    assert!(matches!(error, RespError::Poisoned { .. }), "{error}");
    assert!(error.to_string().contains("PING was not answered within 50 ms"), "{error}");
    assert!(connection.is_poisoned());
    task.abort();
}

#[tokio::test]
async fn a_call_that_is_dropped_half_way_gives_the_connection_up() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, PING).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut connection = open(address, PATIENT).await;
    tokio::time::timeout(SHORT, connection.call(&["PING"])).await.unwrap_err();
    let error = connection.call(&["INFO"]).await.unwrap_err();
    assert!(error.to_string().contains("PING was abandoned"), "{error}");
    task.abort();
}

#[tokio::test]
async fn an_end_of_the_connection_is_said_and_stays() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, PING).await;
        stream.write_all(b"$10\r\nhalf").await.unwrap();
    })
    .await;
    let mut connection = open(address, PATIENT).await;
    let error = connection.call(&["PING"]).await.unwrap_err();
    assert!(matches!(error, RespError::Closed { .. }), "{error}");
    assert!(matches!(connection.call(&["PING"]).await, Err(RespError::Poisoned { .. })));
    task.await.unwrap();
}

#[tokio::test]
async fn what_is_not_a_server_is_named_so() {
    let (address, _task) = peer(async |mut stream| {
        want(&mut stream, PING).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    let error = open(address, PATIENT).await.call(&["PING"]).await.unwrap_err();
    assert!(error.to_string().contains("is this a Redis or Valkey port?"), "{error}");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_as_the_next_one() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, PING).await;
        stream.write_all(b"+PONG\r\n+MORE\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut connection = open(address, PATIENT).await;
    assert_eq!(connection.call(&["PING"]).await.unwrap(), Reply::Status("PONG".into()));
    let error = connection.call(&["PING"]).await.unwrap_err();
    assert!(matches!(error, RespError::Protocol { .. }), "{error}");
    task.abort();
}

#[tokio::test]
async fn a_refusal_is_an_answer_until_success_is_demanded() {
    let (address, task) = peer(async |mut stream| {
        for _ in 0..3 {
            want(&mut stream, PING).await;
            stream.write_all(b"-LOADING wait\r\n").await.unwrap();
        }
    })
    .await;
    let mut connection = open(address, PATIENT).await;
    let ping = Command::new("PING");
    assert!(connection.run(&ping).await.unwrap().is_error("LOADING"));
    let error = connection.demand(&ping).await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused PING: LOADING wait");
    assert!(connection.run(&ping).await.is_ok(), "a refusal does not break the connection");
    task.await.unwrap();
}

#[tokio::test]
async fn a_pipeline_gives_its_replies_in_order() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, b"*1\r\n$1\r\nA\r\n*2\r\n$1\r\nB\r\n$2\r\n\x00\xff\r\n").await;
        stream.write_all(b":1\r\n*1\r\n-ERR two\r\n").await.unwrap();
    })
    .await;
    let mut connection = open(address, PATIENT).await;
    assert_eq!(connection.pipeline(&[]).await.unwrap(), []);
    let commands = [Command::new("A"), Command::new("B").arg(b"\x00\xff")];
    assert_eq!(
        connection.pipeline(&commands).await.unwrap(),
        [Reply::Integer(1), Reply::Array(vec![Reply::Error("ERR two".into())])]
    );
    task.await.unwrap();
}

#[tokio::test]
async fn a_pipeline_larger_than_the_sockets_does_not_block_itself() {
    const COUNT: usize = 64;
    let value = vec![b'v'; 256 * 1024];
    let (address, task) = peer(async |mut stream| {
        // Echoes whatever comes: it stops reading when its answers are not read.
        let (mut reader, mut writer) = stream.split();
        let mut head = [0; 4];
        for _ in 0..COUNT {
            let whole = 4 + 7 + 9 + 256 * 1024 + 2;
            reader.read_exact(&mut head).await.unwrap();
            let mut rest = vec![0; whole - 4];
            reader.read_exact(&mut rest).await.unwrap();
            writer.write_all(&rest[7..]).await.unwrap();
        }
    })
    .await;
    let mut connection = open(address, PATIENT).await;
    let commands: Vec<Command> = (0..COUNT).map(|_| Command::new("E").arg(&value)).collect();
    let replies = connection.pipeline(&commands).await.unwrap();
    assert!(replies.into_iter().all(|reply| reply.into_bytes().unwrap() == value));
    task.await.unwrap();
}

#[tokio::test]
async fn a_window_keeps_as_many_in_flight_as_it_has_room_for() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, &PING.repeat(2)).await;
        let mut more = [0];
        let early = tokio::time::timeout(SHORT, stream.read(&mut more)).await;
        assert!(early.is_err(), "a third command came before the first reply");
        stream.write_all(b":1\r\n").await.unwrap();
        want(&mut stream, PING).await;
        stream.write_all(b":2\r\n:3\r\n").await.unwrap();
    })
    .await;
    let (mut sender, mut receiver) = open(address, PATIENT).await.into_window(2);
    let send = async move {
        assert!(sender.has_room());
        for _ in 0..3 {
            sender.send(&Command::new("PING")).await.unwrap();
        }
        assert!(!sender.has_room());
    };
    let receive = async {
        let mut numbers = Vec::new();
        while let Some(reply) = receiver.receive().await.unwrap() {
            numbers.push(reply.as_integer().unwrap());
        }
        numbers
    };
    let ((), numbers) = tokio::join!(send, receive);
    assert_eq!(numbers, [1, 2, 3]);
    task.await.unwrap();
}

#[tokio::test]
async fn the_halves_of_a_window_share_one_fate() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, PING).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (mut sender, mut receiver) = open(address, SHORT).await.into_window(1);
    sender.send(&Command::new("PING")).await.unwrap();
    // This one waits for room that never comes; the receiver's failure has to wake it.
    let ping = Command::new("PING");
    let (sent, received) = tokio::join!(sender.send(&ping), receiver.receive());
    assert!(matches!(received, Err(RespError::TimedOut { .. })));
    let error = sent.unwrap_err();
    assert!(error.to_string().contains("PING was not answered"), "{error}");
    assert!(matches!(receiver.receive().await, Err(RespError::Poisoned { .. })));
    task.abort();
}

#[tokio::test]
async fn a_sender_without_a_receiver_is_told() {
    let (address, task) = peer(async |_stream| std::future::pending::<()>().await).await;
    let (mut sender, receiver) = open(address, PATIENT).await.into_window(1);
    drop(receiver);
    let error = sender.send(&Command::new("PING")).await.unwrap_err();
    assert!(error.to_string().contains("nobody receives"), "{error}");
    task.abort();
}

#[tokio::test]
async fn a_slow_window_is_not_late_while_replies_keep_coming() {
    let (address, task) = peer(async |mut stream| {
        want(&mut stream, &PING.repeat(6)).await;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(b"+OK\r\n").await.unwrap();
        }
    })
    .await;
    let (mut sender, mut receiver) = open(address, Duration::from_millis(400)).await.into_window(8);
    for _ in 0..6 {
        sender.send(&Command::new("PING")).await.unwrap();
    }
    drop(sender);
    let mut count = 0;
    while receiver.receive().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 6);
    task.await.unwrap();
}
