//! Data, written fast: pipelined commands on one plain connection per owner.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::view::{self, slot_of};

/// Bytes in one batch, and answers that are waited for at once.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_COMMANDS: usize = 1_000;
/// Members in one command.
const MEMBERS: usize = 500;

/// Writes `count` keys of `bytes` bytes to the cluster that the node on `port` knows.
pub fn fill(port: u16, count: usize, bytes: usize) {
    strings(port, (0..count).map(|n| format!("bench:{n}")), bytes);
}

/// Writes strings of `bytes` bytes under these names.
pub fn strings(port: u16, keys: impl Iterator<Item = String>, bytes: usize) {
    let mut pipes = Pipes::open(port);
    let value = vec![b'x'; bytes];
    for key in keys {
        pipes.send(&key, &[b"SET", key.as_bytes(), &value]);
    }
    pipes.flush();
}

/// Writes one hash of so many fields with values of ten bytes.
pub fn hash(port: u16, key: &str, fields: usize) {
    members(port, key, b"HSET", fields, |n| [format!("field:{n:09}"), format!("{n:010}")]);
}

/// Writes one sorted set of so many members.
pub fn sorted_set(port: u16, key: &str, members_in_it: usize) {
    members(port, key, b"ZADD", members_in_it, |n| [n.to_string(), format!("member:{n:09}")]);
}

fn members(port: u16, key: &str, word: &[u8], count: usize, member: impl Fn(usize) -> [String; 2]) {
    let mut pipes = Pipes::open(port);
    for first in (0..count).step_by(MEMBERS) {
        let words: Vec<String> = (first..count.min(first + MEMBERS)).flat_map(&member).collect();
        let mut command: Vec<&[u8]> = vec![word, key.as_bytes()];
        command.extend(words.iter().map(String::as_bytes));
        pipes.send(key, &command);
    }
    pipes.flush();
}

/// A connection to each node.
struct Pipes {
    owner_of_slot: Vec<Option<usize>>,
    pipes: Vec<Option<Pipe>>,
}

impl Pipes {
    fn open(port: u16) -> Self {
        let view = view::view(port).expect("a node of the cluster answers");
        let pipes = view.nodes.iter().map(|node| Pipe::open(node.port)).collect();
        Self { owner_of_slot: view.owner_of_slots(), pipes }
    }

    fn send(&mut self, key: &str, command: &[&[u8]]) {
        let owner = self.owner_of_slot[usize::from(slot_of(key.as_bytes()))].expect("every slot has an owner");
        self.pipes[owner].as_mut().expect("an owner can be reached").send(command);
    }

    fn flush(&mut self) {
        self.pipes.iter_mut().flatten().for_each(Pipe::flush);
    }
}

struct Pipe {
    stream: BufReader<TcpStream>,
    batch: Vec<u8>,
    waiting: usize,
}

impl Pipe {
    fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(Self { stream: BufReader::new(stream), batch: Vec::new(), waiting: 0 })
    }

    fn send(&mut self, command: &[&[u8]]) {
        write_command(&mut self.batch, command);
        self.waiting += 1;
        if self.waiting == BATCH_COMMANDS || self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.stream.get_mut().write_all(&self.batch).expect("the server takes the data");
        for _ in 0..self.waiting {
            let mut answer = String::new();
            self.stream.read_line(&mut answer).expect("the server answers");
            assert!(answer.starts_with(['+', ':']), "data was refused: {answer}");
        }
        self.batch.clear();
        self.waiting = 0;
    }
}

/// Appends a command as the wire has it.
pub fn write_command(to: &mut Vec<u8>, command: &[&[u8]]) {
    write!(to, "*{}\r\n", command.len()).expect("a vector grows");
    for word in command {
        write!(to, "${}\r\n", word.len()).expect("a vector grows");
        to.extend_from_slice(word);
        to.extend_from_slice(b"\r\n");
    }
}
