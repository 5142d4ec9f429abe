//! What service accounts asked of the API server, from its audit log. Kubernetes' own accounts are not in it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use super::Kubernetes;

/// One request of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` …
    pub verb: String,
    /// The group, the resource and, if any, the subresource: `apps/statefulsets/scale`; the path, of other requests.
    pub what: String,
    /// Of which namespace, if of one.
    pub namespace: Option<String>,
    /// The answer's HTTP code; 403 is forbidden.
    pub code: u64,
    /// The pod that asked, if its token is a pod's own.
    pub pod: Option<String>,
    /// When it arrived: UTC as RFC 3339 writes it, so that texts compare as times do.
    pub at: String,
    /// What the API server said about it, if it refused.
    pub message: String,
}

/// The requests of a namespace's accounts, as they come in.
#[derive(Debug)]
pub struct Requests {
    log: PathBuf,
    read: u64,
    /// As it is written in the log.
    of: String,
}

impl Kubernetes {
    /// The requests of a namespace's accounts since the cluster began, in the order of their answers.
    pub fn requests(&self, namespace: &str) -> Vec<Request> {
        self.requests_after(namespace, 0).news()
    }

    /// As they come in, all that are behind the first `read` bytes of the log.
    pub fn requests_after(&self, namespace: &str, read: u64) -> Requests {
        let log = self.folder().join("logs/audit.log");
        Requests { log, read, of: format!("\"system:serviceaccount:{namespace}:") }
    }

    /// What a pod of the namespace has changed, as far as the API server let it: all but what only reads.
    pub fn changes_of(&self, namespace: &str, pod: &str) -> Vec<Request> {
        let reads = ["get", "list", "watch"];
        let mut all = self.requests(namespace);
        all.retain(|request| request.pod.as_deref() == Some(pod) && request.code < 300);
        all.retain(|request| !reads.contains(&request.verb.as_str()));
        all
    }

    /// Those that were refused for want of rights.
    pub fn forbidden(&self, namespace: &str) -> Vec<Request> {
        self.requests(namespace).into_iter().filter(|request| request.code == 403).collect()
    }
}

impl Requests {
    /// Those that have come since the last time.
    pub fn news(&mut self) -> Vec<Request> {
        let mut text = String::new();
        // There is none before the first request.
        let Ok(mut log) = File::open(&self.log) else { return Vec::new() };
        let read = log.seek(SeekFrom::Start(self.read)).and_then(|_| log.read_to_string(&mut text));
        read.unwrap_or_else(|error| panic!("{}: {error}", self.log.display()));
        // The last line may be half written.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        self.read += text.len() as u64;
        let own = text.lines().filter(|line| line.contains(&self.of));
        let events = own.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mine = |request: &Request| self.of.get(1..).is_some_and(|of| request.user.starts_with(of));
        events.filter_map(|event| request(&event)).filter(mine).collect()
    }
}

fn request(event: &Value) -> Option<Request> {
    let text = |at: &str| event.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let parts = ["/objectRef/apiGroup", "/objectRef/resource", "/objectRef/subresource"].map(text);
    let what = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    Some(Request {
        user: text("/user/username")?,
        verb: text("/verb")?,
        what: if what.is_empty() { text("/requestURI")? } else { what },
        namespace: text("/objectRef/namespace"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_u64)?,
        pod: text("/user/extra/authentication.kubernetes.io~1pod-name/0"),
        at: text("/requestReceivedTimestamp")?,
        message: text("/responseStatus/message").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::request;

    #[test]
    fn a_request_names_its_group_and_subresource() {
        let user = serde_json::json!({"username": "system:serviceaccount:n:a",
            "extra": {"authentication.kubernetes.io/pod-name": ["a-1"]}});
        let event = serde_json::json!({"user": user, "verb": "patch", "responseStatus": {"code": 403},
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000001Z", "objectRef": {"apiGroup": "apps", "resource": "statefulsets", "subresource": "scale", "namespace": "n"}});
        let request = request(&event).unwrap();
        assert_eq!((request.what.as_str(), request.code), ("apps/statefulsets/scale", 403));
        assert_eq!(request.pod.as_deref(), Some("a-1"));
    }
}
