//! A new server's first table, and leaving it: see [`redisnode_proto::topology::nodes::primer_table`].

use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;
use redisnode_agent_core::duties::FoundersClaim;
use redisnode_proto::topology::nodes::primer_table;
use redisnode_proto::{Address, NodeId};

use super::acting::add_slots;
use super::reconcile::Reconciler;
use crate::files::{FileError, write_durably};
use crate::resp::{Command, RespError};

/// Writes the first table of a server that has none. Without random numbers none is written: the server makes its own
/// then, and takes its first write two seconds later.
pub(super) fn prime(nodes_conf: &Path, at: &Address) -> Result<(), FileError> {
    let Some(id) = random_id() else { return Ok(()) };
    write_durably(nodes_conf, primer_table(&id, at).as_bytes())
}

fn random_id() -> Option<NodeId> {
    let mut bytes = [0u8; 20];
    SysRng.try_fill_bytes(&mut bytes).ok()?;
    let number = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    number.parse().ok()
}

impl Reconciler {
    /// Leaves the made-up primary and takes the founder's slots in one transaction.
    pub(super) async fn unprime(&mut self, claim: Option<&FoundersClaim>) -> Result<(), RespError> {
        let mut commands = vec![Command::new("MULTI"), Command::new("CLUSTER").args_from(["RESET", "SOFT"])];
        if let Some(FoundersClaim { epoch, slots }) = claim {
            commands.push(Command::new("CLUSTER").arg("SET-CONFIG-EPOCH").arg(epoch.0.to_string()));
            commands.push(add_slots(slots));
        }
        commands.push(Command::new("EXEC"));
        let mut replies = self.eye.open(&self.shared).await?.pipeline(&commands).await?;
        let Some(last) = replies.pop() else { return Ok(()) };
        for reply in last.array("EXEC")? {
            reply.ok("CLUSTER of a founder")?;
        }
        Ok(())
    }
}
