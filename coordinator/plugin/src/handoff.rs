//! `handoff`: asks the primary's agent, and waits until it is known how it ended.

use std::time::Duration;

use redisnode_planner::MachineMember;
use redisnode_proto::NodeName;
use redisnode_proto::message::{HandoffRequest, Outcome};
use tokio::time::Instant;

use crate::cli::HandoffArgs;
use crate::place::Place;
use crate::{Verdict, put};

/// A primary with much to tell its replica takes a while; it goes on serving meanwhile.
const WITHIN: Duration = Duration::from_mins(1);
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Does it.
pub(crate) async fn run(place: &impl Place, args: &HandoffArgs) -> Result<Verdict, String> {
    let members = place.members().await?;
    let primary = known(&members, &args.node)?;
    args.to.as_ref().map(|to| known(&members, to)).transpose()?;
    let request = HandoffRequest { to: args.to.clone() };
    let deadline = Instant::now() + WITHIN;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = place.handoff(primary, &request, left).await;
        match outcome.map_err(|why| format!("the agent of {} gives no answer: {why}", args.node))? {
            Outcome::Done { name, .. } => {
                put(&format!("{name} is the primary in the place of {}\n", args.node));
                return Ok(Verdict::Good);
            }
            Outcome::Refused { reason } => {
                put(&format!("not done: {reason}\n"));
                return Ok(Verdict::Bad);
            }
            Outcome::Pending { reason } if Instant::now() + AGAIN_AFTER >= deadline => {
                return Err(format!("not known after {} s: {reason}; look again with status", WITHIN.as_secs()));
            }
            Outcome::Pending { .. } => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

fn known<'a>(members: &'a [MachineMember], name: &NodeName) -> Result<&'a MachineMember, String> {
    members.iter().find(|machine| machine.member.name == *name).ok_or_else(|| {
        let names: Vec<&str> = members.iter().map(|machine| machine.member.name.as_str()).collect();
        format!("there is no node {name}; there are {}", names.join(", "))
    })
}
