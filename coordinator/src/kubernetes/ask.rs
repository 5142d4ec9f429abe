//! One request to the API server. One that is not answered is not waited for: the cluster's other work must go on.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::failure::whole;

/// How long an answer is waited for.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How many requests are under way at once, watches and the Lease's not counted: each has a connection, with buffers, and
/// many clusters may have many to make.
static AT_ONCE: Semaphore = Semaphore::const_new(16);

/// The answer to a request about `what`. The error is a sentence.
pub async fn ask<T>(what: impl Display, request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    ask_unless(what, &[], request).await.and_then(|answer| answer.ok_or_else(|| "it has gone".to_owned()))
}

/// The API server's code for an object that has changed since it was seen: no error where the next decision is made on what
/// there is then.
pub const CHANGED: u16 = 409;
/// The code for one that is gone.
pub const GONE: u16 = 404;

/// The same; `None` for the codes that are no error there.
pub async fn ask_unless<T>(
    what: impl Display,
    excused: &[u16],
    request: impl Future<Output = kube::Result<T>>,
) -> Result<Option<T>, String> {
    ask_within(DEADLINE, what, excused, request).await
}

/// The same, within `time`.
pub async fn ask_within<T>(
    time: Duration,
    what: impl Display,
    excused: &[u16],
    request: impl Future<Output = kube::Result<T>>,
) -> Result<Option<T>, String> {
    let request = Box::pin(request);
    let one_of_few = async move {
        // It is never closed.
        let _one = AT_ONCE.acquire().await;
        request.await
    };
    match tokio::time::timeout(time, one_of_few).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(kube::Error::Api(status))) if excused.contains(&status.code) => {
            tracing::debug!(%what, code = status.code, "it has changed meanwhile; decides anew");
            Ok(None)
        }
        Ok(Err(error)) => Err(format!("{what}: {}", whole(&error))),
        Err(_) => Err(format!("{what}: the API server has not answered for {} s; tries again", time.as_secs())),
    }
}
