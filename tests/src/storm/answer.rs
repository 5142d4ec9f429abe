//! A server's answers, read from the wire.

use std::io::{self, BufRead};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status(String),
    Error(String),
    Number(i64),
    /// `None` is one that is not there.
    Text(Option<Vec<u8>>),
    /// A list that is not there is an empty one: nothing here asks for such.
    List(Vec<Answer>),
}

impl Answer {
    /// Reads the next one.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| nonsense(line))?;
        let number = || rest.parse::<i64>().map_err(|_| nonsense(line));
        match kind {
            "+" => Ok(Self::Status(rest.to_owned())),
            "-" => Ok(Self::Error(rest.to_owned())),
            ":" => Ok(Self::Number(number()?)),
            "$" => {
                let Ok(length) = usize::try_from(number()?) else { return Ok(Self::Text(None)) };
                let mut text = vec![0; length + 2];
                from.read_exact(&mut text)?;
                text.truncate(length);
                Ok(Self::Text(Some(text)))
            }
            "*" => (0..number()?).map(|_| Self::read(from)).collect::<io::Result<_>>().map(Self::List),
            _ => Err(nonsense(line)),
        }
    }
}

fn nonsense(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_kind_are_read_whole() {
        let mut wire = &b"+OK\r\n-ERR no\r\n:7\r\n$4\r\na\r\nb\r\n$-1\r\n*2\r\n:1\r\n*1\r\n+x\r\n*-1\r\n"[..];
        let text = |text: &str| text.to_owned();
        let wanted = [
            Answer::Status(text("OK")),
            Answer::Error(text("ERR no")),
            Answer::Number(7),
            Answer::Text(Some(b"a\r\nb".to_vec())),
            Answer::Text(None),
            Answer::List(vec![Answer::Number(1), Answer::List(vec![Answer::Status(text("x"))])]),
            Answer::List(Vec::new()),
        ];
        for wanted in wanted {
            assert_eq!(Answer::read(&mut wire).unwrap(), wanted);
        }
        assert!(Answer::read(&mut wire).is_err(), "the connection has ended");
        assert!(Answer::read(&mut &b"?\r\n"[..]).is_err());
    }
}
