//! Bodies of requests: how large, how long, and how many large ones at the same time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::request::Response;

/// Largest body that is read, bytes. A Layout of a thousand members has less than a quarter of it.
pub const BODY_LIMIT: usize = 4 << 20;

/// Larger ones are read one after the other, bytes: an agent has little memory, and as many callers as connections.
const SMALL: usize = 8 << 10;
/// How much of a body that is too large is read and thrown away, bytes.
const DISCARD_LIMIT: usize = 64 << 20;
/// For the body of a request.
const WITHIN: Duration = Duration::from_secs(30);

/// The turn of a large body: the next one is read when it is dropped.
pub(crate) type Turn = Option<OwnedMutexGuard<()>>;

/// Reads the bodies of all connections of a server.
#[derive(Default)]
pub(crate) struct Bodies {
    large: Arc<Mutex<()>>,
}

impl Bodies {
    /// A whole body, or the refusal that its sender gets.
    pub(crate) async fn read(&self, body: Incoming) -> Result<(Bytes, Turn), Response> {
        match timeout(WITHIN, self.whole(body)).await {
            Ok(Ok(Some(read))) => Ok(read),
            Ok(Ok(None)) => {
                let sentence = format!("the body is larger than {} MiB, the most that is read", BODY_LIMIT >> 20);
                Err(Response::error(StatusCode::PAYLOAD_TOO_LARGE, sentence))
            }
            Ok(Err(error)) => Err(Response::error(StatusCode::BAD_REQUEST, format!("the body was cut: {error}"))),
            Err(_) => Err(Response::error(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {} s", WITHIN.as_secs()),
            )),
        }
    }

    /// `None` when it is too large. Then a good part of the rest is read and thrown away: a client whose body is not read
    /// sees its connection break instead of the sentence that tells why.
    async fn whole(&self, mut body: Incoming) -> Result<Option<(Bytes, Turn)>, hyper::Error> {
        let mut kept = BytesMut::new();
        let mut turn = None;
        let mut seen = 0_usize;
        let mut fits = body.size_hint().lower() <= BODY_LIMIT as u64;
        while seen <= DISCARD_LIMIT
            && let Some(frame) = body.frame().await
        {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            seen = seen.saturating_add(data.len());
            fits = fits && seen <= BODY_LIMIT;
            if !fits {
                (kept, turn) = (BytesMut::new(), None);
                continue;
            }
            if seen > SMALL && turn.is_none() {
                turn = Some(self.large.clone().lock_owned().await);
            }
            kept.extend_from_slice(&data);
        }
        Ok(fits.then(|| (kept.freeze(), turn)))
    }
}
