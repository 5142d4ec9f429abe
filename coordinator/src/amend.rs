//! What only the shell knows, added to the planner's status: an invalid edit, trouble of the machine, refusals. Pure.

use redisnode_proto::event::{Event, Problem};
use redisnode_proto::status::{ClusterStatus, Condition, ConditionType, Truth};

/// Events that are shown, the planner's and ours together.
const SHOWN_EVENTS: usize = 64;

/// Adds to `status` the problems and the reason why an edit is not obeyed.
pub fn amend(status: &mut ClusterStatus, invalid_edit: Option<&str>, problems: &[Problem]) {
    if let Some(why) = invalid_edit {
        let sentence = format!("invalid edit, the cluster stays as it is: {why}");
        status.waiting_for.push(sentence.clone());
        degrade(status, "InvalidEdit", &sentence);
    }
    for problem in problems {
        degrade(status, &problem.reason, &problem.message);
    }
}

/// A wish of which the consequences are not known yet is not fulfilled: who waits for Ready after an edit must not see the
/// Ready of before.
pub fn hold_ready(status: &mut ClusterStatus, why: &str) {
    let ready = status.conditions.iter_mut().find(|condition| condition.kind == ConditionType::Ready);
    if let Some(ready) = ready.filter(|ready| ready.status == Truth::True) {
        *ready = Condition::new(ConditionType::Ready, Truth::False, "NotObserved", why);
    }
}

/// Merges our events into those of the agents, by time.
pub fn merge_events<'a>(status: &mut ClusterStatus, ours: impl Iterator<Item = &'a Event>) {
    status.events.extend(ours.cloned());
    status.events.sort_by_key(|event| event.at_unix_ms);
    let surplus = status.events.len().saturating_sub(SHOWN_EVENTS);
    status.events.drain(..surplus);
}

fn degrade(status: &mut ClusterStatus, reason: &str, message: &str) {
    let degraded = status.conditions.iter_mut().find(|condition| condition.kind == ConditionType::Degraded);
    match degraded {
        Some(condition) if condition.status == Truth::True => {
            if !condition.message.contains(message) {
                condition.message = format!("{}; {message}", condition.message);
            }
        }
        Some(condition) => *condition = degraded_by(reason, message),
        None => status.conditions.push(degraded_by(reason, message)),
    }
}

fn degraded_by(reason: &str, message: &str) -> Condition {
    Condition::new(ConditionType::Degraded, Truth::True, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_edit_is_a_condition_and_a_thing_waited_for() {
        let mut status = ClusterStatus::default();
        amend(&mut status, Some("line 3: no"), &[]);
        assert_eq!(status.conditions[0].reason, "InvalidEdit");
        assert!(status.waiting_for[0].contains("line 3: no"));
    }

    #[test]
    fn only_what_is_ready_is_held_back() {
        let ready = |truth| Condition::new(ConditionType::Ready, truth, "Healthy", "all is well");
        let mut status = ClusterStatus { conditions: vec![ready(Truth::True)], ..Default::default() };
        hold_ready(&mut status, "not seen yet");
        assert_eq!((status.conditions[0].status, status.conditions[0].reason.as_str()), (Truth::False, "NotObserved"));
        let mut status = ClusterStatus { conditions: vec![ready(Truth::Unknown)], ..Default::default() };
        hold_ready(&mut status, "not seen yet");
        assert_eq!(status.conditions[0].status, Truth::Unknown);
    }

    #[test]
    fn what_was_degraded_already_keeps_its_reason_and_gets_the_rest_as_message() {
        let mut status =
            ClusterStatus { conditions: vec![degraded_by("DataLost", "my-0 lost data")], ..Default::default() };
        let problem = Problem::new("ProcessEnds", "the agent of my-1 keeps ending");
        amend(&mut status, None, &[problem.clone(), problem]);
        assert_eq!(status.conditions[0].reason, "DataLost");
        assert_eq!(status.conditions[0].message, "my-0 lost data; the agent of my-1 keeps ending");
    }
}
