//! Work that runs beside the loop, and what it brings back. All of it lives in one set: nothing is detached.

use std::net::SocketAddr;

use redisnode_http::CallError;
use redisnode_proto::message::Outcome;
use redisnode_proto::{NodeName, Report};

/// What a task brings back.
#[derive(Debug)]
pub(super) enum Done {
    /// A peer's agent was called, at this address.
    Asked(NodeName, SocketAddr, Result<Box<Report>, CallError>),
    /// A death notice was sent.
    Noticed(NodeName, Result<Outcome, CallError>),
    /// A handoff ended.
    HandedOff(Outcome),
    /// A call whose end changes nothing here.
    Told,
    /// A move of slots ended; the message is why, if it did not end well.
    Moved(NodeName, Result<(), String>),
}
