//! One connection to one server: a command goes out, its answer comes back, within a deadline.
//!
//! Whatever breaks that order (a time-out, an end, an answer that cannot be read, a call that was dropped half-way)
//! gives the connection up for good.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::codec::{Decoder, encode};
use super::command::{Command, label};
use super::error::RespError;
use super::names::{Access, Names};
use super::reply::Reply;
use super::window::{WindowReceiver, WindowSender, split};

/// A connection that has introduced itself and can be asked.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: TcpStream,
    pub(super) decoder: Decoder,
    pub(super) deadline: Duration,
    /// Why this connection must not be used any more. Also set while a call is under way, so that a call that is
    /// dropped leaves it set.
    pub(super) broken: Option<String>,
    /// What the server calls its commands.
    pub(super) names: Names,
}

impl Connection {
    /// Connects and introduces itself, both within `deadline`, which is also the deadline of each later call until
    /// [`Connection::set_deadline`]. Errors: [`RespError::Connect`], [`RespError::TimedOut`], and
    /// [`RespError::Refused`] with the command `AUTH` if the server does not take the password.
    pub async fn open(address: SocketAddr, access: &Access, deadline: Duration) -> Result<Self, RespError> {
        let opening = Self::open_patiently(address, access, deadline, deadline);
        timeout(deadline, opening).await.unwrap_or_else(|_| Err(not_connected(address, deadline)))
    }

    /// The same with a server that another client's command may hold up: the system connects within `connect_within`, and
    /// the server has `deadline` to answer the introduction, as it has for each later call.
    pub async fn open_patiently(
        address: SocketAddr,
        access: &Access,
        connect_within: Duration,
        deadline: Duration,
    ) -> Result<Self, RespError> {
        let connecting = timeout(connect_within, connect(address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(not_connected(address, connect_within)))?;
        let names = access.names.clone();
        let mut connection = Self { stream, decoder: Decoder::default(), deadline, broken: None, names };
        if let Some(command) = access.auth.command() {
            connection.demand(&command).await?;
        }
        Ok(connection)
    }

    /// Sets the deadline of each later call.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Runs one command given as its words. A server's refusal is a [`Reply::Error`], not an error.
    pub async fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Result<Reply, RespError> {
        let what = label(args);
        let mut out = BytesMut::new();
        encode(args, &self.names, &mut out).map_err(|reason| RespError::Protocol { what: what.clone(), reason })?;
        let mut replies = self.exchange(&what, &out, 1).await?;
        // One reply was asked for, and `exchange` gives as many as it was asked for.
        Ok(replies.pop().unwrap_or(Reply::Nil))
    }

    /// Runs one command. A server's refusal is a [`Reply::Error`], not an error.
    pub async fn run(&mut self, command: &Command) -> Result<Reply, RespError> {
        self.call(command.args()).await
    }

    /// Runs one command that must not be refused: a server's refusal is [`RespError::Refused`].
    pub async fn demand(&mut self, command: &Command) -> Result<Reply, RespError> {
        self.run(command).await?.ok(&command.label())
    }

    /// Sends all commands at once and gives all their replies, in order, under one deadline.
    pub async fn pipeline(&mut self, commands: &[Command]) -> Result<Vec<Reply>, RespError> {
        let Some(first) = commands.first() else {
            return Ok(Vec::new());
        };
        let what = match commands.len() {
            1 => first.label(),
            count => format!("{} and {} commands after it", first.label(), count.saturating_sub(1)),
        };
        let mut out = BytesMut::new();
        for command in commands {
            encode(command.args(), &self.names, &mut out)
                .map_err(|reason| RespError::Protocol { what: what.clone(), reason })?;
        }
        self.exchange(&what, &out, commands.len()).await
    }

    /// Splits this connection into a sender and a receiver that keep up to `room` commands (at least one) in flight.
    /// The deadline then holds for each reply, counted from the reply before it or from its sending, the later one.
    pub fn into_window(self, room: usize) -> (WindowSender, WindowReceiver) {
        split(self, room)
    }

    /// Whether this connection was given up.
    pub fn is_poisoned(&self) -> bool {
        self.broken.is_some()
    }

    async fn exchange(&mut self, what: &str, out: &[u8], count: usize) -> Result<Vec<Reply>, RespError> {
        if let Some(because) = &self.broken {
            return Err(RespError::Poisoned { because: because.clone() });
        }
        self.broken = Some(format!("{what} was abandoned before its answer"));
        let deadline = self.deadline;
        let result = timeout(deadline, self.talk(what, out, count))
            .await
            .unwrap_or_else(|_| Err(RespError::TimedOut { what: what.to_owned(), after: deadline }));
        self.broken = result.as_ref().err().map(ToString::to_string);
        result
    }

    /// Writes and reads at the same time: a peer that stops reading until its answers are read cannot block us.
    async fn talk(&mut self, what: &str, out: &[u8], count: usize) -> Result<Vec<Reply>, RespError> {
        if self.decoder.has_leftover() {
            return Err(RespError::Protocol {
                what: what.to_owned(),
                reason: "an answer came that nobody had asked for".to_owned(),
            });
        }
        let (mut reader, mut writer) = self.stream.split();
        let decoder = &mut self.decoder;
        let write = async {
            writer
                .write_all(out)
                .await
                .map_err(|source| RespError::Closed { what: what.to_owned(), source: Some(source) })
        };
        let read = async {
            let mut replies = Vec::with_capacity(count);
            while replies.len() < count {
                replies.push(read_reply(&mut reader, decoder, what).await?);
            }
            Ok(replies)
        };
        let ((), replies) = tokio::try_join!(write, read)?;
        Ok(replies)
    }
}

/// Reads one reply. Dropping the future loses nothing: what was read stays in the decoder.
pub(super) async fn read_reply(
    reader: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    what: &str,
) -> Result<Reply, RespError> {
    loop {
        match decoder.next() {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(reason) => {
                return Err(RespError::Protocol { what: what.to_owned(), reason });
            }
        }
        let source = match reader.read_buf(decoder.room()).await {
            Ok(0) => None,
            Ok(_) => continue,
            Err(error) => Some(error),
        };
        return Err(RespError::Closed { what: what.to_owned(), source });
    }
}

fn not_connected(address: SocketAddr, after: Duration) -> RespError {
    RespError::TimedOut { what: format!("connecting to the server at {address}"), after }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, RespError> {
    let stream = TcpStream::connect(address).await;
    // Without it small commands would wait for the acknowledgement of the ones before them.
    stream
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        .map_err(|source| RespError::Connect { address, source })
}
