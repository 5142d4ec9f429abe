//! Bytes to replies and commands to bytes. The only file that knows the codec crate.
//!
//! A frame is decoded only when [`Scan`] has seen all of it, within its limits.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::encode::extend_encode_borrowed;
use redis_protocol::resp2::types::{BorrowedFrame, RangeFrame};

use super::names::Names;
use super::reply::Reply;
use super::scan::Scan;

/// Room made before each read, in bytes.
const READ_SIZE: usize = 16 * 1024;
/// An empty buffer above this size is given back: one large reply must not stay in the agent's memory.
const KEPT_SIZE: usize = 1024 * 1024;
/// From here on a server repeats arguments of ours in its error, which may be values or passwords.
const ECHO: &str = ", with args beginning with";

/// Received bytes that are not yet replies.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    scan: Scan,
}

impl Decoder {
    /// Where to read to; new bytes are appended.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_SIZE {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ_SIZE);
        &mut self.buffer
    }

    /// Whether bytes are here that no reply has taken.
    pub(super) fn has_leftover(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next complete reply, if there is one. After an error this decoder's place in the stream is lost.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, String> {
        let Some(length) = self.scan.advance(&self.buffer)? else {
            return Ok(None);
        };
        let frame = self.buffer.split_to(length).freeze();
        match decode_range(&frame) {
            Ok(Some((range, used))) if used == length => Ok(Some(reply(&frame, range))),
            Ok(_) => Err("its length is ambiguous".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Appends one command to what will be sent, under the name that the server knows it by.
pub(super) fn encode(args: &[impl AsRef<[u8]>], names: &Names, out: &mut BytesMut) -> Result<(), String> {
    let Some((name, rest)) = args.split_first() else { return Err("a command needs a name".to_owned()) };
    let words = std::iter::once(names.on_the_wire(name.as_ref())).chain(rest.iter().map(AsRef::as_ref));
    let words: Vec<BorrowedFrame<'_>> = words.map(BorrowedFrame::BulkString).collect();
    extend_encode_borrowed(out, &BorrowedFrame::Array(&words), false).map(|_| ()).map_err(|error| error.to_string())
}

/// Recursion is safe: the scan has bounded the depth.
fn reply(frame: &Bytes, range: RangeFrame) -> Reply {
    let text = |(start, end)| String::from_utf8_lossy(&frame.slice(start..end)).into_owned();
    match range {
        RangeFrame::SimpleString(range) => Reply::Status(text(range)),
        RangeFrame::Error(range) => Reply::Error(without_echo(text(range))),
        RangeFrame::Integer(number) => Reply::Integer(number),
        RangeFrame::BulkString((start, end)) => Reply::Bulk(frame.slice(start..end)),
        RangeFrame::Null => Reply::Nil,
        RangeFrame::Array(elements) => {
            Reply::Array(elements.into_iter().map(|element| reply(frame, element)).collect())
        }
    }
}

fn without_echo(mut text: String) -> String {
    if let Some(start) = text.find(ECHO) {
        text.truncate(start);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Reply> {
        let mut decoder = Decoder::default();
        decoder.room().extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Some(reply) = decoder.next().unwrap() {
            replies.push(reply);
        }
        assert!(!decoder.has_leftover());
        replies
    }

    fn bulk(bytes: &'static [u8]) -> Reply {
        Reply::Bulk(Bytes::from_static(bytes))
    }

    #[test]
    fn each_kind_becomes_its_reply() {
        assert_eq!(
            decode(b"+OK\r\n-ERR no\r\n:-9\r\n$3\r\n\0\r\n\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n"),
            [
                Reply::Status("OK".into()),
                Reply::Error("ERR no".into()),
                Reply::Integer(-9),
                bulk(b"\0\r\n"),
                Reply::Nil,
                Reply::Nil,
                Reply::Array(vec![]),
                bulk(b""),
            ]
        );
    }

    #[test]
    fn nested_arrays_keep_their_shape() {
        assert_eq!(
            decode(b"*3\r\n*2\r\n:1\r\n$-1\r\n*1\r\n*1\r\n+a\r\n-ERR in\r\n"),
            [Reply::Array(vec![
                Reply::Array(vec![Reply::Integer(1), Reply::Nil]),
                Reply::Array(vec![Reply::Array(vec![Reply::Status("a".into())])]),
                Reply::Error("ERR in".into()),
            ])]
        );
    }

    #[test]
    fn a_reply_in_single_bytes_is_the_same_reply() {
        let bytes = b"*2\r\n$4\r\n\xff\r\n\xfe\r\n:5\r\n+next\r\n";
        let mut decoder = Decoder::default();
        let mut replies = Vec::new();
        for byte in bytes {
            decoder.room().extend_from_slice(&[*byte]);
            replies.extend(decoder.next().unwrap());
        }
        assert_eq!(replies, decode(bytes));
        assert_eq!(replies.len(), 2);
    }

    #[test]
    fn text_that_is_not_utf8_is_shown_and_not_refused() {
        assert_eq!(decode(b"-ERR \xff\r\n"), [Reply::Error("ERR \u{fffd}".into())]);
    }

    #[test]
    fn a_server_cannot_make_us_show_our_arguments() {
        let replies = decode(b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2' \r\n");
        assert_eq!(replies, [Reply::Error("ERR unknown command 'AUTH'".into())]);
    }

    #[test]
    fn a_command_is_an_array_of_its_bytes() {
        let (mut out, names) = (BytesMut::new(), Names::default());
        encode(&[&b"SET"[..], b"a b", b"\r\n\0", b""], &names, &mut out).unwrap();
        encode(&["PING"], &names, &mut out).unwrap();
        assert_eq!(&out[..], b"*4\r\n$3\r\nSET\r\n$3\r\na b\r\n$3\r\n\r\n\0\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n");
        assert!(encode(&[""; 0], &names, &mut out).is_err());
    }

    #[test]
    fn a_large_reply_does_not_stay_in_memory() {
        let mut decoder = Decoder::default();
        let size = 4 * KEPT_SIZE;
        decoder.room().extend_from_slice(format!("${size}\r\n").as_bytes());
        decoder.room().extend_from_slice(&vec![b'x'; size]);
        decoder.room().extend_from_slice(b"\r\n");
        assert_eq!(decoder.next().unwrap().unwrap().into_bytes().unwrap().len(), size);
        assert!(decoder.room().capacity() < KEPT_SIZE);
    }
}
