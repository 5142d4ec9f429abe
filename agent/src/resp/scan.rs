//! Finds where a RESP2 frame ends, before anything is decoded or allocated for it.
//!
//! The decoder behind us recurses without a limit and starts over whenever bytes are missing. This scan does neither:
//! it keeps its place between reads, and refuses what is too deep, too long or not RESP2 at all.

/// Arrays inside arrays. The deepest replies that an agent asks for (`COMMAND INFO`, `FUNCTION LIST`) have about six.
pub(super) const DEEPEST: usize = 16;
/// The largest frame in bytes. Keys travel from server to server, not through us; a dump of functions is our largest.
pub(super) const LARGEST: usize = 64 * 1024 * 1024;
/// The most elements in one frame, over all its arrays.
pub(super) const MOST_ELEMENTS: usize = 1024 * 1024;
/// The longest status, error, number or length line in bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// The place in an unfinished frame.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Bytes of the frame that need no second look.
    position: usize,
    /// For each open array, outermost first, how many elements are still missing.
    missing: Vec<usize>,
    /// Elements announced so far.
    elements: usize,
}

/// What one element's head says.
enum Head {
    /// The element is complete after this many bytes.
    Leaf(usize),
    /// An array of so many elements (at least one) begins; its head has this many bytes.
    Array { head: usize, elements: usize },
    /// More bytes are needed to know.
    Unfinished,
}

impl Scan {
    /// Looks at a buffer that starts at the frame's first byte and only ever grows; gives the frame's length once it
    /// is complete. After a length or an error the scan is at the start of the next frame.
    pub(super) fn advance(&mut self, buffer: &[u8]) -> Result<Option<usize>, String> {
        loop {
            let rest = buffer.get(self.position..).unwrap_or_default();
            match head(rest, LARGEST.saturating_sub(self.position))? {
                Head::Unfinished => return Ok(None),
                Head::Array { head, elements } => {
                    self.position = self.position.saturating_add(head);
                    self.open(elements)?;
                }
                Head::Leaf(length) => {
                    self.position = self.position.saturating_add(length);
                    if self.close() {
                        return Ok(Some(std::mem::take(self).position));
                    }
                }
            }
        }
    }

    fn open(&mut self, elements: usize) -> Result<(), String> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > MOST_ELEMENTS {
            return Err(format!("it has more than {MOST_ELEMENTS} elements"));
        }
        if self.missing.len() >= DEEPEST {
            return Err(format!("its arrays are nested deeper than {DEEPEST}"));
        }
        self.missing.push(elements);
        Ok(())
    }

    /// Counts one complete element; true if it completed the whole frame.
    fn close(&mut self) -> bool {
        while let Some(missing) = self.missing.last_mut() {
            *missing = missing.saturating_sub(1);
            if *missing > 0 {
                return false;
            }
            self.missing.pop();
        }
        true
    }
}

fn head(rest: &[u8], allowed: usize) -> Result<Head, String> {
    let Some((&kind, text)) = rest.split_first() else {
        return Ok(Head::Unfinished);
    };
    if !b"+-:$*".contains(&kind) {
        return Err(format!("it starts with byte {kind:#04x}, which is not RESP2; is this a Redis or Valkey port?"));
    }
    let Some(line) = line(text)? else {
        return Ok(Head::Unfinished);
    };
    // The kind, the line, CR and LF.
    let head = line.len().saturating_add(3);
    let length = match kind {
        b'+' | b'-' => None,
        b':' => {
            number(line)?;
            None
        }
        _ => length(line)?,
    };
    let Some(length) = length else {
        return Ok(Head::Leaf(head));
    };
    if kind == b'*' {
        return Ok(match length {
            0 => Head::Leaf(head),
            elements => Head::Array { head, elements },
        });
    }
    bulk(rest, head, length, allowed)
}

fn bulk(rest: &[u8], head: usize, length: usize, allowed: usize) -> Result<Head, String> {
    let end = head.saturating_add(length);
    let whole = end.saturating_add(2);
    if whole > allowed {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    match rest.get(end..whole) {
        None => Ok(Head::Unfinished),
        Some(b"\r\n") => Ok(Head::Leaf(whole)),
        Some(_) => Err("a bulk does not end where its length says".to_owned()),
    }
}

/// The text before CR LF, if they are there.
fn line(text: &[u8]) -> Result<Option<&[u8]>, String> {
    let end = text.windows(2).take(LONGEST_LINE).position(|pair| pair == b"\r\n");
    match end {
        Some(end) => Ok(text.get(..end)),
        None if text.len() > LONGEST_LINE => Err(format!("a line is longer than {LONGEST_LINE} bytes")),
        None => Ok(None),
    }
}

/// The length of a bulk or an array; none for RESP2's null.
fn length(line: &[u8]) -> Result<Option<usize>, String> {
    match number(line)? {
        -1 => Ok(None),
        number => usize::try_from(number).map(Some).map_err(|_| format!("a length is {number}")),
    }
}

fn number(line: &[u8]) -> Result<i64, String> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "a number has other characters than digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(frame: &[u8]) -> Result<Option<usize>, String> {
        Scan::default().advance(frame)
    }

    #[test]
    fn every_kind_ends_where_it_ends() {
        for frame in [
            &b"+OK\r\n"[..],
            b"-ERR x\r\n",
            b":-7\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"$4\r\n\r\n\r\n\r\n",
            b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
            b"*1\r\n*0\r\n",
            b"+a\rb\r\n",
        ] {
            let mut longer = frame.to_vec();
            longer.extend_from_slice(b"+next\r\n");
            assert_eq!(whole(&longer), Ok(Some(frame.len())), "{frame:?}");
        }
    }

    #[test]
    fn a_frame_in_pieces_is_found_at_its_last_byte() {
        let frame = b"*3\r\n$5\r\nhe\r\no\r\n*2\r\n:12\r\n+OK\r\n-E\r\n";
        let mut scan = Scan::default();
        for end in 0..frame.len() {
            assert_eq!(scan.advance(&frame[..end]), Ok(None), "after {end} bytes");
        }
        assert_eq!(scan.advance(frame), Ok(Some(frame.len())));
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for frame in
            [&b"HTTP/1.1 400\r\n"[..], b"$-2\r\n", b"$x\r\n", b"*-5\r\n", b":1.5\r\n", b"$1\r\nabc", b"*1\r\n%1\r\n"]
        {
            assert!(whole(frame).is_err(), "{frame:?}");
        }
    }

    #[test]
    fn depth_size_elements_and_lines_are_bounded() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(matches!(whole(&nested(DEEPEST)), Ok(Some(_))));
        assert!(whole(&nested(DEEPEST + 1)).unwrap_err().contains("deeper"));
        assert!(whole(format!("${LARGEST}\r\n").as_bytes()).unwrap_err().contains("larger"));
        assert!(whole(b"$9223372036854775807\r\n").unwrap_err().contains("larger"));
        assert!(whole(format!("*{}\r\n", MOST_ELEMENTS + 1).as_bytes()).unwrap_err().contains("elements"));
        assert!(whole(&[b"+".to_vec(), b"a".repeat(LONGEST_LINE + 2)].concat()).unwrap_err().contains("line"));
    }

    #[test]
    fn many_small_bulks_cannot_pass_the_size_limit_together() {
        let mut scan = Scan { position: LARGEST - 10, missing: vec![5], elements: 5 };
        let mut buffer = vec![0; LARGEST - 10];
        buffer.extend_from_slice(b"$9\r\n");
        assert!(scan.advance(&buffer).unwrap_err().contains("larger"));
    }
}
