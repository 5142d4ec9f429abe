//! The agent's HTTP: probes, metrics, and `/v1`. Handlers leave word in the shared state and wait for what the loop
//! makes of it; none of them decides.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redisnode_agent_core::health;
use redisnode_agent_core::obey::judge_layout;
use redisnode_agent_core::situation::ReceivedNotice;
use redisnode_agent_core::takeover::refusal_of_retired;
use redisnode_http::routes::{self, Listen, ReportQuery};
use redisnode_http::{Handler, Method, Request, Response, StatusCode};
use redisnode_proto::event::Severity;
use redisnode_proto::message::{
    Ack, DeathNotice, HandoffRequest, Hello, ImportRequest, LayoutAnswer, OpenSlotsNotice, Outcome, ReceiveRequest,
    ResumeRequest,
};
use redisnode_proto::topology::Role;
use redisnode_proto::{Layout, Report};
use tokio::time::timeout;

use super::imports;
use super::promote_in_order;
use super::receive;
use super::shared::{Shared, whole};

/// How long a caller waits for a fresh look at the server.
const LOOK_WITHIN: Duration = Duration::from_millis(100);
/// How long one answer to a death notice may take; the caller asks again.
const NOTICE_WITHIN: Duration = Duration::from_secs(1);
const HANDOFF_WITHIN: Duration = Duration::from_secs(20);
/// A server that lives but does not answer is excused so long (a long script, a slow disk).
const SILENCE_ALLOWED_MS: u64 = 60_000;

/// Answers for one agent.
pub(super) struct Api(pub(super) Arc<Shared>);

impl Handler for Api {
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send {
        let shared = Arc::clone(&self.0);
        async move { route(&shared, request).await }
    }
}

async fn route(shared: &Arc<Shared>, request: Request) -> Response {
    let (get, put, post) =
        (request.method == Method::GET, request.method == Method::PUT, request.method == Method::POST);
    match request.path.as_str() {
        routes::LIVEZ | routes::LIVE if get => probe(live(shared)),
        routes::READYZ | routes::READY if get => probe(shared.state().ready.clone()),
        routes::METRICS if get => metrics(shared),
        routes::REPORT if get => report(shared, &request).await,
        routes::LAYOUT if get => layout(shared),
        routes::LAYOUT if put => with(&request, |layout| put_layout(shared, layout)),
        routes::HELLO if post => hello(shared, &request).await,
        routes::HANDOFF if post => handoff(shared, &request).await,
        routes::TAKEOVER if post => promote_in_order::takeover(shared, &request).await,
        routes::DEATH_NOTICE if post => death_notice(shared, &request).await,
        routes::IMPORT if post => import(shared, &request).await,
        routes::RECEIVE if post => receive(shared, &request).await,
        routes::OPEN_SLOTS if post => open_slots(shared, &request).await,
        routes::RESUME if post => with(&request, |wish: ResumeRequest| Response::json(&imports::resume(shared, &wish))),
        routes::RESTART if post => restart(shared),
        _ => Response::not_found(&request),
    }
}

fn with<T: serde::de::DeserializeOwned>(request: &Request, act: impl FnOnce(T) -> Response) -> Response {
    match request.json() {
        Ok(body) => act(body),
        Err(refusal) => refusal,
    }
}

fn probe(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => Response::text("text/plain", "ok\n"),
        Err(reason) => Response::error(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

fn live(shared: &Shared) -> Result<(), String> {
    let now = shared.now();
    let state = shared.state();
    let silent = state.silent_since.map_or(0, |since| now.since(since).0);
    health::is_live(&state.server, silent, SILENCE_ALLOWED_MS)
}

fn metrics(shared: &Shared) -> Response {
    let report = Arc::clone(&shared.report.borrow());
    let ready = shared.state().ready.is_ok();
    Response::text("text/plain; version=0.0.4", crate::metrics::render(&report, ready))
}

/// Waits for a Report that the caller does not have; 204 if none comes.
async fn report(shared: &Shared, request: &Request) -> Response {
    let query = match ReportQuery::parse(&request.query) {
        Ok(query) => query,
        Err(sentence) => return Response::error(StatusCode::BAD_REQUEST, sentence),
    };
    let mut reports = shared.report.subscribe();
    let is_news = |report: &Arc<Report>| match query.after {
        Some(Listen { life, revision }) => report.life != life || report.revision > revision,
        None => true,
    };
    let news = timeout(query.wait, reports.wait_for(is_news)).await;
    match news {
        Ok(Ok(report)) => Response::json(&**report),
        Ok(Err(_)) | Err(_) if is_news(&shared.report.borrow()) => Response::json(&**shared.report.borrow()),
        Ok(Err(_)) | Err(_) => Response::nothing(),
    }
}

fn layout(shared: &Shared) -> Response {
    shared.layout().map_or_else(Response::nothing, |layout| Response::json(&layout))
}

/// Fenced by the core; on disk before it is obeyed.
fn put_layout(shared: &Shared, incoming: Layout) -> Response {
    if let Some(reason) = shared.refusal() {
        return Response::json(&LayoutAnswer::Refused { reason });
    }
    let answer = judge_layout(&shared.state().ledger, &incoming);
    if answer != LayoutAnswer::Taken {
        return Response::json(&answer);
    }
    let generation = incoming.generation;
    if let Err(error) = shared.change_ledger(|ledger| ledger.layout = Some(incoming)) {
        return Response::error(StatusCode::INSUFFICIENT_STORAGE, whole(&error));
    }
    tracing::debug!(%generation, "layout taken");
    shared.state().layout_confirmed_at = Some(shared.now());
    shared.wake.notify_one();
    Response::json(&answer)
}

/// A peer says who and where it is, and gets what is so now, not what was so at the last look.
async fn hello(shared: &Shared, request: &Request) -> Response {
    let hello: Hello = match request.json() {
        Ok(hello) => hello,
        Err(refusal) => return refusal,
    };
    shared.state().addresses.insert(hello.member.name, hello.address);
    fresh_look(shared).await;
    Response::json(&**shared.report.borrow())
}

pub(super) async fn fresh_look(shared: &Shared) {
    if shared.state().server.is_certainly_down() {
        // There is nothing to look at, and the word that it is down is as new as can be.
        return;
    }
    let mut looks = shared.looks.subscribe();
    let seen = *looks.borrow_and_update();
    shared.wake.notify_one();
    // A server that is down or hangs gives no look; then the last Report says so. A server's look may have been under
    // way already: the one after it is surely newer than the call.
    drop(timeout(LOOK_WITHIN, looks.wait_for(|looks| *looks > seen)).await);
}

async fn handoff(shared: &Shared, request: &Request) -> Response {
    let wish: HandoffRequest = match request.json() {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let mut looks = shared.looks.subscribe();
    {
        let mut state = shared.state();
        let owns = state.server.running().is_some_and(|running| running.replication.role == Role::Primary);
        if !owns {
            let reason = format!("{} is not a primary: ask the primary of its shard", shared.me.name);
            return Response::json(&Outcome::Refused { reason });
        }
        state.handoff_outcome = None;
        state.inbox.handoff = Some(wish.to);
    }
    shared.wake.notify_one();
    let ended = async {
        loop {
            if let Some(outcome) = shared.state().handoff_outcome.clone() {
                return outcome;
            }
            if looks.changed().await.is_err() {
                return Outcome::Pending { reason: "the agent is ending".into() };
            }
        }
    };
    let pending = Outcome::Pending { reason: "the handoff is still going on; look at the status".into() };
    Response::json(&timeout(HANDOFF_WITHIN, ended).await.unwrap_or(pending))
}

/// Answered by the outcome, as far as it is known within a second.
async fn death_notice(shared: &Shared, request: &Request) -> Response {
    let notice: DeathNotice = match request.json() {
        Ok(notice) => notice,
        Err(refusal) => return refusal,
    };
    if let Some(refused) = refusal_of_retired(&shared.state().ledger) {
        return Response::json(&refused);
    }
    let dead = notice.dead.clone();
    let mut looks = shared.looks.subscribe();
    {
        let mut state = shared.state();
        let known = state.inbox.death.as_ref().is_some_and(|received| received.notice.dead == dead);
        if !known {
            let text = format!("{} certifies that its server {} is dead", notice.by, dead.short());
            state.event(Severity::Warning, "DeathNotice", text);
            state.notice_outcome = None;
            state.inbox.forced_at = None;
            state.inbox.death = Some(ReceivedNotice { notice, at: shared.now() });
        }
    }
    shared.wake.notify_one();
    let settled = async {
        loop {
            let outcome = shared.state().notice_outcome.clone().filter(|(id, _)| *id == dead);
            if let Some((_, outcome)) = outcome {
                return outcome;
            }
            if looks.changed().await.is_err() {
                return Outcome::Pending { reason: "the agent is ending".into() };
            }
        }
    };
    let pending = Outcome::Pending { reason: "the promotion is going on".into() };
    Response::json(&timeout(NOTICE_WITHIN, settled).await.unwrap_or(pending))
}

async fn import(shared: &Shared, request: &Request) -> Response {
    match request.json::<ImportRequest>() {
        Ok(body) => Response::json(&imports::import(shared, &body).await),
        Err(refusal) => refusal,
    }
}

async fn receive(shared: &Shared, request: &Request) -> Response {
    match request.json::<ReceiveRequest>() {
        Ok(body) => Response::json(&receive::receive(shared, &body).await),
        Err(refusal) => refusal,
    }
}

async fn open_slots(shared: &Shared, request: &Request) -> Response {
    match request.json::<OpenSlotsNotice>() {
        Ok(_) if shared.refusal().is_some() => {
            Response::json(&Ack::Refused { reason: shared.refusal().unwrap_or_default() })
        }
        Ok(notice) => Response::json(&imports::note_open_slots(shared, notice).await),
        Err(refusal) => refusal,
    }
}

fn restart(shared: &Shared) -> Response {
    shared.state().restart_wanted = true;
    shared.wake.notify_one();
    Response::json(&Ack::Done)
}
