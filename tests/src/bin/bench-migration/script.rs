//! The bare pipelined MIGRATE: slots opened, keys sent and slots closed by a script, each pair by a thread of its own. It
//! knows nothing of crashes, large keys, or who else writes; it is what the servers can do this way.

use std::collections::VecDeque;

use redis::{Cmd, Connection, Value};

use crate::plan::Pair;

/// Slots whose keys are looked for at once.
const LOOKED_AT: usize = 16;
/// Most keys of a slot that are looked for at once.
const KEYS_OF_A_SLOT: usize = 10_000;
/// What a MIGRATE may wait for the target, in milliseconds.
const TIMEOUT_MS: u32 = 10_000;

/// How hard it pushes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Keys in one command, at most.
    pub(crate) keys: usize,
    /// Commands in flight on each connection to the source.
    pub(crate) in_flight: usize,
    /// Connections to the source that carry commands, for each pair.
    pub(crate) connections: usize,
    /// Slots that are opened together and closed together.
    pub(crate) open: usize,
    /// All pairs at the same time, or one after the other.
    pub(crate) together: bool,
}

/// Moves all pairs; `primaries` are told of the new owners.
pub(crate) fn run(pairs: &[Pair], primaries: &[u16], pace: Pace) {
    std::thread::scope(|scope| {
        for pair in pairs {
            let running = scope.spawn(move || Mover::connect(pair, primaries, pace).run());
            if !pace.together {
                running.join().expect("a script panics on its own");
            }
        }
    });
}

struct Mover<'a> {
    pair: &'a Pair,
    pace: Pace,
    source: Connection,
    target: Connection,
    finder: Connection,
    others: Vec<Connection>,
    carriers: Vec<Carrier>,
}

struct Carrier {
    connection: Connection,
    flying: usize,
}

impl<'a> Mover<'a> {
    fn connect(pair: &'a Pair, primaries: &[u16], pace: Pace) -> Self {
        let others = primaries.iter().filter(|port| ![pair.source, pair.target].contains(port));
        let carrier = |_| Carrier { connection: connect(pair.source), flying: 0 };
        Self {
            pair,
            pace,
            source: connect(pair.source),
            target: connect(pair.target),
            finder: connect(pair.source),
            others: others.map(|port| connect(*port)).collect(),
            carriers: (0..pace.connections).map(carrier).collect(),
        }
    }

    fn run(&mut self) {
        let slots = self.pair.slots.clone();
        for group in slots.chunks(self.pace.open) {
            set_slots(&mut self.target, group, "IMPORTING", &self.pair.source_id);
            set_slots(&mut self.source, group, "MIGRATING", &self.pair.target_id);
            self.ship(group);
            set_slots(&mut self.target, group, "NODE", &self.pair.target_id);
            set_slots(&mut self.source, group, "NODE", &self.pair.target_id);
            // Targets that take slots at the same time may come to the same epoch; then the others would believe the old
            // owner for ever (seen on Redis 7.0).
            for other in &mut self.others {
                set_slots(other, group, "NODE", &self.pair.target_id);
            }
        }
    }

    /// Sends all keys of the slots. The next slots are looked at while keys are under way.
    fn ship(&mut self, slots: &[u16]) {
        let mut parts = slots.chunks(LOOKED_AT);
        let mut asked = parts.next();
        ask(&mut self.finder, asked.unwrap_or_default());
        let mut turn = 0;
        while let Some(part) = asked {
            let mut batches: VecDeque<Vec<Vec<u8>>> = VecDeque::new();
            for _ in part {
                let keys: Vec<Vec<u8>> = redis::from_redis_value(receive(&mut self.finder)).expect("a list of keys");
                assert!(keys.len() < KEYS_OF_A_SLOT, "a slot has more keys than this script looks for");
                // Even parts: a last command with one key would cost as much as a full one in waiting.
                let commands = keys.len().div_ceil(self.pace.keys).max(1);
                batches.extend(keys.chunks(keys.len().div_ceil(commands).max(1)).map(<[_]>::to_vec));
            }
            asked = parts.next();
            ask(&mut self.finder, asked.unwrap_or_default());
            for batch in batches {
                let carrier = &mut self.carriers[turn % self.pace.connections];
                turn += 1;
                if carrier.flying == self.pace.in_flight {
                    carrier.settle();
                }
                send(&mut carrier.connection, &migrate(self.pair.target, &batch));
                carrier.flying += 1;
            }
        }
        for carrier in &mut self.carriers {
            while carrier.flying > 0 {
                carrier.settle();
            }
        }
    }
}

impl Carrier {
    fn settle(&mut self) {
        receive(&mut self.connection);
        self.flying -= 1;
    }
}

fn migrate(target: u16, keys: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd("MIGRATE");
    command.arg("127.0.0.1").arg(target).arg("").arg(0).arg(TIMEOUT_MS).arg("KEYS").arg(keys);
    command
}

fn ask(finder: &mut Connection, slots: &[u16]) {
    for slot in slots {
        send(finder, redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(*slot).arg(KEYS_OF_A_SLOT));
    }
}

fn set_slots(connection: &mut Connection, slots: &[u16], word: &str, id: &str) {
    let mut all = Vec::new();
    for slot in slots {
        all.extend(redis::cmd("CLUSTER").arg("SETSLOT").arg(*slot).arg(word).arg(id).get_packed_command());
    }
    connection.send_packed_command(&all).expect("the node takes commands");
    for _ in slots {
        receive(connection);
    }
}

fn send(connection: &mut Connection, command: &Cmd) {
    connection.send_packed_command(&command.get_packed_command()).expect("the node takes commands");
}

fn receive(connection: &mut Connection) -> Value {
    let answer = connection.recv_response().and_then(Value::extract_error);
    answer.expect("the node does as it is told")
}

pub(crate) fn connect(port: u16) -> Connection {
    let client = redis::Client::open(("127.0.0.1", port)).expect("an address");
    client.get_connection().expect("the node answers")
}
