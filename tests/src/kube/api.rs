//! The Kubernetes API as JSON, over the socket that `kubectl proxy` opens in the cluster's folder: plain HTTP with all
//! rights. It asks in HTTP/1.0, so that an answer ends with its connection; watches are refused, tests poll. Agents are
//! asked in the same way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Namespace, Pod};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where agents answer in pods.
const AGENT_PORT: u16 = 8080;

/// The API of one cluster.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The object or list at a path, as `/api/v1/namespaces/default/pods?labelSelector=app%3Dx`. `Err` begins with the
    /// HTTP code if the API server answered at all.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        self.ask("GET", path, None)
    }

    /// The objects of a list. Empty if there are none; `Err` if that is not known.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, String> {
        match self.get(path)?.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            // The server writes an empty list as null for some kinds.
            Some(Value::Null) => Ok(Vec::new()),
            _ => Err(format!("{path} is not a list")),
        }
    }

    /// Makes an object below a path.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value, String> {
        self.ask("POST", path, Some(("application/json", object)))
    }

    /// A merge patch (RFC 7386).
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value, String> {
        self.ask("PATCH", path, Some(("application/merge-patch+json", patch)))
    }

    /// Deletes what is at a path; `grace` in seconds, 0 to force it away. What is gone already is fine.
    pub fn delete(&self, path: &str, grace: Option<u32>) -> Result<(), String> {
        let mut options = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = grace.into();
        }
        match self.ask("DELETE", path, Some(("application/json", &options))) {
            Err(why) if !why.starts_with("404") => Err(why),
            _ => Ok(()),
        }
    }

    /// Whether nothing is at a path. `Err` if that is not known.
    pub fn is_gone(&self, path: &str) -> Result<bool, String> {
        match self.get(path) {
            Ok(_) => Ok(false),
            Err(why) if why.starts_with("404") => Ok(true),
            Err(why) => Err(why),
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("{method} {path}: {error}");
        let stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let (kind, body) = body.map_or(("", String::new()), |(kind, value)| (kind, value.to_string()));
        let kind = format!("Content-Type: {kind}\r\n");
        converse(stream, &format!("{method} {path}"), if body.is_empty() { "" } else { &kind }, &body)
    }
}

impl Namespace<'_> {
    /// What the agent of a cluster's pod answers, asked with the cluster's token: `ask(pod, "GET /v1/layout", None)`.
    pub fn ask_agent(&self, cluster: &str, pod: &Pod, what: &str, body: Option<&Value>) -> Result<Value, String> {
        let secret = format!("{cluster}-token");
        let token = self.kubectl(&["get", "secret", &secret, "-o", "go-template={{.data.token | base64decode}}"]);
        let ip = pod.ip.ok_or_else(|| format!("{} has no address", pod.name))?;
        let headers = format!("X-Redisnode-Token: {}\r\nContent-Type: application/json\r\n", token.trim());
        let body = body.map(Value::to_string).unwrap_or_default();
        self.kube.inside(|| {
            let stream = TcpStream::connect_timeout(&(ip, AGENT_PORT).into(), PATIENCE).map_err(|e| e.to_string())?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
            converse(stream, what, &headers, &body)
        })
    }
}

/// One question (`GET /path`) and its answer.
fn converse(mut stream: impl Read + Write, what: &str, headers: &str, body: &str) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("{what}: {error}");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{what} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n{headers}{length}");
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    parse(&answer).map_err(|why| format!("{why} ({what})"))
}

fn parse(answer: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the API server's answer has no end of headers")?;
    let code = head.split_whitespace().nth(1).unwrap_or("no code");
    if code.starts_with('2') {
        return serde_json::from_str(body).map_err(|error| format!("{error}: {body}"));
    }
    let status: Option<Value> = serde_json::from_str(body).ok();
    let message = status.as_ref().and_then(|status| status["message"].as_str()).unwrap_or(body.trim());
    Err(format!("{code}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_refusal_is_told_by_its_code_and_the_servers_own_words() {
        let answer =
            b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{\"kind\":\"Status\",\"message\":\"pods \\\"x\\\" not found\"}";
        assert_eq!(parse(answer).unwrap_err(), "404: pods \"x\" not found");
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\n{\"a\":1}").unwrap()["a"], 1);
        assert!(parse(b"HTTP/1.0 200 OK\r\n").is_err());
    }
}
