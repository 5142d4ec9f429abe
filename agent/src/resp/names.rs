//! Under which names a server knows its commands. The rest of the agent uses the plain ones; the server's own go onto the
//! wire, and only there.
//!
//! Only commands that agents send to their own server can have another name (the spec refuses the others), so the names
//! of the own server do no harm on a connection to another one.

use std::collections::BTreeMap;

use super::auth::Auth;

/// New names of commands by their plain ones, in capitals. Empty for most servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Of renamed commands by their plain names. Disabled ones (their new name is empty) stay as they are: the server's
    /// answer is the best word on them.
    pub fn new(renamed: &BTreeMap<String, String>) -> Self {
        let usable = renamed.iter().filter(|(_, new)| !new.is_empty());
        Self(usable.map(|(old, new)| (old.to_ascii_uppercase(), new.clone())).collect())
    }

    /// The first word of a command as the server wants it.
    pub(super) fn on_the_wire<'n>(&'n self, name: &'n [u8]) -> &'n [u8] {
        let renamed = std::str::from_utf8(name).ok().and_then(|name| self.0.get(name));
        renamed.map_or(name, |new| new.as_bytes())
    }
}

/// How a connection is opened and used: who it says it is, and what commands are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// How it introduces itself.
    pub auth: Auth,
    /// What the server calls its commands.
    pub names: Names,
}

impl From<Auth> for Access {
    fn from(auth: Auth) -> Self {
        Self { auth, names: Names::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_command_has_its_new_name_on_the_wire_and_all_others_their_own() {
        let renamed =
            [("CONFIG", "tune"), ("keys", "list"), ("MONITOR", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let names = Names::new(&renamed.into());
        for (plain, wire) in [("CONFIG", "tune"), ("KEYS", "list"), ("MONITOR", "MONITOR"), ("GET", "GET")] {
            assert_eq!(names.on_the_wire(plain.as_bytes()), wire.as_bytes());
        }
        assert_eq!(names.on_the_wire(b"\xff"), b"\xff");
    }
}
