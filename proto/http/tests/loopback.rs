//! Client and server against each other on loopback: token, limits, deadlines, and what a caller can tell apart.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a failure ends the test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redisnode_http::{BODY_LIMIT, CallError, Client, Guard, Method, Request, Response, StatusCode, Token, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(5);

/// A token file of its own for each test.
struct Secret(PathBuf);

impl Secret {
    fn new(test: &str, token: &str) -> Self {
        let path = std::env::temp_dir().join(format!("redisnode-http-{test}-{}", std::process::id()));
        std::fs::write(&path, token).unwrap();
        Self(path)
    }

    fn change(&self, token: &str) {
        std::fs::write(&self.0, token).unwrap();
    }

    fn file(&self) -> Token {
        Token::in_file(&self.0)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Running {
    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.served.await.unwrap();
    }
}

async fn start(guard: Guard) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(listener, guard, Arc::new(handle), async move {
        drop(stopped.await);
    }));
    Running { address, stop: Some(stop), served }
}

async fn handle(request: Request) -> Response {
    match (&request.method, request.path.as_str()) {
        (&Method::GET, "/livez") => Response::text("text/plain", "ok"),
        (&Method::POST, "/v1/length") => Response::json(&request.body.len()),
        (&Method::GET, "/v1/peer") => Response::json(&request.peer.port()),
        (&Method::GET, "/v1/never") => std::future::pending().await,
        _ => Response::not_found(&request),
    }
}

async fn get(client: &Client, address: SocketAddr, path: &str) -> Result<Bytes, CallError> {
    client.call(address, Method::GET, path, Bytes::new(), SOON).await.map(|answer| answer.body)
}

#[tokio::test]
async fn v1_needs_the_token_and_probes_do_not() {
    let secret = Secret::new("needed", "right\n");
    let other = Secret::new("wrong", "wrong\n");
    let server = start(Guard::Token(secret.file())).await;
    let nobody = Client::new(None);
    assert_eq!(get(&nobody, server.address, "/livez").await.unwrap(), "ok");
    for client in [nobody, Client::new(Some(other.file()))] {
        let error = get(&client, server.address, "/v1/peer").await.unwrap_err();
        assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED));
        assert!(error.to_string().contains("needs the cluster's token"), "{error}");
    }
    get(&Client::new(Some(secret.file())), server.address, "/v1/peer").await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_changed_token_counts_at_once_and_the_one_before_still_does() {
    let (at_server, at_client) = (Secret::new("rotated-s", "one"), Secret::new("rotated-c", "one"));
    let server = start(Guard::Token(at_server.file())).await;
    let client = Client::new(Some(at_client.file()));
    get(&client, server.address, "/v1/peer").await.unwrap();
    at_server.change("two");
    get(&client, server.address, "/v1/peer").await.expect("the server knows the new one first");
    at_client.change("three");
    at_server.change("three");
    get(&client, server.address, "/v1/peer").await.expect("both know it");
    at_client.change("four");
    get(&client, server.address, "/v1/peer").await.expect("the client knows the new one first");
    at_client.change("five");
    let error = get(&client, server.address, "/v1/peer").await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED), "two steps apart is too far");
    server.stop().await;
}

#[tokio::test]
async fn an_empty_or_missing_token_file_lets_nobody_in() {
    let secret = Secret::new("empty", "right");
    let server = start(Guard::Token(secret.file())).await;
    let client = Client::new(Some(Secret::new("empty-client", "right").file()));
    assert!(matches!(get(&client, server.address, "/v1/peer").await, Err(CallError::Token(_))));
    let held = Secret::new("empty-held", "right");
    let client = Client::new(Some(held.file()));
    secret.change("\n");
    let error = get(&client, server.address, "/v1/peer").await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    server.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_a_sentence() {
    let server = start(Guard::Open).await;
    let client = Client::new(None);
    let post = |size: usize| client.call(server.address, Method::POST, "/v1/length", vec![b'x'; size].into(), SOON);
    assert_eq!(post(BODY_LIMIT).await.unwrap().body, BODY_LIMIT.to_string());
    let error = post(BODY_LIMIT + 1).await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::PAYLOAD_TOO_LARGE), "{error}");
    assert!(error.to_string().contains("4 MiB"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_large_body_that_stands_still_holds_up_large_ones_only() {
    let server = start(Guard::Open).await;
    let mut slow = tokio::net::TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /v1/length HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n").await.unwrap();
    slow.write_all(&vec![b'x'; 100_000]).await.unwrap();
    let client = Client::new(None);
    let post =
        |size: usize, within| client.call(server.address, Method::POST, "/v1/length", vec![b'x'; size].into(), within);
    assert_eq!(post(5_000, SOON).await.unwrap().body, "5000");
    // The slow one's bytes may still be on their way when a large one comes: it is held up once they have arrived.
    while post(100_000, Duration::from_millis(200)).await.is_ok() {}
    slow.write_all(&vec![b'x'; 100_000]).await.unwrap();
    assert_eq!(post(100_000, SOON).await.unwrap().body, "100000");
    server.stop().await;
}

#[tokio::test]
async fn no_body_is_read_of_those_who_have_no_token() {
    let secret = Secret::new("body", "right");
    let server = start(Guard::Token(secret.file())).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /v1/length HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await.expect("it does not wait for the body").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    server.stop().await;
}

#[tokio::test]
async fn no_answer_in_time_is_not_nobody_listens() {
    let server = start(Guard::Open).await;
    let client = Client::new(None);
    let after = Duration::from_millis(100);
    let error = client.get_json::<u32>(server.address, "/v1/never", after).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { after: told, .. } if told == after), "{error}");
    assert!(error.is_unknown() && !error.is_refused());
    let gone = server.address;
    server.stop().await;
    let error = client.get_json::<u32>(gone, "/v1/peer", SOON).await.unwrap_err();
    assert!(error.is_refused() && !error.is_unknown(), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_is_a_bad_body() {
    let server = start(Guard::Open).await;
    let error = Client::new(None).get_json::<Vec<u32>>(server.address, "/v1/peer", SOON).await.unwrap_err();
    assert!(matches!(error, CallError::BadBody { .. }), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let server = start(Guard::Open).await;
    let client = Client::new(None);
    let first: u16 = client.get_json(server.address, "/v1/peer", SOON).await.unwrap();
    let second: u16 = client.get_json(server.address, "/v1/peer", SOON).await.unwrap();
    assert_eq!(first, second);
    server.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_request_that_never_ends() {
    let server = start(Guard::Open).await;
    let address = server.address;
    let never = tokio::spawn(async move { Client::new(None).get_json::<u32>(address, "/v1/never", SOON * 10).await });
    while get(&Client::new(None), address, "/livez").await.is_err() {}
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(never.await.unwrap().is_err());
}

/// A server that closes each connection after its first request, the second one unanswered.
async fn forgetful(listener: TcpListener, seen: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = seen.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            let mut first = true;
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                seen.fetch_add(1, Ordering::SeqCst);
                if !first {
                    return;
                }
                first = false;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_get_on_a_broken_connection_is_asked_again_and_a_post_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(forgetful(listener, seen.clone()));
    let client = Client::new(None);
    for _ in 0..2 {
        assert_eq!(client.get_json::<u32>(address, "/", SOON).await.unwrap(), 1);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 3, "the second one was asked twice");
    let error = client.post_json::<_, u32>(address, "/", &1, SOON).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }), "{error}");
    assert_eq!(seen.load(Ordering::SeqCst), 4, "asked once only");
    server.abort();
}
