//! The Lease: one coordinator leads, and every term that was ever used is written on it.
//!
//! The terms of all clusters are one row of numbers, kept in an annotation and raised by compare-and-swap, so that no two
//! lives share one although many clusters take theirs here.

mod judgement;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::Mutex;

use self::judgement::{DURATION, GIVE_UP_AFTER, RENEW_EVERY, Seen, Verdict, Watched, lasts, may_write};
use crate::failure::whole;
use crate::term::TermStore;

/// The annotation with the highest term that was taken.
const TERM: &str = "redisnode.io/term";

/// Where the Lease is and who we are.
#[derive(Clone, Debug)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Our name: the pod's.
    pub identity: String,
}

/// Leadership that was won. Clones are the same leadership.
#[derive(Clone)]
pub struct Leadership {
    inner: Arc<Inner>,
}

struct Inner {
    api: Api<Lease>,
    me: String,
    life: i32,
    /// The Lease as it was written last, and when that write was sent.
    held: Mutex<Held>,
}

struct Held {
    lease: Lease,
    renewed_at: Instant,
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Leadership").field(&self.inner.me).finish()
    }
}

/// Waits until this process leads.
pub async fn win(client: Client, name: &LeaseName) -> Leadership {
    let api: Api<Lease> = Api::namespaced(client, &name.namespace);
    let mut watched = Watched::default();
    let mut told = None;
    loop {
        match attempt(&api, name, &mut watched).await {
            Ok(Some(held)) => {
                tracing::info!(identity = name.identity, "leads from now on");
                let life = held.lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
                return Leadership {
                    inner: Arc::new(Inner { api, me: name.identity.clone(), life, held: Mutex::new(held) }),
                };
            }
            Ok(None) => {
                let holder = watched.holder().map(str::to_owned);
                if told != holder {
                    tracing::info!(holder, "waits: another coordinator leads");
                    told = holder;
                }
            }
            Err(why) => tracing::warn!(why, "cannot use the Lease; tries again"),
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn attempt(api: &Api<Lease>, name: &LeaseName, watched: &mut Watched) -> Result<Option<Held>, String> {
    let sent = Instant::now();
    let found = within(api.get_opt(&name.name)).await?;
    let Some(lease) = found else {
        let metadata = ObjectMeta { name: Some(name.name.clone()), ..ObjectMeta::default() };
        let mut lease = Lease { metadata, spec: None };
        sign(&mut lease, &name.identity, true);
        return write(api.create(&PostParams::default(), &lease), sent).await;
    };
    if watched.saw(seen(&lease), &name.identity, Instant::now()) == Verdict::Follow {
        return Ok(None);
    }
    // Also for a Lease that is ours already: this process is another one than the one that took it.
    let mut lease = lease;
    sign(&mut lease, &name.identity, true);
    let sent = Instant::now();
    write(api.replace(&name.name, &PostParams::default(), &lease), sent).await
}

/// The Lease as it was written; none after a conflict, which means that somebody else wrote first.
async fn write(
    written: impl Future<Output = Result<Lease, kube::Error>>,
    sent: Instant,
) -> Result<Option<Held>, String> {
    let conflict_is_none = async {
        match written.await {
            Ok(lease) => Ok(Some(Held { lease, renewed_at: sent })),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    };
    within(conflict_is_none).await
}

/// One request. What takes longer says too little of what is: the next one is as good.
async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
    let answer = tokio::time::timeout(GIVE_UP_AFTER, request).await;
    answer.map_err(|_| "the API server does not answer".to_owned())?.map_err(|error| whole(&error))
}

fn seen(lease: &Lease) -> Seen {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Seen {
        holder: spec.holder_identity,
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        duration: seconds.map_or(DURATION, Duration::from_secs),
    }
}

fn sign(lease: &mut Lease, identity: &str, is_new: bool) {
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    let now = MicroTime(Timestamp::now());
    if is_new {
        spec.acquire_time = Some(now.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
    spec.renew_time = Some(now);
}

fn term_on(lease: &Lease) -> Result<u64, String> {
    let Some(text) = lease.annotations().get(TERM) else { return Ok(0) };
    text.parse()
        .map_err(|_| format!("the Lease's annotation {TERM} is {text:?}: write the highest term ever used there"))
}

impl Leadership {
    /// Renews until that fails for too long or another one leads. The answer says why.
    pub async fn keep(&self) -> String {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let mut held = self.inner.held.lock().await;
            if let Err(why) = self.renew(&mut held, |_| Ok(())).await {
                if !may_write(held.renewed_at.elapsed()) {
                    return format!("the Lease could not be renewed for {} s: {why}", GIVE_UP_AFTER.as_secs());
                }
                tracing::warn!(why, "cannot renew the Lease; tries again");
            }
            if let Some(holder) = self.lost_to(&held) {
                return format!("{holder} leads now");
            }
        }
    }

    /// Whether this process may still write. False for one that has slept.
    pub async fn holds(&self) -> bool {
        may_write(self.inner.held.lock().await.renewed_at.elapsed())
    }

    /// For how much longer nobody else leads, for sure; zero for one that may not write any more.
    pub async fn lasts(&self) -> Duration {
        lasts(self.inner.held.lock().await.renewed_at.elapsed())
    }

    /// The number of this leader's life: the Lease's count of its takings. It grows with each.
    pub fn life(&self) -> i32 {
        self.inner.life
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub async fn end(&self) {
        let mut held = self.inner.held.lock().await;
        let released = self.renew(&mut held, |lease| {
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
            }
            Ok(())
        });
        if let Err(why) = released.await {
            tracing::warn!(why, "cannot give the Lease back; the next coordinator waits until it is over");
        }
    }

    fn lost_to(&self, held: &Held) -> Option<String> {
        let holder = held.lease.spec.as_ref()?.holder_identity.clone()?;
        (holder != self.inner.me).then_some(holder)
    }

    /// Writes the Lease, signed now and changed by `change`. After a conflict the Lease is read anew: a term of our own may
    /// have been written meanwhile, or another one leads.
    async fn renew(
        &self,
        held: &mut Held,
        change: impl Fn(&mut Lease) -> Result<(), String> + Send,
    ) -> Result<(), String> {
        if let Some(holder) = self.lost_to(held) {
            return Err(format!("{holder} leads now"));
        }
        let sent = Instant::now();
        let mut lease = held.lease.clone();
        sign(&mut lease, &self.inner.me, false);
        change(&mut lease)?;
        let name = lease.metadata.name.clone().unwrap_or_default();
        let write = async { self.inner.api.replace(&name, &PostParams::default(), &lease).await };
        let written = tokio::time::timeout(RENEW_EVERY, write).await.map_err(|_| "no answer".to_owned())?;
        match written {
            Ok(lease) => {
                *held = Held { lease, renewed_at: sent };
                Ok(())
            }
            Err(error) => {
                if let Ok(Ok(lease)) = tokio::time::timeout(RENEW_EVERY, self.inner.api.get(&name)).await {
                    held.lease = lease;
                }
                Err(whole(&error))
            }
        }
    }

    /// The terms of one cluster's coordinator.
    pub async fn terms(&self) -> Result<LeaseTerms, String> {
        let written = term_on(&self.inner.held.lock().await.lease)?;
        Ok(LeaseTerms { leadership: self.clone(), written })
    }
}

/// Terms that are written on the Lease.
#[derive(Debug)]
pub struct LeaseTerms {
    leadership: Leadership,
    written: u64,
}

impl TermStore for LeaseTerms {
    fn written(&self) -> u64 {
        self.written
    }

    async fn write(&mut self, term: u64) -> Result<(), String> {
        let mut held = self.leadership.inner.held.lock().await;
        // Other clusters take theirs from the same row.
        self.written = term_on(&held.lease)?;
        if term <= self.written {
            return Err(format!("term {term} was taken meanwhile; the next decision takes a higher one"));
        }
        let raised = |lease: &mut Lease| {
            lease.annotations_mut().insert(TERM.to_owned(), term.to_string());
            Ok(())
        };
        self.leadership.renew(&mut held, raised).await?;
        self.written = term;
        Ok(())
    }
}
