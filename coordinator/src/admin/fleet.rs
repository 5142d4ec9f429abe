//! HTTP of a coordinator of many clusters: probes, metrics of all, and a list for people. It only shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use redisnode_http::routes::{LIVE, LIVEZ, METRICS, READY, READYZ};
use redisnode_http::{Guard, Method, Request, Response, StatusCode, serve};
use redisnode_proto::Millis;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics;
use crate::clock::Clock;
use crate::reconcile::Shown;

/// What is shown of all clusters, by namespace and name.
pub type AllShown = Arc<Mutex<BTreeMap<(String, String), watch::Receiver<Shown>>>>;

/// A loop decides every few seconds at least. Writes to an API server that does not answer hold it up, each for some seconds;
/// one that has not decided for so long hangs.
const ALIVE_FOR: Millis = Millis(180_000);

/// Serves until it is dropped. One that waits for the lead is alive and ready: it takes over when it must.
pub async fn run(listener: TcpListener, all: AllShown, clock: Clock) {
    let admin = move |request: Request| std::future::ready(answer(&request, &all, clock.now()));
    serve(listener, Guard::Open, Arc::new(admin), std::future::pending()).await;
}

fn answer(request: &Request, all: &AllShown, now: Millis) -> Response {
    if request.method != Method::GET {
        return Response::error(StatusCode::METHOD_NOT_ALLOWED, "the coordinator only shows: use GET");
    }
    let shown: Vec<((String, String), Shown)> = {
        let all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(key, shown)| (key.clone(), shown.borrow().clone())).collect()
    };
    match request.path.as_str() {
        LIVEZ | LIVE => match hanging(&shown, now) {
            Some((namespace, name)) => Response::error(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("nothing was decided about {namespace}/{name} for {} s: its loop hangs", ALIVE_FOR.0 / 1000),
            ),
            None => Response::text("text/plain; charset=utf-8", "ok\n"),
        },
        READYZ | READY => Response::text("text/plain; charset=utf-8", "ok\n"),
        METRICS => {
            let text = metrics::of_all(shown.iter().map(|(_, shown)| shown));
            Response::text("text/plain; version=0.0.4; charset=utf-8", text)
        }
        "/" => Response::text("text/plain; charset=utf-8", list(&shown)),
        _ => Response::not_found(request),
    }
}

/// A cluster whose loop has begun to decide, and has stopped.
fn hanging(all: &[((String, String), Shown)], now: Millis) -> Option<&(String, String)> {
    let hangs = |shown: &Shown| shown.resource.is_some() && now.since(shown.decided_at) > ALIVE_FOR;
    all.iter().find(|(_, shown)| hangs(shown)).map(|(key, _)| key)
}

fn list(all: &[((String, String), Shown)]) -> String {
    if all.is_empty() {
        return "no clusters, or another coordinator leads\n".to_owned();
    }
    let line = |((namespace, name), shown): &((String, String), Shown)| {
        let status = shown.resource.as_ref().and_then(|resource| resource.status.as_ref());
        let columns = status.map(redisnode_proto::status::ClusterStatus::in_columns).unwrap_or_default();
        format!("{namespace}/{name}  {}  {}\n", columns.pods, columns.operation)
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use redisnode_proto::spec::RedisCluster;

    use super::*;

    #[test]
    fn a_loop_that_has_decided_and_does_no_more_hangs_and_one_that_has_not_begun_does_not() {
        let key = ("there".to_owned(), "my".to_owned());
        let value = serde_json::json!({
            "apiVersion": "redisnode.io/v1alpha1", "kind": "RedisCluster", "metadata": { "name": "my" },
        });
        let resource: RedisCluster = serde_json::from_value(value).unwrap();
        let decided = Shown { resource: Some(resource.into()), decided_at: Millis(1000), ..Shown::default() };
        let late = Millis(1001 + ALIVE_FOR.0);
        assert_eq!(hanging(&[(key.clone(), decided.clone())], Millis(1000 + ALIVE_FOR.0)), None);
        assert_eq!(hanging(&[(key.clone(), decided)], late), Some(&key));
        assert_eq!(hanging(&[(key, Shown::default())], late), None);
    }
}
