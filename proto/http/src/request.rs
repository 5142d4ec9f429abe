//! A request and its answer as handlers see them: plain data, no streams.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the client asks, its body read whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// What is behind the `?`, not decoded; empty if there is none.
    pub query: String,
    /// The body, at most [`crate::BODY_LIMIT`].
    pub body: Bytes,
    /// Who asks.
    pub peer: SocketAddr,
    /// The request has the cluster's token. Always so below `/v1/`, unless the server is open.
    pub authorised: bool,
}

impl Request {
    /// The value of `name` in the query. Values are not decoded: those of `/v1` are numbers and names.
    pub fn query(&self, name: &str) -> Option<&str> {
        query_value(&self.query, name)
    }

    /// The body as `T`; otherwise the answer that says what is wrong with it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Response> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let sentence = format!("cannot read the body of {} {}: {error}", self.method, self.path);
            Response::error(StatusCode::BAD_REQUEST, sentence)
        })
    }
}

/// The value of `name` in `query`.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// `value` as JSON.
    pub fn json<T: Serialize>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status: StatusCode::OK, content_type: "application/json", body: body.into() },
            Err(error) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the answer: {error}")),
        }
    }

    /// A text of type `content_type`.
    pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type, body: body.into() }
    }

    /// Nothing to say (204).
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, content_type: "text/plain", body: Bytes::new() }
    }

    /// `status` with a sentence: what is wrong and what to do.
    pub fn error(status: StatusCode, sentence: impl Into<String>) -> Self {
        let mut text: String = sentence.into();
        text.push('\n');
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into() }
    }

    /// There is no such path.
    pub fn not_found(request: &Request) -> Self {
        Self::error(StatusCode::NOT_FOUND, format!("there is nothing at {} {}", request.method, request.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_is_found_by_its_whole_name() {
        assert_eq!(query_value("life=1&after=22", "after"), Some("22"));
        assert_eq!(query_value("life=1&after=22", "aft"), None);
        assert_eq!(query_value("", "after"), None);
    }
}
