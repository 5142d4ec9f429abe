//! A connection of the client in open loop: one side writes requests as they come, a thread of its own reads answers.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::{Request, Shared, lock};

/// How long a node may take to accept, and to take a request off the socket's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    port: u16,
    stream: TcpStream,
    is_open: AtomicBool,
    /// Requests without an answer, oldest first. Who writes holds it, so the order is that of the wire.
    flying: Mutex<VecDeque<Flying>>,
}

#[derive(Debug)]
enum Flying {
    /// Its answer is of no interest.
    Asking,
    Request(Request),
}

impl Connection {
    pub(super) fn open(shared: &Arc<Shared>, port: u16) -> Option<Arc<Self>> {
        let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), PATIENCE).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let reader = BufReader::new(stream.try_clone().ok()?);
        let connection = Arc::new(Self { port, stream, is_open: AtomicBool::new(true), flying: Mutex::default() });
        std::thread::spawn({
            let (connection, shared) = (Arc::clone(&connection), Arc::downgrade(shared));
            move || connection.read(reader, &shared)
        });
        Some(connection)
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
        self.stream.shutdown(Shutdown::Both).ok();
    }

    /// When the requests without an answer were due.
    pub(super) fn waiting(&self) -> Vec<Instant> {
        let flying = lock(&self.flying);
        flying.iter().filter_map(Flying::request).map(|request| request.intended).collect()
    }

    /// Whether it was sent. Then its answer will come to [`Shared::answered`], or it will be sent elsewhere.
    pub(super) fn send(&self, request: Request, asking: bool) -> bool {
        let mut wire = Vec::new();
        if asking {
            wire.extend_from_slice(b"*1\r\n$6\r\nASKING\r\n");
        }
        request.write_to(&mut wire);
        let mut flying = lock(&self.flying);
        // Checked under the lock: the reader empties the queue of a connection that has ended, once.
        if !self.is_open() {
            return false;
        }
        if asking {
            flying.push_back(Flying::Asking);
        }
        flying.push_back(Flying::Request(request));
        if (&self.stream).write_all(&wire).is_err() {
            // The reader sees the end, and sends on what waits.
            self.stream.shutdown(Shutdown::Both).ok();
        }
        true
    }

    fn read(&self, mut reader: BufReader<TcpStream>, shared: &Weak<Shared>) {
        while let Ok(line) = answer(&mut reader) {
            let Some(shared) = shared.upgrade() else { return };
            let first = lock(&self.flying).pop_front();
            if let Some(request) = first.as_ref().and_then(Flying::request) {
                shared.answered(request, &line);
            }
        }
        let left: Vec<Flying> = {
            let mut flying = lock(&self.flying);
            self.close();
            flying.drain(..).collect()
        };
        let Some(shared) = shared.upgrade().filter(|shared| !shared.stop.load(Ordering::Relaxed)) else { return };
        for request in left.iter().filter_map(Flying::request) {
            shared.elsewhere(request, self.port);
        }
    }
}

impl Flying {
    fn request(&self) -> Option<Request> {
        match self {
            Self::Asking => None,
            Self::Request(request) => Some(*request),
        }
    }
}

/// Reads one answer and returns its first line; the body of a string is dropped. There are no others here.
fn answer(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    if let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
        let mut left = length + 2;
        while left > 0 {
            let held = reader.fill_buf()?.len().min(left);
            if held == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            reader.consume(held);
            left -= held;
        }
    }
    Ok(line)
}
