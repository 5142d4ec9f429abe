//! The coordinator's own events: numbered and dated here, since the planner knows neither.

use std::collections::VecDeque;

use redisnode_planner::PlannedEvent;
use redisnode_proto::event::Event;

use crate::clock::unix_ms;

/// How many are kept.
const KEPT: usize = 64;

/// The last events of this life.
#[derive(Debug, Default)]
pub struct Journal {
    events: VecDeque<Event>,
    last: u64,
}

impl Journal {
    /// Adds an event that happens now.
    pub fn add(&mut self, event: PlannedEvent) {
        self.last = self.last.saturating_add(1);
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        tracing::info!(reason = event.reason, message = event.message, "event");
        self.events.push_back(Event {
            number: self.last,
            severity: event.severity,
            reason: event.reason,
            message: event.message,
            at_unix_ms: unix_ms(),
        });
    }

    /// Them, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_numbers_go_on() {
        let mut journal = Journal::default();
        (0..KEPT + 2).for_each(|_| journal.add(PlannedEvent::normal("Tested", "it was")));
        let numbers: Vec<u64> = journal.events().map(|event| event.number).collect();
        assert_eq!((numbers.len(), numbers[0], numbers[KEPT - 1]), (KEPT, 3, KEPT as u64 + 2));
    }
}
