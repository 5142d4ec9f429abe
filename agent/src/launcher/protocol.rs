//! What agent and launcher say to each other: one JSON object a line, in both directions.
//!
//! An agent gives orders; the launcher tells its whole status, on connect and on each change, so that nothing is lost
//! by missing one line. Only the newest connection is obeyed: an agent that starts anew may meet the socket of the one
//! before it. Fields that are not known are ignored, so that both sides may differ by a version.

use serde::{Deserialize, Serialize};

/// Agent to launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Start this server, if none lives and no stop was requested. The status says what came of it.
    Start {
        /// The program (an absolute path, or a name that is looked up) and its arguments. No secrets: every user of
        /// the machine can read them.
        argv: Vec<String>,
    },
    /// Look for this program (see [`Program::asked`]); the status says what was found.
    Find {
        /// A path, a name that is looked up, or [`super::AUTO`].
        program: String,
    },
    /// Send the running server a signal.
    Signal(OrderedSignal),
    /// End the launcher, if no server lives.
    Exit {},
}

/// The signals that an agent may order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderedSignal {
    /// SIGTERM: the server saves, if it is configured to, and ends.
    Term,
    /// SIGKILL: the server ends where it is.
    Kill,
}

/// Launcher to agent: all there is to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The server.
    #[serde(flatten)]
    pub server: ServerState,
    /// The launcher was told to stop (SIGTERM or SIGINT): the agent is to stop the server in good order. The launcher
    /// ends with the server, and starts none any more.
    #[serde(default)]
    pub stop_requested: bool,
    /// Grows with each change of `server`, so that two failures to start in a row can be told apart. Starts over with
    /// each launcher.
    #[serde(default)]
    pub change: u64,
    /// The program that an agent last asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
}

/// A server's program in the launcher's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What was asked for.
    pub asked: String,
    /// What is to be started: the first word of an order to start.
    #[serde(default)]
    pub path: String,
    /// What it prints as its version.
    #[serde(default)]
    pub version: String,
    /// Modules that the entry point of its image would load, by their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Why there is none: a sentence that says what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What the launcher knows of its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerState {
    /// None lives, and this launcher has started none since one did.
    Idle,
    /// The one that this launcher started lives.
    Running {
        /// Its process number, as the launcher's container counts.
        pid: u32,
    },
    /// The one that this launcher started has ended; what it left in its process group was killed.
    Ended(Ended),
    /// `server.lock` is held by one that this launcher did not start. It can neither be signalled nor waited for here.
    Occupied,
    /// The last order to start failed before the server ran.
    StartFailed {
        /// A sentence that says what to do.
        reason: String,
    },
    /// A state that this version does not know. Never sent.
    #[serde(other)]
    Unknown,
}

/// How a server ended: by its own code or by a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code, if it ended itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it, such as `SIGKILL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The last lines (at most 20) that it wrote to its standard output and error in this life.
    #[serde(default)]
    pub tail: Vec<String>,
}

impl ServerState {
    /// Whether a server may be alive.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Running { .. } | Self::Occupied | Self::Unknown => true,
            Self::Idle | Self::Ended(_) | Self::StartFailed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Order {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn orders_are_read_as_documented() {
        assert_eq!(
            order(r#"{"start":{"argv":["redis-server","a b"],"since":"later"}}"#),
            Order::Start { argv: vec!["redis-server".into(), "a b".into()] }
        );
        assert_eq!(order(r#"{"find":{"program":"auto"}}"#), Order::Find { program: "auto".into() });
        assert_eq!(order(r#"{"signal":"TERM"}"#), Order::Signal(OrderedSignal::Term));
        assert_eq!(order(r#"{"signal":"KILL"}"#), Order::Signal(OrderedSignal::Kill));
        assert_eq!(order(r#"{"exit":{}}"#), Order::Exit {});
        assert!(serde_json::from_str::<Order>(r#"{"signal":"USR1"}"#).is_err());
    }

    #[test]
    fn a_status_is_one_flat_object() {
        let status =
            Status { server: ServerState::Running { pid: 7 }, stop_requested: false, change: 2, program: None };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(text, r#"{"state":"running","pid":7,"stop_requested":false,"change":2}"#);
        let ended = Ended { code: None, signal: Some("SIGKILL".into()), tail: vec!["x".into()] };
        let status = Status { server: ServerState::Ended(ended), stop_requested: true, change: 3, program: None };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(text, r#"{"state":"ended","signal":"SIGKILL","tail":["x"],"stop_requested":true,"change":3}"#);
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }

    #[test]
    fn a_state_of_a_newer_launcher_is_not_taken_for_the_absence_of_a_server() {
        let status: Status = serde_json::from_str(r#"{"state":"frozen","depth":3}"#).unwrap();
        assert_eq!(status.server, ServerState::Unknown);
        assert!(status.server.is_live());
    }
}
