//! How a call can fail. Callers must tell "nobody listens there" from "no answer in time": the first is knowledge, the
//! second is none.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;

use crate::token::TokenError;

/// A call that got no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection was made: the request was surely not received.
    #[error("cannot connect to {address}")]
    Connect {
        /// Whom.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No whole answer within the deadline: whether the request was received is not known.
    #[error("no answer from {address} within {} ms", after.as_millis())]
    TimedOut {
        /// Whom.
        address: SocketAddr,
        /// The deadline.
        after: Duration,
    },
    /// The connection ended before the answer: whether the request was received is not known.
    #[error("the connection to {address} ended before the answer")]
    Broken {
        /// Whom.
        address: SocketAddr,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that is not a success.
    #[error("{address} answers {code}: {message}")]
    Status {
        /// Who.
        address: SocketAddr,
        /// The code.
        code: StatusCode,
        /// The sentence in its body.
        message: String,
    },
    /// A success whose body is not what was asked for, or is too large; or a request that cannot be written as JSON.
    #[error("cannot read the answer of {address}: {why}")]
    BadBody {
        /// Who.
        address: SocketAddr,
        /// What is wrong with it.
        why: String,
    },
    /// Our own token cannot be read, so nothing was sent.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl CallError {
    /// The machine there says that nobody listens on that port.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// There was no answer in time, or the connection broke: nothing is known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Broken { .. })
    }

    /// The code of an answer that is not a success.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The error with its causes, in one line.
    pub fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
