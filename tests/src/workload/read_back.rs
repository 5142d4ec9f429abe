//! Reads every key back, and has the model judge what is there. A key that cannot be read is said, never taken for right.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use redis::Value;
use redis::cluster_async::ClusterConnection;

use super::audit::{Audit, Fault, Finding};
use super::commands;
use super::keys::Kind;
use super::run::{AT_ONCE, Shared, keys, lock, now_ms};

pub(super) async fn audit(shared: &Shared, connection: &ClusterConnection) -> Audit {
    let read = |(id, kind, name): (u32, Kind, Vec<u8>)| async move {
        let (mut replies, mut group) = (Vec::new(), None);
        for command in commands::reads(&name, kind, shared.options.big_hash_fields) {
            match command.query_async::<Value>(&mut connection.clone()).await {
                Ok(reply) => replies.push(reply),
                // The group was made, and that was acknowledged, before anything else was written.
                Err(error) if error.code() == Some("NOGROUP") => {
                    replies.push(Value::Array(Vec::new()));
                    group = Some(lost_group(id, kind, shared.made_at));
                }
                Err(error) => return Err(format!("{kind:?}:{id}: {error}")),
            }
        }
        let mut findings = lock(&shared.models)[id as usize].judge(&commands::observed(kind, &replies), now_ms());
        findings.extend(group);
        Ok(findings)
    };
    let results: Vec<_> = stream::iter(keys(shared)).map(read).buffer_unordered(AT_ONCE).collect().await;
    let mut audit = Audit { keys: results.len(), ..Audit::default() };
    for result in results {
        match result {
            Ok(findings) => audit.findings.extend(findings),
            Err(unread) => audit.unread.push(unread),
        }
    }
    audit
}

fn lost_group(key: u32, kind: Kind, made_at: Instant) -> Finding {
    let detail = "its group is gone".to_owned();
    Finding { fault: Fault::Lost, kind, key, acknowledged_at: Some(made_at), detail }
}
