//! Who is connected: no more than there is memory for. Room for the next one is made by closing the connection that has been
//! silent for longest, one that never showed the token first: probes get through whoever else holds connections open.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::{AbortHandle, Id, JoinSet};

/// Most connections at once. Each takes up to 30 KiB (measured), and an agent has little memory; in a cluster of a hundred shards
/// with a replica each some two hundred call.
const LIMIT: usize = 320;

/// The connections of a server.
#[derive(Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    seats: HashMap<Id, (AbortHandle, Arc<Seat>)>,
}

/// What is known of one connection.
pub(crate) struct Seat {
    trusted: AtomicBool,
    /// Since when it is waited for; absent while a request of it is answered.
    silent_since: Mutex<Option<Instant>>,
}

/// A request is being answered.
pub(crate) struct Busy<'a>(&'a Seat);

impl Connections {
    /// Whether one more fits. If not, the most silent one is closed; none is if all of them wait for an answer.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.seats.len() < LIMIT {
            return true;
        }
        let silent = self.seats.iter().filter_map(|(id, (_, seat))| Some((seat.worth()?, *id)));
        let Some((_, id)) = silent.min_by_key(|(worth, _)| *worth) else { return false };
        if let Some((connection, _)) = self.seats.remove(&id) {
            connection.abort();
        }
        true
    }

    /// One more connection.
    pub(crate) fn add<C>(&mut self, connection: impl FnOnce(Arc<Seat>) -> C)
    where
        C: Future<Output = ()> + Send + 'static,
    {
        let silent_since = Mutex::new(Some(Instant::now()));
        let seat = Arc::new(Seat { trusted: AtomicBool::new(false), silent_since });
        let handle = self.tasks.spawn(connection(Arc::clone(&seat)));
        self.seats.insert(handle.id(), (handle, seat));
    }

    /// A connection has ended; `None` if there is none.
    pub(crate) async fn one_ended(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.seats.remove(&id);
        Some(())
    }

    /// Closes all.
    pub(crate) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl Seat {
    /// It has shown the token.
    pub(crate) fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }

    /// A request is being answered until this is dropped.
    pub(crate) fn busy(&self) -> Busy<'_> {
        *self.silent_since() = None;
        Busy(self)
    }

    /// What is closed last is greatest; nothing if it must not be closed.
    fn worth(&self) -> Option<(bool, Instant)> {
        let since = *self.silent_since();
        since.map(|since| (self.trusted.load(Ordering::Relaxed), since))
    }

    fn silent_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.0.silent_since() = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(seat: &Seat) {
        *seat.silent_since() = None;
    }

    #[tokio::test]
    async fn the_most_silent_one_without_a_token_makes_room_and_none_that_is_answered() {
        let mut connections = Connections::default();
        let mut seats = Vec::new();
        for _ in 0..LIMIT {
            assert!(connections.has_room());
            connections.add(|seat| {
                seats.push(seat);
                std::future::pending()
            });
        }
        let silent: Vec<_> = seats.drain(..3).collect();
        for seat in &seats {
            is_answered(seat);
        }
        if let Some(first) = silent.first() {
            first.trust();
        }
        for left in [[true, false, true], [true, false, false], [false, false, false]] {
            assert!(connections.has_room());
            let is_there = |seat: &Arc<Seat>| connections.seats.values().any(|(_, held)| Arc::ptr_eq(held, seat));
            assert_eq!(silent.iter().map(is_there).collect::<Vec<_>>(), left);
            assert_eq!(connections.one_ended().await, Some(()), "it is closed");
            connections.add(|seat| {
                is_answered(&seat);
                std::future::pending()
            });
        }
        assert!(!connections.has_room(), "all of them wait for their answers");
    }
}
