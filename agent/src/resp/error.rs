//! What can go wrong between the agent and a server. What a server *answers* is a [`Reply`](super::Reply), not an
//! error, until somebody asks for it to be one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a command has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RespError {
    /// No connection could be made; nothing was sent.
    #[error("cannot connect to the server at {address}")]
    Connect {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The connection ended before the answer came; whether the command ran is unknown.
    #[error("the server closed the connection during {what}")]
    Closed {
        /// The command that was in flight.
        what: String,
        /// What the system said, if it was more than an end of the stream.
        #[source]
        source: Option<io::Error>,
    },
    /// No answer within the deadline; whether the command ran, or still will, is unknown.
    #[error("{what} was not answered within {} ms", after.as_millis())]
    TimedOut {
        /// The command, or what was being done.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// What came back is not RESP2, or is larger or deeper than anything we ask for.
    #[error("the answer to {what} is not usable: {reason}")]
    Protocol {
        /// The command.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// This connection was given up earlier: answers could belong to the wrong commands.
    #[error("this connection was given up earlier ({because}); open a new one")]
    Poisoned {
        /// The first error, in words.
        because: String,
    },
    /// The server answered with an error where success was demanded.
    #[error("the server refused {command}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// The server's words.
        message: String,
    },
    /// The server answered, but with another type of value than this command gives.
    #[error("the server answered {command} with {got} instead of {wanted}")]
    Unexpected {
        /// The command.
        command: String,
        /// The type that was expected.
        wanted: &'static str,
        /// The type that came.
        got: &'static str,
    },
}

impl RespError {
    /// The server's own words, if it refused the command.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            Self::Connect { .. }
            | Self::Closed { .. }
            | Self::TimedOut { .. }
            | Self::Protocol { .. }
            | Self::Poisoned { .. }
            | Self::Unexpected { .. } => None,
        }
    }

    /// Whether the command may have run although there is no answer.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Closed { .. } | Self::TimedOut { .. } | Self::Protocol { .. } => true,
            Self::Connect { .. } | Self::Poisoned { .. } | Self::Refused { .. } | Self::Unexpected { .. } => false,
        }
    }
}
