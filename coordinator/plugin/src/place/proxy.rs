//! Agents in pods, called through the API server's pod proxy with the user's own rights: `get` and `create` of
//! `pods/proxy`. The cluster's token goes along in a header of its own.

use std::time::Duration;

use hyper::{Method, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use redis_coordinator::failure::whole;
use redisnode_http::TOKEN_HEADER;
use serde::de::DeserializeOwned;

/// The port of an agent in its pod.
const HTTP_PORT: u16 = 8080;
/// Most of an unexpected answer that is shown, characters.
const SHOWN: usize = 300;

/// Calls the agents of one cluster.
pub(super) struct Proxy {
    client: Client,
    namespace: String,
    token: String,
}

impl Proxy {
    /// Calls agents in `namespace` with the cluster's token.
    pub(super) fn new(client: Client, namespace: &str, token: String) -> Self {
        Self { client, namespace: namespace.to_owned(), token }
    }

    /// GET.
    pub(super) async fn get<T: DeserializeOwned>(&self, pod: &str, path: &str, within: Duration) -> Result<T, String> {
        self.call(Method::GET, pod, path, Vec::new(), within).await
    }

    /// POST of a JSON body.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        pod: &str,
        path: &str,
        body: &impl serde::Serialize,
        within: Duration,
    ) -> Result<T, String> {
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        self.call(Method::POST, pod, path, body, within).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        pod: &str,
        path: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<T, String> {
        let request = Request::builder()
            .method(method)
            .uri(uri(&self.namespace, pod, path))
            .header(TOKEN_HEADER, &self.token)
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|error| format!("the request is wrong: {error}"))?;
        let answer = async {
            let answer = self.client.send(request).await?;
            let status = answer.status();
            Ok::<_, kube::Error>((status, answer.into_body().collect_bytes().await?))
        };
        let answer = tokio::time::timeout(within, answer).await;
        let (status, body) = answer
            .map_err(|_| format!("no answer through the API server within {} ms", within.as_millis()))?
            .map_err(|error| format!("the API server cannot be asked: {}", whole(&error)))?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| format!("its agent's answer cannot be read: {error}"))
    }
}

fn uri(namespace: &str, pod: &str, path: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{pod}:{HTTP_PORT}/proxy{path}")
}

/// The API server answers with a Status of its own, an agent with a line of text.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let own = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = own.as_ref().and_then(|own| own.get("message")?.as_str().map(str::to_owned));
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(SHOWN).collect());
    let message = message.trim();
    match status {
        StatusCode::FORBIDDEN => format!("not allowed: {message}; the right to get and create pods/proxy is needed"),
        StatusCode::SERVICE_UNAVAILABLE => format!("its agent is not reached by the API server: {message}"),
        _ => format!("{status}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_behind_its_pods_proxy() {
        let expected = "/api/v1/namespaces/there/pods/my-0:8080/proxy/v1/report?wait=0";
        assert_eq!(uri("there", "my-0", "/v1/report?wait=0"), expected);
    }

    #[test]
    fn a_refusal_is_a_sentence_of_whoever_refused() {
        let of_api = br#"{"kind":"Status","message":"pods \"my-0\" is forbidden"}"#;
        assert!(refusal(StatusCode::FORBIDDEN, of_api).starts_with("not allowed: pods \"my-0\" is forbidden; "));
        assert_eq!(refusal(StatusCode::CONFLICT, b"busy\n"), "409 Conflict: busy");
    }
}
