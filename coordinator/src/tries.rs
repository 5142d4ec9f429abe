//! Tells of tries of moves that have failed: once each, and no flood when one fails again and again. Pure.

use std::collections::BTreeMap;

use redisnode_planner::{Heard, PlannedEvent};
use redisnode_proto::job::Try;
use redisnode_proto::{Millis, NodeName};

/// Of one pair no more is told within this, unless another driver fails.
const AT_MOST_EVERY: Millis = Millis(60_000);

/// What was seen and told of failed tries.
#[derive(Debug, Default)]
pub struct Tries {
    /// The tries that each source's agent has reported, by target. An agent that was never heard is none.
    seen: BTreeMap<NodeName, BTreeMap<NodeName, Vec<Try>>>,
    told: BTreeMap<(NodeName, NodeName), Told>,
}

#[derive(Debug)]
struct Told {
    at: Millis,
    driver: String,
    /// Failed since, and not told.
    untold: usize,
}

impl Tries {
    /// What is new in the Reports, as events. What an agent says first was told by the life before.
    pub fn news(&mut self, heard: &BTreeMap<NodeName, Heard>, now: Millis) -> Vec<PlannedEvent> {
        let mut events = Vec::new();
        for (source, heard) in heard {
            let jobs = &heard.report.jobs;
            let tries = jobs.iter().map(|job| (job.target.clone(), job.tries.clone())).collect();
            let Some(before) = self.seen.insert(source.clone(), tries) else { continue };
            for job in jobs {
                let known = before.get(&job.target).map_or(&[][..], Vec::as_slice);
                let new = added(known, &job.tries);
                if let Some(last) = new.last() {
                    events.extend(self.tell((source, &job.target), last, new.len(), now));
                }
            }
        }
        self.seen.retain(|source, _| heard.contains_key(source));
        self.told.retain(|_, told| now.since(told.at) < AT_MOST_EVERY || told.untold > 0);
        events
    }

    fn tell(&mut self, pair: (&NodeName, &NodeName), last: &Try, new: usize, now: Millis) -> Option<PlannedEvent> {
        let (source, target) = pair;
        let key = (source.clone(), target.clone());
        let mut before = 0;
        if let Some(told) = self.told.get_mut(&key) {
            if now.since(told.at) < AT_MOST_EVERY && told.driver == last.driver {
                told.untold += new;
                return None;
            }
            before = told.untold;
        }
        let more = match before + new - 1 {
            0 => String::new(),
            more => format!(" ({more} more tries failed before)"),
        };
        self.told.insert(key, Told { at: now, driver: last.driver.clone(), untold: 0 });
        let message = format!("{source} to {target} by {}: {}{more}", last.driver, last.reason);
        Some(PlannedEvent::warning("MoveTryFailed", message))
    }
}

/// The tries of `now` that are not in `before`: the oldest are dropped when there are too many.
fn added<'t>(before: &[Try], now: &'t [Try]) -> &'t [Try] {
    let kept = (0..=before.len()).find_map(|dropped| {
        let kept = before.get(dropped..)?;
        now.starts_with(kept).then_some(kept.len())
    });
    now.get(kept.unwrap_or(0)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use redisnode_proto::job::Job;
    use redisnode_proto::{Report, SlotSet};
    use serde_json::json;

    use super::*;

    fn tries(of: &[(&str, &str)]) -> Vec<Try> {
        of.iter().map(|(driver, reason)| Try { driver: (*driver).to_owned(), reason: (*reason).to_owned() }).collect()
    }

    fn heard(tries: Option<Vec<Try>>) -> BTreeMap<NodeName, Heard> {
        let job = |tries| Job { tries, ..Job::new("my-1".parse().unwrap(), SlotSet::new()) };
        let member = json!({"name": "my-0", "uid": "u"});
        let mut report: Report = serde_json::from_value(json!({
            "version": 1, "life": 1, "revision": 1, "agent_version": "0", "cluster": "c", "member": member,
            "address": {"ip": "127.0.0.1", "port": 1, "bus_port": 2, "http_port": 3}, "server": {"state": "starting"},
            "disk": {"has_data": false}, "ledger": {"version": 1, "cluster": "c", "member": member},
        }))
        .unwrap();
        report.jobs = tries.into_iter().map(job).collect();
        BTreeMap::from([("my-0".parse().unwrap(), Heard { report, at: Millis(0) })])
    }

    fn messages(tries: &mut Tries, of: Option<&[(&str, &str)]>, now: u64) -> Vec<String> {
        let events = tries.news(&heard(of.map(self::tries)), Millis(now));
        assert!(events.iter().all(|event| event.reason == "MoveTryFailed"));
        events.into_iter().map(|event| event.message).collect()
    }

    #[test]
    fn a_failed_try_is_told_once_and_what_was_there_at_the_start_not_at_all() {
        let mut tries = Tries::default();
        let (old, new) = (("import", "no room"), ("migrate", "no way"));
        assert!(messages(&mut tries, Some(&[old]), 0).is_empty());
        assert_eq!(messages(&mut tries, Some(&[old, new]), 1), ["my-0 to my-1 by migrate: no way"]);
        assert!(messages(&mut tries, Some(&[old, new]), 2).is_empty());
        assert!(messages(&mut tries, Some(&[new]), 3).is_empty(), "the oldest was dropped");
        assert!(messages(&mut tries, None, 4).is_empty());
        assert_eq!(messages(&mut tries, Some(&[old]), 5), ["my-0 to my-1 by import: no room"], "a new move");
    }

    #[test]
    fn what_fails_again_and_again_is_told_once_a_minute_with_its_count_and_another_driver_at_once() {
        let mut tries = Tries::default();
        messages(&mut tries, None, 0);
        let mut told = 0;
        let mut all = Vec::new();
        for second in 0..59 {
            all.push(("import".to_owned(), format!("try {second}")));
            let last: Vec<(&str, &str)> =
                all.iter().rev().take(4).rev().map(|(d, r)| (d.as_str(), r.as_str())).collect();
            told += messages(&mut tries, Some(&last), second * 1000).len();
        }
        assert_eq!(told, 1);
        let other = messages(&mut tries, Some(&[("import", "try 58"), ("migrate", "no way")]), 59_000);
        assert_eq!(other, ["my-0 to my-1 by migrate: no way (58 more tries failed before)"]);
    }
}
