//! The cluster's token: read from its file at each use (a coordinator on Kubernetes is given it), the previous one
//! accepted for ten minutes after a change.
//!
//! An empty token is refused on both sides: it would equal a header that is not there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// For how long the token before the present one is still accepted. The file reaches the nodes at different times.
pub const PREVIOUS_ACCEPTED_FOR: Duration = Duration::from_mins(10);

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it, or not a word that an HTTP header can carry.
    #[error("the token file {} does not hold a token: one line of printable characters without blanks", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// None was given yet.
    #[error("the cluster's token is not known yet")]
    NotGiven,
}

/// The cluster's token. Cheap to clone; clones share what they know of it.
#[derive(Clone)]
pub struct Token {
    inner: Arc<Inner>,
}

struct Inner {
    /// Where it is read at each use; without a file it is given.
    path: Option<PathBuf>,
    seen: Mutex<Rotation>,
}

/// The tokens as they were seen: the present one, and the one before it.
#[derive(Default)]
struct Rotation {
    current: Option<String>,
    previous: Option<(String, Instant)>,
}

impl Token {
    /// The token in `path`. Nothing is read yet.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { inner: Arc::new(Inner { path: Some(path.into()), seen: Mutex::default() }) }
    }

    /// A token that [`Self::give`] will tell.
    pub fn to_be_given() -> Self {
        Self { inner: Arc::new(Inner { path: None, seen: Mutex::default() }) }
    }

    /// From now on this is the token. False if it cannot be one; then nothing changes.
    pub fn give(&self, token: &str) -> bool {
        let good = is_token(token);
        if good {
            self.seen().see(token, Instant::now());
        }
        good
    }

    /// The token now.
    pub fn current(&self) -> Result<String, TokenError> {
        let Some(path) = &self.inner.path else {
            return self.seen().current.clone().ok_or(TokenError::NotGiven);
        };
        // A plain read: the file has a few bytes, and a pool of threads for it would cost the agent more memory.
        let text =
            std::fs::read_to_string(path).map_err(|source| TokenError::Unreadable { path: path.clone(), source })?;
        let token = text.trim();
        if !is_token(token) {
            return Err(TokenError::Malformed { path: path.clone() });
        }
        self.seen().see(token, Instant::now());
        Ok(token.to_owned())
    }

    /// The token before the present one, while it still counts.
    pub fn previous(&self) -> Option<String> {
        self.seen().previous(Instant::now()).map(str::to_owned)
    }

    /// Whether `presented` is the token, or was it until lately.
    pub fn accepts(&self, presented: &[u8]) -> Result<bool, TokenError> {
        self.current()?;
        Ok(self.seen().accepts(presented, Instant::now()))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Rotation> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
    /// The path, never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.inner.path).finish()
    }
}

impl Rotation {
    fn see(&mut self, token: &str, now: Instant) {
        if self.current.as_deref() == Some(token) {
            return;
        }
        if let Some(before) = self.current.replace(token.to_owned()) {
            self.previous = Some((before, now));
        }
    }

    fn previous(&self, now: Instant) -> Option<&str> {
        let (token, changed_at) = self.previous.as_ref()?;
        let still_counts = now.saturating_duration_since(*changed_at) < PREVIOUS_ACCEPTED_FOR;
        still_counts.then_some(token.as_str())
    }

    fn accepts(&self, presented: &[u8], now: Instant) -> bool {
        let is = |token: &str| equal_in_constant_time(token.as_bytes(), presented);
        self.current.as_deref().is_some_and(is) | self.previous(now).is_some_and(is)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Takes as long for a wrong first byte as for a wrong last one. The length is no secret.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0_u8, |all, (x, y)| std::hint::black_box(all | (x ^ y)));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_before_counts_for_ten_minutes_and_no_longer() {
        let start = Instant::now();
        let mut rotation = Rotation::default();
        rotation.see("one", start);
        rotation.see("two", start + Duration::from_secs(5));
        let late = start + Duration::from_secs(5) + PREVIOUS_ACCEPTED_FOR;
        assert!(rotation.accepts(b"one", start + PREVIOUS_ACCEPTED_FOR));
        assert!(!rotation.accepts(b"one", late));
        assert!(rotation.accepts(b"two", late));
    }

    #[test]
    fn seeing_the_same_token_again_does_not_make_it_its_own_predecessor() {
        let start = Instant::now();
        let mut rotation = Rotation::default();
        rotation.see("one", start);
        rotation.see("one", start);
        assert_eq!(rotation.previous(start), None);
    }

    #[test]
    fn a_token_that_is_given_is_unknown_before_and_replaced_by_the_next_one() {
        let token = Token::to_be_given();
        assert!(token.accepts(b"").is_err() && token.current().is_err());
        assert!(!token.give("") && !token.give("two words") && token.current().is_err());
        assert!(token.give("one") && token.give("two"));
        assert_eq!(token.current().unwrap(), "two");
        assert_eq!(token.previous().as_deref(), Some("one"));
    }

    #[test]
    fn an_empty_header_never_matches() {
        assert!(!Rotation::default().accepts(b"", Instant::now()));
        assert!(!equal_in_constant_time(b"abc", b"abd"));
        assert!(!equal_in_constant_time(b"abc", b"abcd"));
        assert!(equal_in_constant_time(b"abc", b"abc"));
    }
}
