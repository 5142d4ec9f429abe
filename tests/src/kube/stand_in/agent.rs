//! The agents of one cluster of stand-ins: HTTP as the real ones speak it, over the cluster's world.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use redisnode_http::routes::{self, Listen, ReportQuery};
use redisnode_http::server::listen;
use redisnode_http::{Guard, Method, Request, Response, StatusCode, serve};
use redisnode_proto::message::{Ack, LayoutAnswer};
use redisnode_proto::{Address, ClusterId, Generation, Layout, Member, NodeName, Report};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::report::report;
use super::world::World;

/// How often a real agent tells of nothing but memory and offsets.
const TICK: Duration = Duration::from_secs(10);

/// A cluster, shared by its agents.
#[derive(Debug)]
pub(super) struct Cluster {
    state: Mutex<State>,
    runtime: Handle,
}

#[derive(Debug)]
struct State {
    world: World,
    agents: BTreeMap<NodeName, watch::Sender<Arc<Report>>>,
}

impl Cluster {
    pub(super) fn start(id: ClusterId, runtime: &Handle) -> Arc<Self> {
        let state = Mutex::new(State { world: World::new(id), agents: BTreeMap::new() });
        let cluster = Arc::new(Self { state, runtime: runtime.clone() });
        let ticking = Arc::clone(&cluster);
        // It ends with the runtime.
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let mut state = ticking.state();
                state.world.ticks += 1;
                state.tell();
            }
        });
        cluster
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    pub(super) fn answers(&self) -> Vec<(NodeName, Generation, LayoutAnswer)> {
        self.state().world.answers.clone()
    }

    /// A pod begins: its agent answers from now on, and that of the pod of this name before it does not.
    pub(super) fn begin(self: &Arc<Self>, member: Member, address: Address) -> io::Result<()> {
        let name = member.name.clone();
        let listener = listen(address.agent())?;
        let reports = {
            let mut state = self.state();
            state.world.begin(member, address);
            let first = state.world.nodes.get(&name).map(|node| report(&state.world, node, 1));
            let sender = watch::Sender::new(Arc::new(first.expect("it has just begun")));
            let reports = sender.subscribe();
            state.agents.insert(name.clone(), sender);
            state.tell();
            reports
        };
        let mut ended = reports.clone();
        let cluster = Arc::clone(self);
        let handler = move |request: Request| answer(Arc::clone(&cluster), name.clone(), reports.clone(), request);
        // The sender goes when another pod takes its place.
        let stop = async move { while ended.changed().await.is_ok() {} };
        self.runtime.spawn(async move { serve(listener, Guard::Open, Arc::new(handler), stop).await });
        Ok(())
    }
}

impl State {
    /// Tells what has changed, each Report with a number of its own.
    fn tell(&mut self) {
        for (name, agent) in &self.agents {
            let Some(node) = self.world.nodes.get(name) else { continue };
            agent.send_if_modified(|told| {
                let mut next = report(&self.world, node, told.revision);
                let news = next != **told;
                if news {
                    next.revision += 1;
                    *told = Arc::new(next);
                }
                news
            });
        }
    }
}

async fn answer(
    cluster: Arc<Cluster>,
    name: NodeName,
    reports: watch::Receiver<Arc<Report>>,
    request: Request,
) -> Response {
    let method = request.method.clone();
    match (method, request.path.as_str()) {
        (Method::GET, routes::REPORT) => match ReportQuery::parse(&request.query) {
            Ok(query) => next_report(query, reports).await,
            Err(sentence) => Response::error(StatusCode::BAD_REQUEST, sentence),
        },
        (Method::PUT, routes::LAYOUT) => match request.json::<Layout>() {
            Ok(layout) => {
                let mut state = cluster.state();
                let answer = state.world.take(&name, layout);
                state.tell();
                Response::json(&answer)
            }
            Err(refusal) => refusal,
        },
        (Method::GET, routes::LAYOUT) => match &reports.borrow().ledger.layout {
            Some(layout) => Response::json(layout),
            None => Response::nothing(),
        },
        (Method::POST, routes::HELLO) => Response::json(&**reports.borrow()),
        (Method::POST, routes::RESTART) => Response::json(&Ack::Done),
        _ => Response::not_found(&request),
    }
}

/// A Report that the caller does not have; nothing if none comes.
async fn next_report(query: ReportQuery, mut reports: watch::Receiver<Arc<Report>>) -> Response {
    let is_news = |report: &Arc<Report>| match query.after {
        Some(Listen { life, revision }) => report.life != life || report.revision > revision,
        None => true,
    };
    // Whether it came in time or not: what is there now is the answer.
    drop(tokio::time::timeout(query.wait, reports.wait_for(is_news)).await);
    let report = Arc::clone(&reports.borrow());
    if is_news(&report) { Response::json(&*report) } else { Response::nothing() }
}
