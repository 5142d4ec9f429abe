//! The agent's side of the launcher's socket: a task that stays connected and shows what the launcher last said.
//!
//! An order is handed over now or not at all: one that finds no launcher is an error, and is never kept for a launcher
//! that comes later, whose server may be in another state.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::launcher::{LineReader, Order, OrderedSignal, SOCKET, Status, to_line};

/// The first pause between attempts to connect, and the longest. A socket that appears raises no event.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long a launcher may take to take an order.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest path of a socket that the system takes.
const LONGEST_SOCKET_PATH: usize = 107;

/// What the agent knows of its launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LauncherState {
    /// Nothing yet: the first attempt to connect is under way.
    Unknown,
    /// No launcher answers. Whether a server lives is then told by the lock only.
    Absent,
    /// What it said last.
    Present(Status),
}

/// Why an order was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no launcher now.
    #[error("no launcher is connected: start `redisnode launch` on this folder")]
    Absent,
    /// The launcher went while the order was on its way; whether it was taken shows in the next status.
    #[error("the launcher went away while it was told")]
    Unknown,
}

/// Gives orders and shows the launcher's state. Copies share one connection, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct LaunchClient {
    orders: mpsc::Sender<Errand>,
    state: watch::Receiver<LauncherState>,
}

/// The task that keeps the connection; to be run by the agent beside its other tasks.
#[derive(Debug)]
pub struct LaunchLink {
    dir: PathBuf,
    errands: mpsc::Receiver<Errand>,
    state: watch::Sender<LauncherState>,
}

#[derive(Debug)]
struct Errand {
    order: Order,
    done: oneshot::Sender<Result<(), OrderError>>,
}

/// Why a connection was left.
enum Left {
    /// The launcher went.
    Launcher,
    /// Nobody has a client any more.
    Clients,
}

impl LaunchClient {
    /// A client of the launcher of this folder, and the task that keeps it connected.
    pub fn new(dir: &Path) -> (Self, LaunchLink) {
        let (orders, errands) = mpsc::channel(16);
        let (state, shown) = watch::channel(LauncherState::Unknown);
        let link = LaunchLink { dir: dir.to_owned(), errands, state };
        (Self { orders, state: shown }, link)
    }

    /// The launcher's state, to be looked at or waited on.
    pub fn state(&self) -> watch::Receiver<LauncherState> {
        self.state.clone()
    }

    /// Orders a start. What came of it shows in the state, with a higher `change`.
    pub async fn start(&self, argv: Vec<String>) -> Result<(), OrderError> {
        self.order(Order::Start { argv }).await
    }

    /// Orders to look for a program. What was found shows in the state.
    pub async fn find(&self, program: String) -> Result<(), OrderError> {
        self.order(Order::Find { program }).await
    }

    /// Orders a signal for the running server.
    pub async fn signal(&self, signal: OrderedSignal) -> Result<(), OrderError> {
        self.order(Order::Signal(signal)).await
    }

    /// Orders the launcher to end; it does if no server lives.
    pub async fn exit(&self) -> Result<(), OrderError> {
        self.order(Order::Exit {}).await
    }

    async fn order(&self, order: Order) -> Result<(), OrderError> {
        let (done, answer) = oneshot::channel();
        self.orders.send(Errand { order, done }).await.map_err(|_| OrderError::Absent)?;
        answer.await.unwrap_or(Err(OrderError::Unknown))
    }
}

impl LaunchLink {
    /// Runs until every client is dropped.
    pub async fn run(mut self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match connect(&self.dir).await {
                Ok(stream) => {
                    tracing::debug!("connected to the launcher");
                    pause = SHORTEST_PAUSE;
                    if matches!(self.talk(stream).await, Left::Clients) {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "no launcher"),
            }
            self.show(LauncherState::Absent);
            if matches!(self.wait(pause).await, Left::Clients) {
                return;
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Passes a pause, in which every order is refused.
    async fn wait(&mut self, pause: Duration) -> Left {
        let refuse = async {
            while let Some(errand) = self.errands.recv().await {
                answer(errand.done, Err(OrderError::Absent));
            }
        };
        match timeout(pause, refuse).await {
            Ok(()) => Left::Clients,
            Err(_) => Left::Launcher,
        }
    }

    async fn talk(&mut self, stream: UnixStream) -> Left {
        let (reader, mut writer) = stream.into_split();
        let mut lines = LineReader::new(reader);
        loop {
            tokio::select! {
                line = lines.next() => match line {
                    Ok(Some(line)) => self.hear(&line),
                    Ok(None) => return Left::Launcher,
                    Err(error) => {
                        tracing::warn!(%error, "the launcher cannot be heard");
                        return Left::Launcher;
                    }
                },
                errand = self.errands.recv() => {
                    let Some(Errand { order, done }) = errand else {
                        return Left::Clients;
                    };
                    let told = tell(&mut writer, &order).await;
                    let is_lost = told.is_err();
                    answer(done, told.map_err(|_| OrderError::Unknown));
                    if is_lost {
                        return Left::Launcher;
                    }
                }
            }
        }
    }

    fn hear(&self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(status) => self.show(LauncherState::Present(status)),
            Err(error) => tracing::warn!(%error, "the launcher is not understood"),
        }
    }

    fn show(&self, state: LauncherState) {
        self.state.send_if_modified(|shown| {
            let is_new = *shown != state;
            *shown = state;
            is_new
        });
    }
}

fn answer(done: oneshot::Sender<Result<(), OrderError>>, result: Result<(), OrderError>) {
    if done.send(result).is_err() {
        tracing::debug!("nobody waits for the outcome of an order any more");
    }
}

async fn tell(writer: &mut (impl AsyncWriteExt + Unpin), order: &Order) -> io::Result<()> {
    timeout(PATIENCE, writer.write_all(&to_line(order)?)).await?
}

async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let path = dir.join(SOCKET);
    if path.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return UnixStream::connect(path).await;
    }
    // The same file by a short name: through the open folder.
    let folder = File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())).await
}
