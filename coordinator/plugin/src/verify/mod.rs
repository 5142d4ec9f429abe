//! `verify`: a line for each check, from what the nodes say now. Trusts no coordinator.

mod checks;
mod look;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use redisnode_planner::{MachineMember, Presence};

use self::checks::{CHECKS, Check};
use self::look::Look;
use crate::cli::VerifyArgs;
use crate::place::{Place, Snapshot};
use crate::{Verdict, put};

/// At most so many findings of one check are shown.
const SHOWN: usize = 5;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Checks it. One look may fall between two steps of healthy work (an idle member reports once a second), so a finding is
/// believed only when it lasts.
pub(crate) async fn run(place: &impl Place, args: &VerifyArgs) -> Result<Verdict, String> {
    let is_good = |checks: &[Check]| checks.iter().all(|check| check.wrong.is_empty());
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    let mut checks = check(&place.snapshot().await?);
    while !is_good(&checks) && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        checks = check(&place.snapshot().await?);
    }
    put(&text(&checks));
    let good = is_good(&checks);
    Ok(if good { Verdict::Good } else { Verdict::Bad })
}

fn check(snapshot: &Snapshot) -> Vec<Check> {
    let look = Look::at(snapshot);
    let members = Check { what: "every member answers".to_owned(), wrong: silent(snapshot) };
    std::iter::once(members).chain(CHECKS.iter().map(|check| check(&look))).collect()
}

fn silent(snapshot: &Snapshot) -> Vec<String> {
    let why = |machine: &MachineMember| {
        let name = &machine.member.name;
        let heard = snapshot.heard.get(name);
        let stranger = heard.filter(|heard| heard.report.cluster != snapshot.cluster);
        match (heard, stranger) {
            (_, Some(_)) => Some(format!("the agent at the address of {name} belongs to another cluster")),
            (Some(_), None) => None,
            (None, _) if machine.presence == Presence::Down => Some(format!("{name} does not run")),
            (None, _) => {
                let why = snapshot.silent.get(name).map_or("no answer", String::as_str);
                Some(format!("{name}: {why}"))
            }
        }
    };
    snapshot.machine.iter().filter_map(why).collect()
}

fn text(checks: &[Check]) -> String {
    let mut lines = Vec::new();
    for Check { what, wrong } in checks {
        lines.push(format!("{} {what}", if wrong.is_empty() { "ok  " } else { "FAIL" }));
        lines.extend(wrong.iter().take(SHOWN).map(|finding| format!("       {finding}")));
        let more = wrong.len().saturating_sub(SHOWN);
        lines.extend((more > 0).then(|| format!("       and {more} more")));
    }
    let failed = checks.iter().filter(|check| !check.wrong.is_empty()).count();
    lines.push(match failed {
        0 => format!("all {} checks passed", checks.len()),
        _ => format!("{failed} of {} checks failed", checks.len()),
    });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod shown {
    use super::*;

    #[test]
    fn findings_stand_below_their_check_and_only_a_few_of_many() {
        let checks = [
            Check { what: "every slot is covered once".to_owned(), wrong: Vec::new() },
            Check { what: "all agree".to_owned(), wrong: (0..7).map(|node| format!("my-{node} does not")).collect() },
        ];
        let text = text(&checks);
        assert!(text.starts_with("ok   every slot is covered once\nFAIL all agree\n       my-0 does not\n"), "{text}");
        assert!(text.ends_with("my-4 does not\n       and 2 more\n1 of 2 checks failed\n"), "{text}");
    }
}
