//! The client: every call has a deadline that covers connect, send and receive, and a limit on the answer's size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TOKEN_HEADER;
use crate::error::CallError;
use crate::link::{Link, LinkError};
use crate::pool::Pool;
use crate::token::Token;

/// Largest answer that is read, bytes.
pub const ANSWER_LIMIT: usize = 64 << 20;

/// Longest sentence that is kept of an answer that is not a success, bytes.
const SENTENCE_LIMIT: usize = 2000;

/// Calls agents and coordinators. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    token: Option<Token>,
    pool: Pool,
}

/// An answer, read whole, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("token", &self.inner.token).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that shows `token`, if there is one, with each request.
    pub fn new(token: Option<Token>) -> Self {
        Self { inner: Arc::new(Inner { token, pool: Pool::default() }) }
    }

    /// GET, read as `T`.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        address: SocketAddr,
        path: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let answer = self.call(address, Method::GET, path, Bytes::new(), deadline).await?;
        answer.json(address)
    }

    /// PUT of `body`, the answer read as `T`.
    pub async fn put_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        address: SocketAddr,
        path: &str,
        body: &B,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let answer = self.call(address, Method::PUT, path, written(address, body)?, deadline).await?;
        answer.json(address)
    }

    /// POST of `body`, the answer read as `T`.
    pub async fn post_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        address: SocketAddr,
        path: &str,
        body: &B,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let answer = self.call(address, Method::POST, path, written(address, body)?, deadline).await?;
        answer.json(address)
    }

    /// Any request; the answer is a success (2xx), else an error with the sentence in its body.
    pub async fn call(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        let whole = self.with_either_token(address, &method, path, &body);
        let answer = tokio::time::timeout(deadline, whole)
            .await
            .map_err(|_| CallError::TimedOut { address, after: deadline })??;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let sentence = answer.body.get(..SENTENCE_LIMIT).unwrap_or(&answer.body);
        let message = String::from_utf8_lossy(sentence).trim().to_owned();
        Err(CallError::Status { address, code: answer.status, message })
    }

    /// A new token reaches the nodes at different times: who refuses ours may still know only the one before.
    async fn with_either_token(
        &self,
        address: SocketAddr,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Answer, CallError> {
        let Some(file) = &self.inner.token else {
            return self.send(address, method, path, body, None).await;
        };
        let answer = self.send(address, method, path, body, Some(&file.current()?)).await?;
        match file.previous() {
            Some(token) if answer.status == StatusCode::UNAUTHORIZED => {
                self.send(address, method, path, body, Some(&token)).await
            }
            _ => Ok(answer),
        }
    }

    /// Sends on a resting connection if there is one. If that one turns out broken, once more on a fresh one, but
    /// only when asking twice does no harm: a GET, or a request that surely never left.
    async fn send(
        &self,
        address: SocketAddr,
        method: &Method,
        path: &str,
        body: &Bytes,
        token: Option<&str>,
    ) -> Result<Answer, CallError> {
        let request = || request(address, method, path, body, token);
        if let Some(link) = self.inner.pool.take(address) {
            match self.exchange(address, link, request()?).await {
                Err(LinkError::Ended { never_sent, .. }) if never_sent || method == Method::GET => {}
                other => return other.map_err(|error| error.at(address)),
            }
        }
        let link = Link::connect(address).await.map_err(|source| CallError::Connect { address, source })?;
        self.exchange(address, link, request()?).await.map_err(|error| error.at(address))
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        mut link: Link,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<Answer, LinkError> {
        let answer = link.exchange(request).await?;
        self.inner.pool.put(address, link);
        Ok(answer)
    }
}

impl Answer {
    /// The body as `T`.
    pub fn json<T: DeserializeOwned>(&self, address: SocketAddr) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError::BadBody { address, why: error.to_string() })
    }
}

impl LinkError {
    fn at(self, address: SocketAddr) -> CallError {
        match self {
            Self::Ended { cause, .. } => CallError::Broken { address, source: cause },
            Self::BadBody(why) => CallError::BadBody { address, why },
        }
    }
}

fn request(
    address: SocketAddr,
    method: &Method,
    path: &str,
    body: &Bytes,
    token: Option<&str>,
) -> Result<hyper::Request<Full<Bytes>>, CallError> {
    let mut builder = hyper::Request::builder().method(method).uri(path).header(HOST, address.to_string());
    if let Some(token) = token {
        builder = builder.header(TOKEN_HEADER, token);
    }
    if !body.is_empty() {
        builder = builder.header(CONTENT_TYPE, "application/json");
    }
    let wrong =
        |error: hyper::http::Error| CallError::BadBody { address, why: format!("the request is wrong: {error}") };
    builder.body(Full::new(body.clone())).map_err(wrong)
}

fn written<B: Serialize>(address: SocketAddr, body: &B) -> Result<Bytes, CallError> {
    let wrong =
        |error: serde_json::Error| CallError::BadBody { address, why: format!("the request is wrong: {error}") };
    serde_json::to_vec(body).map(Bytes::from).map_err(wrong)
}
