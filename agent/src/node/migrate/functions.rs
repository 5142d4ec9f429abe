//! Functions belong to every primary, not to slots: `MIGRATE` never moves them.

use crate::resp::{Command, Lanes, Reply, RespError};

/// Carries the source's functions over to a target that has none.
pub(super) async fn carry(own: &mut Lanes, remote: &mut Lanes) -> Result<(), RespError> {
    let list = Command::new("FUNCTION").arg("LIST");
    let here = own.run(&list).await?.into_array().unwrap_or_default();
    if here.is_empty() {
        return Ok(());
    }
    let there = remote.run(&list).await?.into_array().unwrap_or_default();
    if !there.is_empty() {
        return Ok(());
    }
    let Reply::Bulk(dump) = own.demand(&Command::new("FUNCTION").arg("DUMP")).await? else { return Ok(()) };
    // Another source may have carried them there since they were listed: that is no failure of this job.
    remote.demand(&Command::new("FUNCTION").arg("RESTORE").bytes(dump).arg("REPLACE")).await.map(drop)
}
