//! The rights that the chart gives are enough, and each of them is needed: with all of them nothing is refused, and without
//! any one of them something is, and the coordinator tells it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redisnode_tests::kube::{Coordinator, Kubernetes, Request, Requests, Rights, StandIns};
use redisnode_tests::ports::Ports;
use redisnode_tests::turn::Turn;
use redisnode_tests::wait::wait_until;
use serde_json::{Value, json};

/// How many coordinators work at once.
const AT_ONCE: usize = 6;
/// How long each thing that is asked of a coordinator may take.
const WITHIN: Duration = Duration::from_secs(40);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Group, resource and verb.
type Right = (String, String, String);

#[test]
fn the_rights_of_the_chart_are_enough_and_each_of_them_is_needed() {
    let _turn = Turn::alone();
    let ports = Ports::take();
    let Some(kube) = Kubernetes::control_plane(ports.first) else { return };
    kube.apply(include_str!("../../../charts/redis-coordinator/files/crd.yaml"));
    let rights = kube.chart_rights("co", true);
    let _pods = StandIns::start(&kube, &ports);
    let all = rights.all();
    assert!(all.len() > 20, "{all:?}");
    let cases = std::iter::once(None).chain(all.into_iter().map(Some)).enumerate();
    let cases = Mutex::new(cases);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some((number, missing)) = { cases.lock().unwrap().next() } {
            if let Err(why) = Case::begin(&kube, &rights, number, missing).run() {
                wrong.lock().unwrap().push(why);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A coordinator in a namespace of its own, perhaps without one of its rights.
struct Case<'k> {
    kube: &'k Kubernetes,
    namespace: String,
    missing: Option<Right>,
    requests: Requests,
    coordinator: Coordinator,
    kubeconfig: std::path::PathBuf,
}

/// Why a case does not go on.
enum Stop {
    /// Something was refused.
    Refused(Vec<Request>),
    /// It takes too long.
    Late(String),
}

impl<'k> Case<'k> {
    fn begin(kube: &'k Kubernetes, rights: &Rights, number: usize, missing: Option<Right>) -> Self {
        let namespace = format!("rights-{number}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        kube.api().create("/api/v1/namespaces", &object).unwrap();
        let given = missing.as_ref().map_or_else(|| rights.clone(), |right| rights.without(right));
        let kubeconfig = kube.account(&namespace, &given);
        let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        wait_until(WITHIN, "the namespace has its account", || kube.api().get(&account));
        let coordinator = kube.coordinator(&kubeconfig, &namespace, true, "co-0");
        let requests = kube.requests_after(&namespace, 0);
        Self { kube, namespace, missing, requests, coordinator, kubeconfig }
    }

    /// What is wrong, if anything is.
    fn run(mut self) -> Result<(), String> {
        let ended = self.drive();
        let log = self.coordinator.log();
        let Some(missing) = &self.missing else {
            return match ended {
                Ok(()) => Ok(()),
                Err(Stop::Refused(refused)) => Err(format!("with all rights: {refused:?}")),
                Err(Stop::Late(why)) => Err(format!("with all rights: {why}\n{log}")),
            };
        };
        let (group, resource, verb) = missing;
        match ended {
            Ok(()) => Err(format!("{verb} of {resource} ({group}) is never used: the chart need not give it")),
            Err(Stop::Late(why)) => Err(format!("without {verb} of {resource}: nothing is refused, but {why}\n{log}")),
            Err(Stop::Refused(refused)) => {
                let other: BTreeSet<_> = refused.iter().map(right_of).filter(|right| right != missing).collect();
                let told = wait_until_told(&self.coordinator);
                match (other.is_empty(), told) {
                    (true, true) => Ok(()),
                    (false, _) => Err(format!("without {verb} of {resource}: these are missing too: {other:?}")),
                    (true, false) => Err(format!("without {verb} of {resource}: it tells nobody:\n{log}")),
                }
            }
        }
    }

    /// All that a coordinator ever does on the API.
    fn drive(&mut self) -> Result<(), Stop> {
        let spec = json!({"numberOfMaster": 1, "replicationFactor": 1});
        let object = json!({"apiVersion": "redisnode.io/v1alpha1", "kind": "RedisCluster", "metadata": {"name": "rc"}, "spec": spec});
        let clusters = self.path("apis/redisnode.io/v1alpha1", "redisclusters");
        self.kube.api().create(&clusters, &object).unwrap();
        self.wait("the cluster is Ready", |case| case.ready(2))?;
        self.wait("each pod has its role", Self::labelled)?;
        self.wait("nobody may found it any more", |case| {
            let secret = case.kube.api().get(&case.path("api/v1", "secrets/rc-token"))?;
            if secret["data"]["may-found"].is_null() { Ok(()) } else { Err("it says so still".to_owned()) }
        })?;
        self.edit(&json!({"replicationFactor": 2}));
        self.wait("it has grown", |case| case.ready(3))?;
        let before = self.uids("api/v1", "pods").unwrap();
        let container = json!({"name": "redis", "image": "valkey:next"});
        self.edit(&json!({"podTemplate": {"spec": {"containers": [container]}}}));
        self.wait("all pods are new", |case| {
            case.ready(3)?;
            let now = case.uids("api/v1", "pods")?;
            if now.is_disjoint(&before) { Ok(()) } else { Err(format!("{before:?} became {now:?}")) }
        })?;
        for (group, what) in
            [("api/v1", "services/rc"), ("api/v1", "services/rc-nodes"), ("apis/policy/v1", "poddisruptionbudgets/rc")]
        {
            self.remade(group, what)?;
        }
        self.succeeded()
    }

    /// Deletes an object; it comes back.
    fn remade(&mut self, group: &str, what: &str) -> Result<(), Stop> {
        let path = self.path(group, what);
        let uid = self.kube.api().get(&path).unwrap()["metadata"]["uid"].clone();
        self.kube.api().delete(&path, None).unwrap();
        self.wait(&format!("{what} is made anew"), |case| {
            let now = case.kube.api().get(&path)?["metadata"]["uid"].clone();
            if now == uid { Err("it is the old one".to_owned()) } else { Ok(()) }
        })
    }

    /// Another one leads, and does what is asked.
    fn succeeded(&mut self) -> Result<(), Stop> {
        let next = self.kube.coordinator(&self.kubeconfig, &self.namespace, true, "co-1");
        self.coordinator.signal(Signal::SIGTERM);
        self.wait(
            "the first one ends",
            |case| {
                if case.coordinator.has_ended() { Ok(()) } else { Err("it runs".to_owned()) }
            },
        )?;
        self.coordinator = next;
        self.edit(&json!({"replicationFactor": 1}));
        self.wait("the next one goes on", |case| case.ready(2))
    }

    fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), Stop> {
        let end = Instant::now() + WITHIN;
        loop {
            let news = self.requests.news();
            let refused: Vec<Request> = news.into_iter().filter(|request| request.code == 403).collect();
            if !refused.is_empty() {
                return Err(Stop::Refused(refused));
            }
            match done(self) {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() > end => return Err(Stop::Late(format!("{what}: not in time: {why}"))),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn path(&self, group: &str, rest: &str) -> String {
        format!("/{group}/namespaces/{}/{rest}", self.namespace)
    }

    fn edit(&self, spec: &Value) {
        let path = self.path("apis/redisnode.io/v1alpha1", "redisclusters/rc");
        self.kube.api().patch(&path, &json!({ "spec": spec })).unwrap();
    }

    /// Whether the cluster is Ready as it is wanted now, with so many members.
    fn ready(&self, members: usize) -> Result<(), String> {
        let resource = self.kube.api().get(&self.path("apis/redisnode.io/v1alpha1", "redisclusters/rc"))?;
        let status = &resource["status"];
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        let newest = status["observedGeneration"] == resource["metadata"]["generation"];
        let all = status["nodes"].as_array().is_some_and(|nodes| nodes.len() == members);
        if ready && newest && all { Ok(()) } else { Err(status.to_string()) }
    }

    fn labelled(&mut self) -> Result<(), String> {
        let pods = self.kube.api().list(&self.path("api/v1", "pods"))?;
        let roles: Vec<&Value> = pods.iter().map(|pod| &pod["metadata"]["labels"]["redisnode.io/role"]).collect();
        if roles.iter().all(|role| role.is_string()) { Ok(()) } else { Err(format!("{roles:?}")) }
    }

    fn uids(&self, group: &str, kind: &str) -> Result<BTreeSet<String>, String> {
        let all = self.kube.api().list(&self.path(group, kind))?;
        Ok(all.iter().filter_map(|object| object["metadata"]["uid"].as_str().map(str::to_owned)).collect())
    }
}

/// The right that a refused request would have needed, by the API server's own words.
fn right_of(request: &Request) -> Right {
    let words = &request.message;
    if words.contains("cannot set blockOwnerDeletion") {
        return ("redisnode.io".to_owned(), "redisclusters/finalizers".to_owned(), "update".to_owned());
    }
    // The answer to who asked for metadata alone has no words in the log.
    if words.is_empty() {
        let (group, resource) = match request.what.split_once('/') {
            Some((group, resource)) if group.contains('.') || group == "apps" => (group, resource),
            _ => ("", request.what.as_str()),
        };
        return (group.to_owned(), resource.to_owned(), request.verb.clone());
    }
    let after = |mark: &str| words.split_once(mark).map_or("", |(_, rest)| rest);
    let verb = after(" cannot ").split(' ').next().unwrap_or_default();
    let resource = after("resource \"").split('"').next().unwrap_or_default();
    let group = after("API group \"").split('"').next().unwrap_or_default();
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

/// Whether the log says that something is forbidden: it is written a moment after the answer.
fn wait_until_told(coordinator: &Coordinator) -> bool {
    let told = || if coordinator.log().contains("forbidden") { Ok(()) } else { Err(String::new()) };
    redisnode_tests::wait::poll(Duration::from_secs(3), told).is_ok()
}
