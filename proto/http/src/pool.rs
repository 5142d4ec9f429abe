//! Connections that rest between two calls: few per address, none for long.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::link::Link;

/// Connections kept per address: one for the long poll, one for the calls beside it.
const KEPT_PER_ADDRESS: usize = 2;

#[derive(Default)]
pub(crate) struct Pool {
    resting: Mutex<HashMap<SocketAddr, Vec<Link>>>,
}

impl Pool {
    /// A connection that can be used again.
    pub(crate) fn take(&self, address: SocketAddr) -> Option<Link> {
        let mut resting = self.resting();
        let links = resting.get_mut(&address)?;
        while let Some(mut link) = links.pop() {
            if link.is_usable() {
                return Some(link);
            }
        }
        resting.remove(&address);
        None
    }

    /// Keeps `link` for the next call, and lets go of what has rested too long.
    pub(crate) fn put(&self, address: SocketAddr, link: Link) {
        let mut resting = self.resting();
        resting.retain(|_, links| {
            links.retain(|link| !link.is_old());
            !links.is_empty()
        });
        let links = resting.entry(address).or_default();
        if links.len() < KEPT_PER_ADDRESS {
            links.push(link);
        }
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Link>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
