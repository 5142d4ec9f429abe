//! Who the agent says it is to a server. Secrets live in a type that cannot be printed.

use std::fmt;

use super::command::Command;

/// A password. Its `Debug` shows that there is one, never which; it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// How a connection introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// It does not: the server asks for no password.
    #[default]
    None,
    /// With the password of the default user (`requirepass`).
    Password(Secret),
    /// With a user of the server's access list and that user's password.
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: Secret,
    },
}

impl Secret {
    /// Takes the password's bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The password itself, for the wire or for a file that the server reads. Never for a message.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

impl Auth {
    /// The command that introduces a new connection, if one is needed.
    pub(super) fn command(&self) -> Option<Command> {
        match self {
            Self::None => None,
            Self::Password(password) => Some(Command::new("AUTH").arg(password.reveal())),
            Self::User { name, password } => Some(Command::new("AUTH").arg(name).arg(password.reveal())),
        }
    }

    /// Adds what `MIGRATE` needs to introduce the source to its target: nothing, `AUTH password`, or
    /// `AUTH2 user password`. To be called between the time-out and `KEYS`.
    pub fn append_to_migrate(&self, command: Command) -> Command {
        match self {
            Self::None => command,
            Self::Password(password) => command.arg("AUTH").arg(password.reveal()),
            Self::User { name, password } => command.arg("AUTH2").arg(name).arg(password.reveal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let auth = Auth::User { name: "agent".into(), password: Secret::new("hunter2") };
        assert!(!format!("{auth:?}").contains("hunter2"));
        let command = auth.append_to_migrate(Command::new("MIGRATE").arg("host"));
        assert_eq!(command.args().len(), 5);
        assert!(!format!("{command:?}").contains("hunter2"));
    }
}
