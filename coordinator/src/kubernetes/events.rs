//! Tells what happened as Kubernetes events: each once, and no flood.

use std::collections::VecDeque;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event as ToTell, EventType, Recorder, Reporter};
use redisnode_proto::event::{Event, Severity};

use super::ask::ask;

/// What was told and is remembered; more than the status shows.
const REMEMBERED: usize = 256;
/// How many are told after one decision; the rest follows after the next ones.
const AT_ONCE: usize = 16;

/// Tells the events of one cluster.
pub(super) struct Teller {
    recorder: Recorder,
    reference: ObjectReference,
    told: Told,
}

impl Teller {
    /// Tells them as events about the object `reference`.
    pub(super) fn new(client: Client, reference: ObjectReference, instance: &str) -> Self {
        let reporter = Reporter { controller: "redis-coordinator".to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), reference, told: Told::default() }
    }

    /// Tells those of `events` that were not told yet; false if some are left.
    pub(super) async fn tell(&mut self, events: &[Event]) -> bool {
        let fresh = self.told.new_ones(events);
        let all = fresh.len() < AT_ONCE;
        for event in fresh {
            let kind = match event.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            };
            // The API server takes no longer sentence.
            let note: String = event.message.chars().take(1000).collect();
            let event = ToTell {
                type_: kind,
                reason: event.reason,
                note: Some(note),
                action: "Decide".to_owned(),
                secondary: None,
            };
            if let Err(why) = ask("an event could not be told", self.recorder.publish(&event, &self.reference)).await {
                tracing::warn!(why);
            }
        }
        all
    }
}

/// What was told already. Events of another life are old news: its coordinator told them.
#[derive(Debug, Default)]
struct Told {
    last: VecDeque<(u64, String, String)>,
    begun: bool,
}

impl Told {
    fn new_ones(&mut self, events: &[Event]) -> Vec<Event> {
        let key = |event: &Event| (event.at_unix_ms, event.reason.clone(), event.message.clone());
        let fresh: Vec<&Event> = events.iter().filter(|event| !self.last.contains(&key(event))).collect();
        let limit = if self.begun { AT_ONCE } else { usize::MAX };
        let fresh: Vec<Event> = fresh.into_iter().take(limit).cloned().collect();
        self.last.extend(fresh.iter().map(key));
        let surplus = self.last.len().saturating_sub(REMEMBERED);
        self.last.drain(..surplus);
        if std::mem::replace(&mut self.begun, true) { fresh } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64) -> Event {
        let (reason, message) = ("TakeoverDone".to_owned(), "my-1 leads".to_owned());
        Event { number: at, severity: Severity::Normal, reason, message, at_unix_ms: at }
    }

    #[test]
    fn an_event_is_told_once_and_what_was_there_at_the_start_not_at_all() {
        let mut told = Told::default();
        assert_eq!(told.new_ones(&[event(1)]), []);
        assert_eq!(told.new_ones(&[event(1), event(2)]), [event(2)]);
        assert_eq!(told.new_ones(&[event(1), event(2)]), []);
    }

    #[test]
    fn a_flood_is_told_in_pieces() {
        let mut told = Told::default();
        told.new_ones(&[]);
        let many: Vec<Event> = (0..40).map(event).collect();
        let pieces: Vec<usize> = (0..4).map(|_| told.new_ones(&many).len()).collect();
        assert_eq!(pieces, [16, 16, 8, 0]);
    }
}
