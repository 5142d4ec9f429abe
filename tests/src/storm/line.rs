//! A connection to a server: requests are gathered, sent together, and answered in their order.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::answer::Answer;

/// Longer than any pause of writes while slots change their owner.
const PATIENCE: Duration = Duration::from_mins(1);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: BufReader<TcpStream>,
    wire: Vec<u8>,
    /// Whose requests wait for an answer, and for how many.
    waiting: VecDeque<(usize, usize)>,
}

impl Line {
    pub(super) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), CONNECT_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(1 << 16, stream), wire: Vec::new(), waiting: VecDeque::new() })
    }

    /// Adds a request of `whose`: `write` appends it and says how many answers it has.
    pub(super) fn add(&mut self, whose: usize, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        let answers = write(&mut self.wire);
        self.waiting.push_back((whose, answers));
    }

    /// Sends what was added.
    pub(super) fn send(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&self.wire)?;
        self.wire.clear();
        Ok(())
    }

    /// The answers to the oldest request, and whose it is; none if all are answered.
    pub(super) fn receive(&mut self) -> io::Result<Option<(usize, Vec<Answer>)>> {
        let Some((whose, answers)) = self.waiting.pop_front() else { return Ok(None) };
        let answers = (0..answers).map(|_| Answer::read(&mut self.stream)).collect::<io::Result<_>>()?;
        Ok(Some((whose, answers)))
    }
}
