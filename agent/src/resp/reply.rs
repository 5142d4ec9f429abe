//! A server's answer, in our own type, so that no other file depends on a codec.

use std::fmt;

use bytes::Bytes;

use super::error::RespError;

/// One answer. An error that the server answers is a value like the others; [`Reply::ok`] makes it an error of ours.
/// `Debug` shows sizes instead of contents: a bulk may hold a value or a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// A short text, such as `OK` or `NOKEY`.
    Status(String),
    /// A refusal in the server's words, such as `MOVED 7 10.0.0.1:6379`.
    Error(String),
    /// A number.
    Integer(i64),
    /// Any bytes.
    Bulk(Bytes),
    /// Nothing: no such value (both of RESP2's nulls).
    Nil,
    /// Several answers.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a status or of a bulk that is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Status(text) => Some(text),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Error(_) | Self::Integer(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// The number.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Status(_) | Self::Error(_) | Self::Bulk(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// The server's words, if this is a refusal.
    pub fn error_text(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            Self::Status(_) | Self::Integer(_) | Self::Bulk(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// Whether this is a refusal that starts with this word (`BUSYKEY`, `LOADING`, `MOVED`).
    pub fn is_error(&self, word: &str) -> bool {
        self.error_text().and_then(|text| text.split_ascii_whitespace().next()).is_some_and(|first| first == word)
    }

    /// Whether this is RESP2's null.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The elements of an array.
    pub fn into_array(self) -> Option<Vec<Reply>> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Status(_) | Self::Error(_) | Self::Integer(_) | Self::Bulk(_) | Self::Nil => None,
        }
    }

    /// The bytes of a bulk, or of a status.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            Self::Status(text) => Some(Bytes::from(text)),
            Self::Error(_) | Self::Integer(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// The reply itself, unless the server refused: then [`RespError::Refused`] with the command's name.
    pub fn ok(self, command: &str) -> Result<Self, RespError> {
        match self {
            Self::Error(message) => Err(RespError::Refused { command: command.to_owned(), message }),
            other => Ok(other),
        }
    }

    /// The text of this reply. A refusal is [`RespError::Refused`], another type [`RespError::Unexpected`].
    pub fn text(self, command: &str) -> Result<String, RespError> {
        let reply = self.ok(command)?;
        reply.as_text().map(str::to_owned).ok_or_else(|| reply.unexpected(command, "a text"))
    }

    /// The number in this reply. A refusal is [`RespError::Refused`], another type [`RespError::Unexpected`].
    pub fn integer(self, command: &str) -> Result<i64, RespError> {
        let reply = self.ok(command)?;
        reply.as_integer().ok_or_else(|| reply.unexpected(command, "an integer"))
    }

    /// The elements of this reply. A refusal is [`RespError::Refused`], another type [`RespError::Unexpected`].
    pub fn array(self, command: &str) -> Result<Vec<Reply>, RespError> {
        match self.ok(command)? {
            Self::Array(elements) => Ok(elements),
            other => Err(other.unexpected(command, "an array")),
        }
    }

    /// The name of this reply's type, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Status(_) => "a status",
            Self::Error(_) => "an error",
            Self::Integer(_) => "an integer",
            Self::Bulk(_) => "a bulk",
            Self::Nil => "nothing",
            Self::Array(_) => "an array",
        }
    }

    fn unexpected(&self, command: &str, wanted: &'static str) -> RespError {
        RespError::Unexpected { command: command.to_owned(), wanted, got: self.kind() }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(formatter, "Status({text})"),
            Self::Error(text) => write!(formatter, "Error({text})"),
            Self::Integer(number) => write!(formatter, "Integer({number})"),
            Self::Bulk(bytes) => write!(formatter, "Bulk({} bytes)", bytes.len()),
            Self::Nil => formatter.write_str("Nil"),
            Self::Array(elements) => write!(formatter, "Array({} elements)", elements.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_an_error_with_the_commands_name() {
        let error = Reply::Error("ERR no".into()).ok("CLUSTER MEET").unwrap_err();
        assert_eq!(error.to_string(), "the server refused CLUSTER MEET: ERR no");
        assert_eq!(error.refusal(), Some("ERR no"));
        assert_eq!(Reply::Status("OK".into()).ok("PING").unwrap().as_text(), Some("OK"));
    }

    #[test]
    fn the_wrong_type_is_named() {
        let error = Reply::Nil.integer("DBSIZE").unwrap_err();
        assert_eq!(error.to_string(), "the server answered DBSIZE with nothing instead of an integer");
        assert_eq!(Reply::Integer(3).integer("DBSIZE").unwrap(), 3);
        assert!(Reply::Bulk(Bytes::from_static(b"\xff")).text("GET").is_err());
    }

    #[test]
    fn only_the_first_whole_word_names_an_error() {
        let reply = Reply::Error("MOVED 7 127.0.0.1:1".into());
        assert!(reply.is_error("MOVED"));
        assert!(!reply.is_error("MOVE"));
        assert!(!Reply::Status("MOVED".into()).is_error("MOVED"));
    }

    #[test]
    fn debug_shows_no_value() {
        let reply = Reply::Bulk(Bytes::from_static(b"hunter2"));
        assert_eq!(format!("{reply:?}"), "Bulk(7 bytes)");
        assert_eq!(format!("{:?}", Reply::Array(vec![reply])), "Array(1 elements)");
    }
}
