//! The launcher's side of the socket: tells everybody who is connected, listens to the newest.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::SOCKET;
use super::lines::{LineReader, to_line};
use super::machine::Event;
use super::protocol::{Order, Status};

/// An agent that takes no line for so long is cut off; it connects anew.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between attempts to accept while the system refuses (no file descriptor left).
const PAUSE: Duration = Duration::from_millis(50);

/// All connections and who is connected.
#[derive(Debug)]
pub(super) struct Hub {
    listener: UnixListener,
    status: watch::Sender<Status>,
    orders_in: mpsc::Sender<(u64, Order)>,
    orders: mpsc::Receiver<(u64, Order)>,
    connections: JoinSet<u64>,
    /// Who is connected, the newest last.
    open: Vec<u64>,
    last: u64,
}

impl Hub {
    /// Listens in the current folder. A socket that a dead launcher left is replaced; whoever calls this holds the
    /// launcher's lock, so there is no living one.
    pub(super) fn open(status: Status) -> io::Result<Self> {
        match std::fs::remove_file(SOCKET) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(SOCKET)?;
        let (orders_in, orders) = mpsc::channel(16);
        Ok(Self {
            listener,
            status: watch::Sender::new(status),
            orders_in,
            orders,
            connections: JoinSet::new(),
            open: Vec::new(),
            last: 0,
        })
    }

    /// Tells everybody, if there is something new.
    pub(super) fn tell(&self, status: &Status) {
        self.status.send_if_modified(|told| {
            let is_new = told != status;
            if is_new {
                told.clone_from(status);
            }
            is_new
        });
    }

    /// The next order of the newest connection, or a change in how many there are. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                // Orders first: one that an agent gave just before it went still counts.
                biased;
                Some((from, order)) = self.orders.recv() => {
                    if self.open.last() == Some(&from) {
                        return Event::Ordered(order);
                    }
                    tracing::warn!(?from, "an order from a connection that is not the newest is not obeyed");
                }
                Some(ended) = self.connections.join_next() => {
                    if let Ok(id) = ended {
                        self.open.retain(|open| *open != id);
                    }
                    return Event::Agents(self.open.len());
                }
                stream = accept(&self.listener) => return self.welcome(stream),
            }
        }
    }

    /// Lets every agent read the last status, then cuts it off. The socket's file goes too.
    pub(super) async fn close(self) {
        let Self { listener, status, mut connections, .. } = self;
        drop(listener);
        drop(std::fs::remove_file(SOCKET));
        drop(status);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("an agent did not read the launcher's last words");
        }
    }

    fn welcome(&mut self, stream: UnixStream) -> Event {
        self.last = self.last.saturating_add(1);
        self.open.push(self.last);
        let talk = talk(self.last, stream, self.orders_in.clone(), self.status.subscribe());
        self.connections.spawn(talk);
        Event::Agents(self.open.len())
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection, until either side ends it.
async fn talk(
    id: u64,
    stream: UnixStream,
    orders: mpsc::Sender<(u64, Order)>,
    mut status: watch::Receiver<Status>,
) -> u64 {
    let (reader, mut writer) = stream.into_split();
    let mut lines = LineReader::new(reader);
    status.mark_changed();
    loop {
        let result = tokio::select! {
            line = lines.next() => match line {
                Ok(Some(line)) => hear(id, &line, &orders).await,
                Ok(None) => return id,
                Err(error) => Err(error),
            },
            changed = status.changed() => match changed {
                Ok(()) => tell(&mut writer, &mut status).await,
                // The launcher ends, and all was said.
                Err(_) => return id,
            },
        };
        if let Err(error) = result {
            tracing::warn!(%error, "an agent is cut off");
            return id;
        }
    }
}

async fn hear(id: u64, line: &[u8], orders: &mpsc::Sender<(u64, Order)>) -> io::Result<()> {
    match serde_json::from_slice(line) {
        Ok(order) => orders.send((id, order)).await.map_err(io::Error::other),
        Err(error) => {
            // Perhaps a newer agent's. The status that it gets does not change, which tells it as much.
            tracing::warn!(%error, "an order is not understood");
            Ok(())
        }
    }
}

async fn tell(writer: &mut OwnedWriteHalf, status: &mut watch::Receiver<Status>) -> io::Result<()> {
    let line = to_line(&*status.borrow_and_update())?;
    timeout(PATIENCE, writer.write_all(&line)).await?
}
