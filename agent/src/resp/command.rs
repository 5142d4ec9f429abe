//! A command as the wire wants it: a list of byte arguments. Nothing here ever splits a string.

use std::fmt;

use bytes::Bytes;

/// Commands whose first argument is a word of the command and not a value, so that it may be shown.
const CONTAINERS: [&str; 10] =
    ["ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "SCRIPT"];

/// One command and its arguments. Its `Debug` shows the command's words and how many arguments follow; the arguments
/// may be keys, values or passwords, and are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Vec<Bytes>);

impl Command {
    /// A command with this name and no argument yet.
    pub fn new(name: &str) -> Self {
        Self(vec![Bytes::copy_from_slice(name.as_bytes())])
    }

    /// Adds one argument, taken as it is.
    pub fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.0.push(Bytes::copy_from_slice(argument.as_ref()));
        self
    }

    /// Adds one argument without copying it: for keys and payloads that came out of a reply.
    pub fn bytes(mut self, argument: Bytes) -> Self {
        self.0.push(argument);
        self
    }

    /// Adds one number, in decimal.
    pub fn number(self, number: impl Into<i128>) -> Self {
        let number: i128 = number.into();
        self.arg(number.to_string())
    }

    /// Adds several arguments.
    pub fn args_from(self, arguments: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// The same command with another word at this place (the name is at 0). No other word is copied.
    pub fn with(&self, place: usize, word: Bytes) -> Self {
        let mut words = self.0.clone();
        if let Some(held) = words.get_mut(place) {
            *held = word;
        }
        Self(words)
    }

    /// Name and arguments, in order.
    pub fn args(&self) -> &[Bytes] {
        &self.0
    }

    /// What may be said of this command in a message: `CLUSTER SETSLOT`, `MIGRATE`.
    pub fn label(&self) -> String {
        label(&self.0)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Command({}, {} words)", self.label(), self.0.len())
    }
}

/// The words of a command that may be shown: its name, and the subcommand where there is one.
pub(super) fn label(args: &[impl AsRef<[u8]>]) -> String {
    let mut words = args.iter().map(|arg| printable(arg.as_ref()));
    let name = words.next().unwrap_or_default();
    if CONTAINERS.contains(&name.as_str())
        && let Some(word) = words.next()
    {
        return format!("{name} {word}");
    }
    name
}

fn printable(word: &[u8]) -> String {
    const LONGEST: usize = 32;
    word.iter()
        .take(LONGEST)
        .map(|byte| if byte.is_ascii_graphic() { char::from(byte.to_ascii_uppercase()) } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_shows_the_subcommand_but_no_value() {
        assert_eq!(Command::new("cluster").arg("setslot").number(5).label(), "CLUSTER SETSLOT");
        assert_eq!(Command::new("AUTH").arg("hunter2").label(), "AUTH");
        assert_eq!(label(&[""; 0]), "");
    }

    #[test]
    fn arguments_are_bytes_and_blanks_do_not_split_them() {
        let command = Command::new("SET").arg(b"a b\r\n\0").bytes(Bytes::from_static(b"\xff"));
        assert_eq!(command.args(), [&b"SET"[..], b"a b\r\n\0", b"\xff"]);
        assert_eq!(command.with(1, Bytes::from_static(b"k")).args(), [&b"SET"[..], b"k", b"\xff"]);
        assert_eq!(Command::new("X").number(-3).args_from(["a", "b"]).args(), ["X", "-3", "a", "b"]);
    }
}
