//! One connection of the client. It is driven by the call that uses it, so that an abandoned call closes it and
//! nothing runs detached.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{future, io};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::client::{ANSWER_LIMIT, Answer};

/// Shorter than the time after which the server closes an idle connection, so that they rarely cross.
const REUSABLE_FOR: Duration = Duration::from_secs(15);

/// What a connection reads at once, bytes, and the largest head of an answer. hyper keeps this room while it waits, and a
/// coordinator waits for each of its agents; the bodies are kept elsewhere.
const BUFFER: usize = 2048;

type Cause = Box<dyn std::error::Error + Send + Sync>;
type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// How a request on a link can fail.
pub(crate) enum LinkError {
    /// The connection ended; `never_sent` when the request surely did not leave.
    Ended { never_sent: bool, cause: Cause },
    /// The body is too large or was cut.
    BadBody(String),
}

/// A connection to one address.
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    used_at: Instant,
}

impl Link {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let handshake = http1::Builder::new().read_buf_exact_size(Some(BUFFER)).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        Ok(Self { sender, driver: Box::pin(connection), used_at: Instant::now() })
    }

    /// Whether the connection can carry another request, as far as this side knows.
    pub(crate) fn is_usable(&mut self) -> bool {
        if self.used_at.elapsed() > REUSABLE_FOR || self.sender.is_closed() {
            return false;
        }
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.driver.as_mut().poll(&mut context).is_pending() && self.sender.is_ready()
    }

    /// Whether it has rested for so long that it will not be used again.
    pub(crate) fn is_old(&self) -> bool {
        self.used_at.elapsed() > REUSABLE_FOR
    }

    /// Sends `request` and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: hyper::Request<Full<Bytes>>) -> Result<Answer, LinkError> {
        let driver = &mut self.driver;
        let call = answer_of(&mut self.sender, request);
        let mut call = std::pin::pin!(call);
        let mut ended: Option<hyper::Error> = None;
        let mut running = true;
        let answer = future::poll_fn(|context| {
            if let Poll::Ready(answer) = call.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            if running && let Poll::Ready(end) = driver.as_mut().poll(context) {
                running = false;
                ended = end.err();
                // The end of the connection may be what completes the answer.
                return call.as_mut().poll(context);
            }
            Poll::Pending
        });
        let answer = answer.await;
        self.used_at = Instant::now();
        answer.map_err(|error| match (error, ended) {
            (LinkError::Ended { never_sent, .. }, Some(cause)) => LinkError::Ended { never_sent, cause: cause.into() },
            (error, _) => error,
        })
    }
}

async fn answer_of(
    sender: &mut SendRequest<Full<Bytes>>,
    request: hyper::Request<Full<Bytes>>,
) -> Result<Answer, LinkError> {
    let ended = |error: hyper::Error| LinkError::Ended { never_sent: error.is_canceled(), cause: error.into() };
    sender.ready().await.map_err(ended)?;
    let response = sender.send_request(request).await.map_err(ended)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|error| LinkError::BadBody(error.to_string()))?.to_bytes();
    Ok(Answer { status, body })
}
