//! The socket as it is, without the client's help.

use redisnode_agent::launcher::SOCKET;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::scene::{PATIENT, Scene};

/// A connection without the client's help.
pub(crate) struct Raw {
    lines: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Raw {
    /// Connected, and the first status still to be heard.
    pub(crate) async fn connect(scene: &Scene) -> Self {
        let stream = UnixStream::connect(scene.path(SOCKET)).await.unwrap();
        let (reader, writer) = stream.into_split();
        Self { lines: BufReader::new(reader), writer }
    }

    pub(crate) async fn say(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> String {
        let mut line = String::new();
        // Far more than a status has: a launcher that talks without end must not hang a test.
        (&mut self.lines).take(64 * 1024).read_line(&mut line).await.unwrap();
        assert!(line.ends_with('\n'), "{line}");
        line
    }

    /// All that is said until the launcher goes.
    pub(crate) async fn hear_out(mut self) -> String {
        let mut all = String::new();
        timeout(PATIENT, self.lines.read_to_string(&mut all)).await.unwrap().unwrap();
        all
    }
}
