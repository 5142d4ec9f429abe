//! A connection in two halves, for work that keeps a bounded number of commands in flight (slot migration).
//!
//! Replies come in the order of the commands. The halves share one fate: once either fails, both say so.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::codec::{Decoder, encode};
use super::command::Command;
use super::connection::{Connection, read_reply};
use super::error::RespError;
use super::names::Names;
use super::reply::Reply;

/// The half that sends. Dropping it ends the window: the receiver still gets the replies that are due.
#[derive(Debug)]
pub struct WindowSender {
    writer: OwnedWriteHalf,
    out: BytesMut,
    room: Arc<Semaphore>,
    sent: mpsc::UnboundedSender<Sent>,
    deadline: Duration,
    names: Names,
    fate: Arc<Fate>,
    /// A write is under way, or was dropped half-way.
    is_writing: bool,
}

/// The half that receives. Dropping it wakes a sender that waits for room.
#[derive(Debug)]
pub struct WindowReceiver {
    reader: OwnedReadHalf,
    decoder: Decoder,
    room: Arc<Semaphore>,
    sent: mpsc::UnboundedReceiver<Sent>,
    /// The command whose reply is next, once it is known.
    next: Option<Sent>,
    last_reply_at: Instant,
    deadline: Duration,
    fate: Arc<Fate>,
}

/// One command in flight. It holds its place in the window until its reply is here.
#[derive(Debug)]
struct Sent {
    what: String,
    at: Instant,
    _place: OwnedSemaphorePermit,
}

/// Why the connection was given up, if it was.
#[derive(Debug, Default)]
struct Fate(OnceLock<String>);

impl WindowSender {
    /// Sends one command, as soon as there is room for it. Its reply comes from the receiver, which another task has
    /// to ask meanwhile (or the same one, before the window is full; see [`WindowSender::has_room`]).
    pub async fn send(&mut self, command: &Command) -> Result<(), RespError> {
        self.fate.check()?;
        if self.is_writing {
            return Err(self.fate.seal("a command was abandoned while it was sent"));
        }
        let what = command.label();
        self.out.clear();
        encode(command.args(), &self.names, &mut self.out)
            .map_err(|reason| RespError::Protocol { what: what.clone(), reason })?;
        let place = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(|_| self.fate.seal("nobody receives its replies any more"))?;
        self.is_writing = true;
        // First the note, then the command: no reply can be there without its note.
        let note = Sent { what: what.clone(), at: Instant::now(), _place: place };
        self.sent.send(note).map_err(|_| self.fate.seal("nobody receives its replies any more"))?;
        let result = match timeout(self.deadline, self.writer.write_all(&self.out)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(RespError::Closed { what, source: Some(source) }),
            Err(_) => Err(RespError::TimedOut { what, after: self.deadline }),
        };
        self.is_writing = false;
        result.inspect_err(|error| self.fate.record(error))
    }

    /// Whether a command can be sent without waiting for a reply first.
    pub fn has_room(&self) -> bool {
        self.room.available_permits() > 0
    }
}

impl WindowReceiver {
    /// The next reply, in the order of the commands; none once the sender is gone and every reply was given. Waits
    /// without a deadline while nothing is in flight. Dropping the future loses nothing.
    pub async fn receive(&mut self) -> Result<Option<Reply>, RespError> {
        self.fate.check()?;
        if self.next.is_none() {
            self.next = self.sent.recv().await;
        }
        let Some(next) = &self.next else {
            return Ok(None);
        };
        let due = next.at.max(self.last_reply_at) + self.deadline;
        let reading = read_reply(&mut self.reader, &mut self.decoder, &next.what);
        let result = timeout_at(due, reading)
            .await
            .unwrap_or_else(|_| Err(RespError::TimedOut { what: next.what.clone(), after: self.deadline }));
        match result {
            Ok(reply) => {
                self.next = None;
                self.last_reply_at = Instant::now();
                Ok(Some(reply))
            }
            Err(error) => {
                self.fate.record(&error);
                self.room.close();
                Err(error)
            }
        }
    }
}

impl Drop for WindowReceiver {
    fn drop(&mut self) {
        self.room.close();
    }
}

impl Fate {
    fn check(&self) -> Result<(), RespError> {
        match self.0.get() {
            Some(because) => Err(RespError::Poisoned { because: because.clone() }),
            None => Ok(()),
        }
    }

    fn record(&self, error: &RespError) {
        self.0.get_or_init(|| error.to_string());
    }

    /// Gives the connection up for this reason, unless there was one before, and says why it is given up.
    fn seal(&self, because: &str) -> RespError {
        let because = self.0.get_or_init(|| because.to_owned()).clone();
        RespError::Poisoned { because }
    }
}

/// Makes the two halves of a connection.
pub(super) fn split(connection: Connection, room: usize) -> (WindowSender, WindowReceiver) {
    let Connection { stream, decoder, deadline, broken, names } = connection;
    let fate = Arc::new(Fate(broken.map(OnceLock::from).unwrap_or_default()));
    let room = Arc::new(Semaphore::new(room.clamp(1, Semaphore::MAX_PERMITS)));
    let (reader, writer) = stream.into_split();
    let (sent_in, sent_out) = mpsc::unbounded_channel();
    let sender = WindowSender {
        writer,
        out: BytesMut::new(),
        room: Arc::clone(&room),
        sent: sent_in,
        deadline,
        names,
        fate: Arc::clone(&fate),
        is_writing: false,
    };
    let receiver = WindowReceiver {
        reader,
        decoder,
        room,
        sent: sent_out,
        next: None,
        last_reply_at: Instant::now(),
        deadline,
        fate,
    };
    (sender, receiver)
}
