//! Time from an edit of the file to a settled cluster, with almost no keys: 3 primaries to 6, and 6 to 2.

use std::time::{Duration, Instant};

use redisnode_tests::cluster::{LocalCluster, Spec};
use redisnode_tests::servers::Server;

use crate::table::{Table, time};

const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) fn measure(server: &Server, table: &mut Table) {
    let mut cluster = LocalCluster::start(server, Spec::of(3, 1));
    for (from, to) in [(3, 6), (6, 2)] {
        let begun = Instant::now();
        cluster.edit(|spec| spec.primaries = to);
        cluster.wait_settled(PATIENCE);
        let what = format!("scale {from} to {to} with a replica each, no keys");
        table.row(&what, &server.version, time(begun.elapsed()), "-".to_owned());
    }
}
