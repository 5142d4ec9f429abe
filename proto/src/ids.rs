//! Names and numbers that must not be mixed up, each a type of its own, parsed once at the boundary.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A word that is not what its type allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {why}")]
pub struct BadId {
    /// What was being read, for instance `node id`.
    pub what: &'static str,
    /// The text as it came.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(&text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(why) => Err(BadId { what: $what, text, why }),
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_dns_like(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 253 {
        return Err("must have 1 to 253 characters");
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !text.chars().all(fits) {
        return Err("may hold only a-z, 0-9, '-' and '.'");
    }
    Ok(())
}

fn is_token_like(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 64 {
        return Err("must have 1 to 64 characters");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err("may hold only letters, digits and '-'");
    }
    Ok(())
}

/// A namespace has at most 63 characters, a name 253.
fn is_cluster_like(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 63 + 1 + 253 {
        return Err("must have 1 to 317 characters");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.') {
        return Err("may hold only letters, digits, '-' and '.'");
    }
    Ok(())
}

fn is_hex40(text: &str) -> Result<(), &'static str> {
    let fits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 40 && text.bytes().all(fits) { Ok(()) } else { Err("must be 40 digits of 0-9 and a-f") }
}

text_id!(
    /// The name of a node: its pod's name, stable over restarts (`<cluster>-<ordinal>`).
    NodeName, "node name", is_dns_like
);
text_id!(
    /// The id that a server has on the cluster bus: 40 hex digits. Changes when the node loses its identity.
    NodeId, "node id", is_hex40
);
text_id!(
    /// One incarnation of a node: the pod's uid, locally a random number written when its folder is made.
    Uid, "uid", is_token_like
);
text_id!(
    /// The stable name of a shard. Independent of ordinals and of who is primary.
    ShardName, "shard name", is_dns_like
);
text_id!(
    /// The identity of a whole cluster: two clusters of the same name differ in it. On Kubernetes
    /// `<namespace>.<name>`, locally a random word.
    ClusterId, "cluster id", is_cluster_like
);

impl NodeName {
    /// The node of cluster `cluster` with ordinal `ordinal`.
    pub fn of(cluster: &str, ordinal: u32) -> Result<Self, BadId> {
        format!("{cluster}-{ordinal}").parse()
    }

    /// The number behind the last dash, if there is one.
    pub fn ordinal(&self) -> Option<u32> {
        self.as_str().rsplit_once('-').and_then(|(_, number)| number.parse().ok())
    }
}

impl NodeId {
    /// The first eight digits, for tables and log lines.
    pub fn short(&self) -> &str {
        self.as_str().get(..8).unwrap_or(self.as_str())
    }
}

/// A node's incarnation: name and uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The node's name.
    pub name: NodeName,
    /// The incarnation.
    pub uid: Uid,
}

/// A configuration epoch of the cluster bus. The owner of a slot is who claims it with the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigEpoch(pub u64);

/// A position in a replication stream, in bytes. Comparable only within one history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl fmt::Display for ConfigEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_refuses_anything_but_forty_hex_digits() {
        assert!("0ba1af8c623416ef995175c0f6c1b132d94f7e94".parse::<NodeId>().is_ok());
        for bad in ["", "0BA1af8c623416ef995175c0f6c1b132d94f7e94", "0ba1", "0ba1af8c623416ef995175c0f6c1b132d94f7e9g"]
        {
            let error = bad.parse::<NodeId>().unwrap_err();
            assert!(error.to_string().contains("40 digits"), "{error}");
        }
    }

    #[test]
    fn ordinal_is_the_number_behind_the_last_dash() {
        assert_eq!("my-redis-12".parse::<NodeName>().unwrap().ordinal(), Some(12));
        assert_eq!("redis".parse::<NodeName>().unwrap().ordinal(), None);
    }
}
