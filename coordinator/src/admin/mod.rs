//! The coordinator's HTTP: probes, metrics, a page for people, and the status as JSON. It only shows.

pub mod fleet;
mod metrics;
mod page;

use std::sync::Arc;

use redisnode_http::routes::{LIVE, LIVEZ, METRICS, READY, READYZ};
use redisnode_http::{Guard, Method, Request, Response, StatusCode, serve};
use redisnode_proto::Millis;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::reconcile::Shown;

/// The resource with its status, as JSON.
pub const STATUS: &str = "/v1/status";
/// What is done, what is next, and what is not done and why, as JSON.
pub const PLAN: &str = "/v1/plan";

/// The loop decides every few seconds at least; one that has not for so long hangs.
const ALIVE_FOR: Millis = Millis(10_000);

/// Serves until it is dropped.
pub async fn run(listener: TcpListener, guard: Guard, shown: watch::Receiver<Shown>, clock: Clock) {
    let admin = move |request: Request| {
        let answer = answer(&request, &shown.borrow(), clock.now());
        std::future::ready(answer)
    };
    serve(listener, guard, Arc::new(admin), std::future::pending()).await;
}

fn answer(request: &Request, shown: &Shown, now: Millis) -> Response {
    if request.method != Method::GET {
        return Response::error(StatusCode::METHOD_NOT_ALLOWED, "the coordinator only shows: use GET");
    }
    let text = "text/plain; charset=utf-8";
    match request.path.as_str() {
        LIVEZ | LIVE if now.since(shown.decided_at) <= ALIVE_FOR => Response::text(text, "ok\n"),
        LIVEZ | LIVE => not_now("no decision was made for 10 s: the coordinator hangs"),
        READYZ | READY if shown.resource.is_some() => Response::text(text, "ok\n"),
        READYZ | READY => not_now("no decision was made yet"),
        METRICS => Response::text("text/plain; version=0.0.4; charset=utf-8", metrics::text(shown)),
        "/" => Response::text("text/html; charset=utf-8", page::html(shown)),
        STATUS => match &shown.resource {
            Some(resource) => Response::json(&**resource),
            None => not_now("no decision was made yet"),
        },
        PLAN => Response::json(&serde_json::json!({ "next": shown.next, "declined": shown.declined })),
        _ => Response::not_found(request),
    }
}

fn not_now(sentence: &str) -> Response {
    Response::error(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, shown: &Shown, now: u64) -> StatusCode {
        let request = Request {
            method: Method::GET,
            path: path.to_owned(),
            query: String::new(),
            body: [].as_slice().into(),
            peer: "127.0.0.1:1".parse().unwrap(),
            authorised: true,
        };
        answer(&request, shown, Millis(now)).status
    }

    #[test]
    fn a_coordinator_that_has_not_decided_is_alive_but_not_ready_and_then_it_hangs() {
        let shown = Shown::default();
        assert_eq!(get("/livez", &shown, 1000), StatusCode::OK);
        assert_eq!(get("/readyz", &shown, 1000), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/livez", &shown, 10_001), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/metrics", &shown, 0), StatusCode::OK);
        assert_eq!(get("/", &shown, 0), StatusCode::OK);
        assert_eq!(get("/nothing", &shown, 0), StatusCode::NOT_FOUND);
    }
}
