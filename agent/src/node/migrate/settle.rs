//! Makes sure that what unanswered commands had sent reaches the target no more; see
//! [`redisnode_agent_core::migration::carriers`].

use std::time::Duration;

use redisnode_agent_core::migration::{Carrier, carriers};
use tokio::time::Instant;

use super::pair::{CONNECT_WITHIN, Pair};
use crate::resp::{Command, Connection, RespError};

/// A target that answers has read what had come before within milliseconds. Who is busy for longer is another source.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
/// A target that was frozen finds every client idle; those that are alive have said something after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns when no connection that was there before this call may bring keys of this source any more. An error if the
/// target does not answer: then nothing may be sent again yet.
///
/// Idle connections are closed: what is still on its way in them ends nowhere. The source's server opens another one when
/// it needs it, and so does a client that has said nothing yet.
pub(super) async fn settle(pair: &Pair) -> Result<(), RespError> {
    let mut connection = Connection::open(pair.target.server(), &pair.shared.access(), CONNECT_WITHIN).await?;
    connection.set_deadline(CONNECT_WITHIN);
    let asker = connection.demand(&Command::new("CLIENT").arg("ID")).await?.integer("CLIENT ID")?;
    let asker = u64::try_from(asker).unwrap_or(u64::MAX);
    let until = Instant::now() + SETTLES_WITHIN;
    while !there(&mut connection, asker).await?.is_empty() && Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
        let left = there(&mut connection, asker).await?;
        let idle = left.iter().filter(|carrier| carrier.idle);
        let kills: Vec<Command> =
            idle.map(|carrier| Command::new("CLIENT").arg("KILL").arg("ID").arg(carrier.id.to_string())).collect();
        if !kills.is_empty() {
            tracing::info!(
                connections = kills.len(),
                "idle connections that could bring old keys to the target are closed"
            );
            connection.pipeline(&kills).await?;
        }
    }
    Ok(())
}

async fn there(connection: &mut Connection, asker: u64) -> Result<Vec<Carrier>, RespError> {
    let list = connection.demand(&Command::new("CLIENT").arg("LIST")).await?.text("CLIENT LIST")?;
    Ok(carriers(&list, asker))
}
