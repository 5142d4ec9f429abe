//! Makes every key once, before the workload begins. What cannot be made is noted as an error.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use rand::SeedableRng;
use rand::rngs::StdRng;
use redis::Value;
use redis::cluster_async::ClusterConnection;

use super::commands;
use super::keys::Kind;
use super::model::{Content, Effect, Register};
use super::run::{AT_ONCE, Shared, keys, kind_of, lock, now_ms, send};

pub(super) async fn fill(shared: &Arc<Shared>, connection: &ClusterConnection) {
    stream::iter(keys(shared))
        .for_each_concurrent(AT_ONCE, |(id, kind, name)| async move {
            match kind {
                Kind::BigHash => fill_hash(shared, connection, id, &name).await,
                Kind::Stream => {
                    let group = commands::create_group(&name).query_async::<Value>(&mut connection.clone()).await;
                    if let Err(error) = group {
                        lock(&shared.stats).failed(kind_of(&error), error.to_string());
                    }
                    first_write(shared, connection, id).await;
                }
                _ => first_write(shared, connection, id).await,
            }
        })
        .await;
}

async fn first_write(shared: &Shared, connection: &ClusterConnection, id: u32) {
    let mut rng = StdRng::seed_from_u64(u64::from(id));
    let write = lock(&shared.models)[id as usize].next(&mut rng, now_ms());
    if let Some(write) = write {
        send(shared, connection, &write, Instant::now()).await;
    }
}

async fn fill_hash(shared: &Shared, connection: &ClusterConnection, id: u32, name: &[u8]) {
    let fields = shared.options.big_hash_fields;
    for first in (0..fields).step_by(1000) {
        let part = first..fields.min(first + 1000);
        let reply = commands::fill_hash(id, name, part.clone()).query_async::<Value>(&mut connection.clone()).await;
        if let Err(error) = reply {
            lock(&shared.stats).failed(kind_of(&error), error.to_string());
            return;
        }
        if let Content::Registers(registers) = &mut lock(&shared.models)[id as usize].content {
            for field in part {
                registers.entry(field).or_insert_with(Register::default).acknowledged(
                    1,
                    Effect::Present(None),
                    Instant::now(),
                );
            }
        }
    }
}
