//! The routes of an agent, and typed calls of each. The path constants are what the agent's server matches.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use redisnode_proto::message::{
    Ack, DeathNotice, HandoffRequest, Hello, ImportReply, ImportRequest, LayoutAnswer, OpenSlotsNotice, Outcome,
    ReceiveReply, ReceiveRequest, ResumeRequest, TakeoverRequest,
};
use redisnode_proto::{Layout, Report};

use crate::client::Client;
use crate::error::CallError;
use crate::request::query_value;

/// Whether the agent runs and its server answers or is excused.
pub const LIVEZ: &str = "/livez";
/// Whether the node serves its part.
pub const READYZ: &str = "/readyz";
/// The name that users of older operators know.
pub const LIVE: &str = "/live";
/// The name that users of older operators know.
pub const READY: &str = "/ready";
/// Prometheus text.
pub const METRICS: &str = "/metrics";
/// `GET`: the Report, as a long poll.
pub const REPORT: &str = "/v1/report";
/// `GET`, `PUT`: the Layout.
pub const LAYOUT: &str = "/v1/layout";
/// `POST`: who calls, and where it is now.
pub const HELLO: &str = "/v1/hello";
/// `POST`: give the role to a replica.
pub const HANDOFF: &str = "/v1/handoff";
/// `POST`: promote your server in order.
pub const TAKEOVER: &str = "/v1/takeover";
/// `POST`: a certificate that a primary is dead.
pub const DEATH_NOTICE: &str = "/v1/death-notice";
/// `POST`: open slots for arrival.
pub const IMPORT: &str = "/v1/import";
/// `POST`: take slots that the servers move in one piece.
pub const RECEIVE: &str = "/v1/receive";
/// `POST`: the slots that a primary has open.
pub const OPEN_SLOTS: &str = "/v1/open-slots";
/// `POST`: finish the move of slots that are half at the caller's server.
pub const RESUME: &str = "/v1/resume";
/// `POST`: restart the server in order.
pub const RESTART: &str = "/v1/restart";

/// Longest wait of a long poll; a longer one is cut.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a caller of [`REPORT`] has already, and how long it waits for something newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportQuery {
    /// Life and revision of the Report that the caller has. Absent, or of another life: answer at once.
    pub after: Option<Listen>,
    /// How long to wait for a newer one, at most [`LONGEST_WAIT`]. Then the answer is 204.
    pub wait: Duration,
}

/// Life and revision of a Report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The agent's life.
    pub life: u64,
    /// The revision within it.
    pub revision: u64,
}

impl Listen {
    /// The place of `report`.
    pub fn of(report: &Report) -> Self {
        Self { life: report.life, revision: report.revision }
    }
}

impl ReportQuery {
    /// Reads the query `life=L&after=N&wait=MS`; all three may be left out. The error is a sentence.
    pub fn parse(query: &str) -> Result<Self, String> {
        let number = |name: &str| -> Result<Option<u64>, String> {
            let Some(text) = query_value(query, name) else {
                return Ok(None);
            };
            text.parse().map(Some).map_err(|_| format!("{name}={text}: must be a whole number"))
        };
        let after = match (number("life")?, number("after")?) {
            (Some(life), Some(revision)) => Some(Listen { life, revision }),
            (None, None) => None,
            _ => return Err("life and after belong together: give both or none".to_owned()),
        };
        let wait = Duration::from_millis(number("wait")?.unwrap_or(0)).min(LONGEST_WAIT);
        Ok(Self { after, wait })
    }

    /// The path with the query.
    pub fn path(&self) -> String {
        let wait = self.wait.as_millis();
        match self.after {
            Some(Listen { life, revision }) => {
                format!("{REPORT}?life={life}&after={revision}&wait={wait}")
            }
            None => format!("{REPORT}?wait={wait}"),
        }
    }
}

impl Client {
    /// The agent's Report, once it is newer than `query.after`; `None` when there was none within the wait. `deadline`
    /// is on top of the wait.
    pub async fn report(
        &self,
        agent: SocketAddr,
        query: ReportQuery,
        deadline: Duration,
    ) -> Result<Option<Report>, CallError> {
        let within = deadline.saturating_add(query.wait);
        let answer = self.call(agent, Method::GET, &query.path(), Bytes::new(), within).await?;
        if answer.status == StatusCode::NO_CONTENT { Ok(None) } else { answer.json(agent).map(Some) }
    }

    /// The newest Layout that the agent knows, if it knows one.
    pub async fn layout(&self, agent: SocketAddr, deadline: Duration) -> Result<Option<Layout>, CallError> {
        let answer = self.call(agent, Method::GET, LAYOUT, Bytes::new(), deadline).await?;
        if answer.status == StatusCode::NO_CONTENT { Ok(None) } else { answer.json(agent).map(Some) }
    }

    /// Tells the agent a Layout.
    pub async fn put_layout(
        &self,
        agent: SocketAddr,
        layout: &Layout,
        deadline: Duration,
    ) -> Result<LayoutAnswer, CallError> {
        self.put_json(agent, LAYOUT, layout, deadline).await
    }

    /// Introduces a node to a peer's agent, which answers with its Report.
    pub async fn hello(&self, agent: SocketAddr, hello: &Hello, deadline: Duration) -> Result<Report, CallError> {
        self.post_json(agent, HELLO, hello, deadline).await
    }

    /// Asks a primary's agent to hand off.
    pub async fn handoff(
        &self,
        agent: SocketAddr,
        request: &HandoffRequest,
        deadline: Duration,
    ) -> Result<Outcome, CallError> {
        self.post_json(agent, HANDOFF, request, deadline).await
    }

    /// Asks a replica's agent to promote its server in order.
    pub async fn takeover(
        &self,
        agent: SocketAddr,
        request: &TakeoverRequest,
        deadline: Duration,
    ) -> Result<Outcome, CallError> {
        self.post_json(agent, TAKEOVER, request, deadline).await
    }

    /// Certifies to a replica's agent that its primary is dead.
    pub async fn death_notice(
        &self,
        agent: SocketAddr,
        notice: &DeathNotice,
        deadline: Duration,
    ) -> Result<Outcome, CallError> {
        self.post_json(agent, DEATH_NOTICE, notice, deadline).await
    }

    /// Asks a target's agent to open slots for arrival.
    pub async fn import(
        &self,
        agent: SocketAddr,
        request: &ImportRequest,
        deadline: Duration,
    ) -> Result<ImportReply, CallError> {
        self.post_json(agent, IMPORT, request, deadline).await
    }

    /// Asks a target's agent to take slots that the servers move in one piece, or how far that is.
    pub async fn receive(
        &self,
        agent: SocketAddr,
        request: &ReceiveRequest,
        deadline: Duration,
    ) -> Result<ReceiveReply, CallError> {
        self.post_json(agent, RECEIVE, request, deadline).await
    }

    /// Tells a replica's agent which slots its primary has open.
    pub async fn open_slots(
        &self,
        agent: SocketAddr,
        notice: &OpenSlotsNotice,
        deadline: Duration,
    ) -> Result<Ack, CallError> {
        self.post_json(agent, OPEN_SLOTS, notice, deadline).await
    }

    /// Asks the owner's agent to finish the move of slots that are half at the target.
    pub async fn resume(
        &self,
        agent: SocketAddr,
        request: &ResumeRequest,
        deadline: Duration,
    ) -> Result<Ack, CallError> {
        self.post_json(agent, RESUME, request, deadline).await
    }

    /// Asks an agent to restart its server in order.
    pub async fn restart(&self, agent: SocketAddr, deadline: Duration) -> Result<Ack, CallError> {
        self.post_json(agent, RESTART, &serde_json::json!({}), deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_query_is_read_as_it_is_written() {
        let query = ReportQuery { after: Some(Listen { life: 7, revision: 9 }), wait: Duration::from_secs(1) };
        let text = query.path();
        assert_eq!(ReportQuery::parse(text.split_once('?').unwrap().1), Ok(query));
    }

    #[test]
    fn a_wait_is_cut_and_nonsense_is_refused() {
        assert_eq!(ReportQuery::parse("wait=999999").unwrap().wait, LONGEST_WAIT);
        assert_eq!(ReportQuery::parse(""), Ok(ReportQuery::default()));
        assert!(ReportQuery::parse("after=3").unwrap_err().contains("belong together"));
        assert!(ReportQuery::parse("wait=-1").unwrap_err().contains("whole number"));
    }
}
