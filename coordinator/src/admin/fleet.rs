//! HTTP of a coordinator of many clusters: probes, metrics of all, and a list for people. It only shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use redisnode_http::routes::{LIVE, LIVEZ, METRICS, READY, READYZ};
use redisnode_http::{Guard, Method, Request, Response, StatusCode, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics;
use crate::reconcile::Shown;

/// What is shown of all clusters, by namespace and name.
pub type AllShown = Arc<Mutex<BTreeMap<(String, String), watch::Receiver<Shown>>>>;

/// Serves until it is dropped. One that waits for the lead is alive and ready: it takes over when it must.
pub async fn run(listener: TcpListener, all: AllShown) {
    let admin = move |request: Request| std::future::ready(answer(&request, &all));
    serve(listener, Guard::Open, Arc::new(admin), std::future::pending()).await;
}

fn answer(request: &Request, all: &AllShown) -> Response {
    if request.method != Method::GET {
        return Response::error(StatusCode::METHOD_NOT_ALLOWED, "the coordinator only shows: use GET");
    }
    let shown: Vec<((String, String), Shown)> = {
        let all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(key, shown)| (key.clone(), shown.borrow().clone())).collect()
    };
    match request.path.as_str() {
        LIVEZ | LIVE | READYZ | READY => Response::text("text/plain; charset=utf-8", "ok\n"),
        METRICS => {
            let text = metrics::of_all(shown.iter().map(|(_, shown)| shown));
            Response::text("text/plain; version=0.0.4; charset=utf-8", text)
        }
        "/" => Response::text("text/plain; charset=utf-8", list(&shown)),
        _ => Response::not_found(request),
    }
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
