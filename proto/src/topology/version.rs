//! Products and versions of servers, and which of them may run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who makes the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

/// Product and version of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerVersion {
    /// Who makes it.
    pub product: Product,
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}.{}", self.product, self.major, self.minor, self.patch)
    }
}

/// A server that is too old to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is too old: Redis 7.0 and Valkey 7.2 are the oldest that run here; install one of them or a newer one")]
pub struct TooOld(pub ServerVersion);

impl ServerVersion {
    /// Reads the number of a version, for instance `7.0.15`. What follows a dash (a release stage) is not looked at.
    pub fn parse(product: Product, number: &str) -> Option<Self> {
        let number = number.split('-').next()?;
        let mut parts = number.split('.').map(|part| part.parse::<u16>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        let patch = parts.next().unwrap_or(Some(0))?;
        parts.next().is_none().then_some(Self { product, major, minor, patch })
    }

    /// Whether this server may run here. Older ones lack slot ranges in ADDSLOTSRANGE and CLUSTER SHARDS.
    pub fn runs(self) -> Result<(), TooOld> {
        let oldest = match self.product {
            Product::Redis => (7, 0),
            Product::Valkey => (7, 2),
        };
        if (self.major, self.minor) >= oldest { Ok(()) } else { Err(TooOld(self)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(product: Product, number: &str) -> ServerVersion {
        ServerVersion::parse(product, number).unwrap()
    }

    #[test]
    fn reads_the_number() {
        assert_eq!(version(Product::Redis, "7.0.15").to_string(), "Redis 7.0.15");
        assert_eq!(version(Product::Valkey, "9.1.2").to_string(), "Valkey 9.1.2");
        assert_eq!(version(Product::Redis, "7.4.0-v1").to_string(), "Redis 7.4.0");
        assert_eq!(version(Product::Redis, "255.255.255").major, 255);
        for bad in ["", "7", "7.", "seven.0", "7.0.x", "7.0.1.2", "70000.0.0", "-1.0.0"] {
            assert_eq!(ServerVersion::parse(Product::Redis, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_oldest_that_run_are_redis_7_0_and_valkey_7_2() {
        for number in ["7.0.0", "7.0.15", "8.6.3", "10.0.0"] {
            assert_eq!(version(Product::Redis, number).runs(), Ok(()), "{number}");
        }
        assert_eq!(version(Product::Valkey, "7.2.0").runs(), Ok(()));
        assert!(version(Product::Valkey, "7.1.9").runs().is_err());
        let refusal = version(Product::Redis, "6.2.16").runs().unwrap_err().to_string();
        assert!(refusal.starts_with("Redis 6.2.16 is too old: Redis 7.0 and Valkey 7.2"), "{refusal}");
    }

    #[test]
    fn versions_of_one_product_are_ordered_by_number() {
        assert!(version(Product::Redis, "7.0.15") < version(Product::Redis, "7.2.0"));
        assert!(version(Product::Valkey, "8.1.9") < version(Product::Valkey, "10.0.0"));
    }
}
