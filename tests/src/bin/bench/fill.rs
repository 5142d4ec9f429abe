//! Many small keys, written fast: pipelined SETs on one plain connection per owner.

use std::io::{Read, Write};
use std::net::TcpStream;

use redisnode_tests::view::{self, slot_of};

/// SETs in one batch.
const BATCH: usize = 1_000;

/// Writes `count` keys of `bytes` bytes to the cluster that the node on `port` knows.
pub(crate) fn fill(port: u16, count: usize, bytes: usize) {
    let view = view::view(port).expect("a node of the cluster answers");
    let owner_of_slot = view.owner_of_slots();
    let mut pipes: Vec<Option<Pipe>> = view.nodes.iter().map(|node| Pipe::open(node.port)).collect();
    let value = "x".repeat(bytes);
    for n in 0..count {
        let key = format!("bench:{n}");
        let owner = owner_of_slot[usize::from(slot_of(key.as_bytes()))].expect("every slot has an owner");
        pipes[owner].as_mut().expect("an owner can be reached").set(&key, &value);
    }
    pipes.iter_mut().flatten().for_each(Pipe::flush);
}

struct Pipe {
    stream: TcpStream,
    batch: Vec<u8>,
    waiting: usize,
}

impl Pipe {
    fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(Self { stream, batch: Vec::new(), waiting: 0 })
    }

    fn set(&mut self, key: &str, value: &str) {
        let command = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
        self.batch.extend_from_slice(command.as_bytes());
        self.waiting += 1;
        if self.waiting == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.stream.write_all(&self.batch).expect("the server takes the keys");
        // Each answer is +OK and a line end: five bytes. Anything else is of another length or is not that.
        let mut answers = vec![0; self.waiting * 5];
        self.stream.read_exact(&mut answers).expect("the server answers");
        assert!(answers.chunks(5).all(|answer| answer == b"+OK\r\n"), "a key was refused");
        self.batch.clear();
        self.waiting = 0;
    }
}
