//! Lines over a socket: whole lines in, whole lines out, of bounded length.

use std::io::{self, ErrorKind};

use bytes::BytesMut;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line in bytes. A start order with all its arguments has a few hundred.
const LONGEST: usize = 1024 * 1024;

/// Reads lines. Dropping the future of [`LineReader::next`] loses nothing.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    reader: R,
    buffer: BytesMut,
    /// Bytes at the start of the buffer that are known to have no line end.
    searched: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end; none at the end of the stream. A part of a line at the end is dropped.
    pub(crate) async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            let unseen = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched.saturating_add(end).saturating_add(1));
                line.truncate(line.len().saturating_sub(1));
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line is longer than 1 MiB"));
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// A value as one line, with its end.
pub(crate) fn to_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_in_order() {
        let mut lines = LineReader::new(&b"one\n\ntwo\npart"[..]);
        let mut got = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            got.push(line);
        }
        assert_eq!(got, [&b"one"[..], b"", b"two"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let endless = vec![b'x'; LONGEST + 4096];
        let error = LineReader::new(&endless[..]).next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
