//! Who owns the slots of a piece once it is over, by both servers' own tables.

use std::time::Duration;

use redisnode_agent_core::migration::arrived;
use redisnode_proto::SlotSet;
use redisnode_proto::topology::nodes::parse_view;
use redisnode_proto::topology::{ClusterInfo, View};
use tokio::time::{Instant, sleep};

use super::super::super::look::LookError;
use super::super::super::shared::whole;
use super::super::pair::Pair;
use crate::resp::{Command, Lanes, Reply};

/// A change of owner travels by the servers' bus: the source hears of it within milliseconds.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Reads both servers' tables.
pub(super) struct Truth {
    pair: Pair,
    own: Lanes,
    remote: Lanes,
}

impl Truth {
    pub(super) fn of(pair: &Pair) -> Self {
        Self { pair: pair.clone(), own: pair.own_lanes(), remote: pair.remote_lanes() }
    }

    /// Of these slots, those that have arrived. Where the servers say that all went well, or one of them shows that it is
    /// not over for all, the other one is waited for.
    pub(super) async fn arrived(&mut self, slots: &SlotSet, went_well: bool) -> Result<SlotSet, String> {
        let until = Instant::now() + KNOWN_WITHIN;
        loop {
            let (own, remote) = tokio::join!(view(&mut self.own), view(&mut self.remote));
            let own = own.map_err(|error| whole(&error))?;
            let remote = remote.map_err(|error| whole(&error))?;
            let there = arrived(slots, &own, &remote, &self.pair.target_id);
            let mine = own.myself().map(|me| me.slots.clone()).unwrap_or_default();
            let theirs = remote.myself().map(|me| me.slots.clone()).unwrap_or_default();
            let both = !slots.intersection(&mine).is_disjoint(&theirs);
            let settled = there == *slots || (!went_well && !both);
            if settled || Instant::now() > until {
                return Ok(there);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

async fn view(lanes: &mut Lanes) -> Result<View, LookError> {
    let commands = [Command::new("CLUSTER").arg("INFO"), Command::new("CLUSTER").arg("NODES")];
    let mut replies = lanes.pipeline(&commands).await?.into_iter();
    let mut next = || replies.next().unwrap_or(Reply::Nil);
    let info = ClusterInfo::parse(&next().text("CLUSTER INFO")?)?;
    Ok(parse_view(&next().text("CLUSTER NODES")?, &info)?)
}
