//! The other side of a handoff: the own server is promoted while the old primary serves, or holds its writes.

use std::sync::Arc;
use std::time::Duration;

use redisnode_http::{Request, Response};
use redisnode_proto::message::{Outcome, TakeoverRequest};
use redisnode_proto::topology::Role;
use redisnode_proto::{NodeId, Offset, judge};
use tokio::time::Instant;

use super::api::fresh_look;
use super::shared::{Shared, whole};
use crate::resp::{Command, Connection, Reply, RespError};

const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// A vote takes 30 to 90 ms (measured); who has voted for this shard a moment ago does not vote again for twice the node
/// time-out (Redis, Valkey before 8.1).
const VOTE_WITHIN: Duration = Duration::from_millis(100);
/// The old primary holds its writes for 5 s: nothing is ordered after so long.
const ORDER_WITHIN: Duration = Duration::from_millis(1500);
const PROMOTED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Answers `Pending` if the votes did not come: then the primary's agent holds writes and asks again.
pub(super) async fn takeover(shared: &Arc<Shared>, request: &Request) -> Response {
    let received = Instant::now();
    let wish: TakeoverRequest = match request.json() {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    fresh_look(shared).await;
    if wish.held_at.is_some() && shared.state().server.running().is_none() {
        // An earlier order may be waiting in it.
        return Response::json(&Outcome::Pending { reason: "the server does not answer".into() });
    }
    if let Some(reason) = unfit(shared, &wish) {
        return Response::json(&Outcome::Refused { reason });
    }
    let promoted = match wish.held_at {
        None => by_votes(shared).await,
        Some(offset) => at_offset(shared, offset, received).await,
    };
    shared.wake.notify_one();
    let outcome = match promoted {
        Ok(Some(id)) => Outcome::Done { primary: id, name: shared.me.name.clone() },
        Ok(None) if wish.held_at.is_none() => Outcome::Pending { reason: "the other primaries did not vote".into() },
        Ok(None) => Outcome::Pending { reason: "the server is not promoted yet".into() },
        // An order without votes may still be obeyed later: its primary must not let writes flow for an error.
        Err(error) if wish.held_at.is_some() => Outcome::Pending { reason: whole(&error) },
        Err(error) => Outcome::Refused { reason: whole(&error) },
    };
    Response::json(&outcome)
}

fn unfit(shared: &Shared, wish: &TakeoverRequest) -> Option<String> {
    let state = shared.state();
    if state.stopping {
        return Some(format!("{} is stopping itself", shared.me.name));
    }
    let Some(running) = state.server.running() else { return Some("the server does not answer".into()) };
    let me = running.view.myself()?;
    // The votes may have come late, for the first of two requests.
    let is_promoted = wish.held_at.is_some() && me.role == Role::Primary && !me.slots.is_empty();
    let follows = judge::is_linked_to(running, &wish.from);
    (!follows && !is_promoted)
        .then(|| format!("the server of {} is not in sync with {}", shared.me.name, wish.from.short()))
}

async fn by_votes(shared: &Shared) -> Result<Option<NodeId>, RespError> {
    let mut connection = connect(shared).await?;
    connection.demand(&Command::new("CLUSTER").arg("FAILOVER")).await?;
    promoted(&mut connection, VOTE_WITHIN).await
}

/// Nobody else stands for election while the primary lives, and it takes no write: no vote is needed.
async fn at_offset(shared: &Shared, offset: Offset, received: Instant) -> Result<Option<NodeId>, RespError> {
    let mut connection = connect(shared).await?;
    while received.elapsed() < ORDER_WITHIN {
        let role = connection.demand(&Command::new("ROLE")).await?.into_array().unwrap_or_default();
        match role.first().and_then(Reply::as_text) {
            Some("master") => return promoted(&mut connection, PROMOTED_WITHIN).await,
            // The last element of a replica's ROLE is its offset.
            Some("slave")
                if role
                    .last()
                    .and_then(Reply::as_integer)
                    .is_some_and(|has| has >= 0 && has.unsigned_abs() >= offset.0) =>
            {
                // Refused if the votes came after all: then it is a primary now.
                connection.run(&Command::new("CLUSTER").arg("FAILOVER").arg("TAKEOVER")).await?;
                return promoted(&mut connection, PROMOTED_WITHIN).await;
            }
            Some(_) | None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    Ok(None)
}

/// Its id, once it is a primary.
async fn promoted(connection: &mut Connection, within: Duration) -> Result<Option<NodeId>, RespError> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        let role = connection.demand(&Command::new("ROLE")).await?.into_array().unwrap_or_default();
        if role.first().and_then(Reply::as_text) == Some("master") {
            let id = connection.demand(&Command::new("CLUSTER").arg("MYID")).await?.text("CLUSTER MYID")?;
            return Ok(id.parse().ok());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

async fn connect(shared: &Shared) -> Result<Connection, RespError> {
    let mut connection = shared.connect(CONNECT_WITHIN).await?;
    connection.set_deadline(Duration::from_secs(1));
    Ok(connection)
}
