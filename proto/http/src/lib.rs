//! Client and server of `/v1`: the one place where redisnode speaks HTTP.
//!
//! It holds routes, the token, deadlines and size limits. It refuses to decide anything: a handler answers requests,
//! a caller says how long it is willing to wait.

mod body;
pub mod client;
mod connections;
mod error;
mod link;
mod pool;
pub mod request;
pub mod routes;
pub mod server;
pub mod token;

pub use body::BODY_LIMIT;
pub use client::{Answer, Client};
pub use error::CallError;
pub use hyper::{Method, StatusCode};
pub use request::{Request, Response};
pub use routes::{Listen, ReportQuery};
pub use server::{Guard, Handler, serve};
pub use token::Token;

/// The header that carries the cluster's token. Not `Authorization`, which the pod proxy of a Kubernetes API server
/// takes for itself.
pub const TOKEN_HEADER: &str = "x-redisnode-token";
