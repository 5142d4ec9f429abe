//! The server: a token before `/v1/`, limits on bodies, headers and connections, and an end that waits for nobody long.
//!
//! Whoever can reach its port must not be able to make it use memory, or to keep others from being served: probes above all.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{convert::Infallible, io};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{StatusCode, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::TOKEN_HEADER;
use crate::body::Bodies;
use crate::connections::{Connections, Seat};
use crate::request::{Request, Response};
use crate::token::Token;

/// For the headers of a request; an idle connection is closed after it too.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// What a connection reads at once, bytes, and the largest head of a request.
const BUFFER: usize = 16 << 10;
/// For requests in flight when the server stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// Connections that wait to be accepted. Above it a client tries again after a second: a flood must not make probes wait.
const BACKLOG: u32 = 1024;
/// After a failed accept (no more file descriptors): long enough not to spin.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to `request`. Dropped when the client goes away.
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send;
}

impl<F, A> Handler for F
where
    F: Fn(Request) -> A + Send + Sync + 'static,
    A: Future<Output = Response> + Send,
{
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send {
        self(request)
    }
}

/// Who may call `/v1/`.
#[derive(Clone, Debug)]
pub enum Guard {
    /// Who shows the token in this file.
    Token(Token),
    /// Everybody. For servers that have nothing to hide and nothing to change.
    Open,
}

/// What all connections of a server share.
struct Server<H> {
    guard: Guard,
    handler: Arc<H>,
    bodies: Bodies,
}

/// Serves until `shutdown` is done, then gives requests in flight one second.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    guard: Guard,
    handler: Arc<H>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopped) = watch::channel(false);
    let server = Arc::new(Server { guard, handler, bodies: Bodies::default() });
    let mut connections = Connections::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if connections.has_room() {
                        connections.add(|seat| connection(stream, peer, server.clone(), seat, stopped.clone()));
                    } else {
                        turn_away(&stream);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
            Some(()) = connections.one_ended() => {}
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.one_ended().await.is_some() {} };
    if tokio::time::timeout(DRAIN_WITHIN, drained).await.is_err() {
        connections.shutdown().await;
    }
}

fn turn_away(stream: &TcpStream) {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // The answer is a courtesy: the connection is closed either way.
    if let Err(error) = stream.try_write(answer) {
        tracing::debug!(%error, "cannot turn a connection away politely");
    }
}

async fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<Server<H>>,
    seat: Arc<Seat>,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot switch off the delay of small packets");
    }
    let service = service_fn(|request| {
        let (server, seat) = (server.clone(), seat.clone());
        async move { Ok::<_, Infallible>(sent(answer(request, peer, &server, &seat).await)) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(BUFFER);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    // An error of the channel means that the server itself is gone: the same as a stop.
    let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
    let end = tokio::select! {
        end = served.as_mut() => end,
        () = stop => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = end {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// The token is looked at before the body is read: of those who have none no body is read at all.
async fn answer<H: Handler>(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    server: &Server<H>,
    seat: &Seat,
) -> Response {
    let authorised = match is_authorised(&server.guard, request.headers().get(TOKEN_HEADER)) {
        Ok(authorised) => authorised,
        Err(refusal) => return refusal,
    };
    let path = request.uri().path().to_owned();
    if path.starts_with("/v1/") && !authorised {
        return Response::error(
            StatusCode::UNAUTHORIZED,
            format!("{path} needs the cluster's token in the header {TOKEN_HEADER}, and what was sent is not it"),
        );
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().clone();
    let (body, _turn) = if authorised {
        seat.trust();
        match server.bodies.read(request.into_body()).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        }
    } else {
        (Bytes::new(), None)
    };
    let _busy = seat.busy();
    server.handler.handle(Request { method, path, query, body, peer, authorised }).await
}

fn is_authorised(guard: &Guard, presented: Option<&HeaderValue>) -> Result<bool, Response> {
    let (Guard::Token(file), Some(presented)) = (guard, presented) else {
        return Ok(matches!(guard, Guard::Open));
    };
    file.accepts(presented.as_bytes()).map_err(|error| {
        tracing::error!(error = %error, "the token file cannot be used");
        Response::error(StatusCode::SERVICE_UNAVAILABLE, format!("nobody can be let in now: {error}"))
    })
}

fn sent(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut sent = hyper::Response::new(Full::new(response.body));
    *sent.status_mut() = response.status;
    sent.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    sent
}

/// Listens on `address`, in a runtime; the error names the address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listener().map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}
