//! Several connections to one server, for commands that it answers late: Valkey's `SETSLOT` waits for the replicas, and
//! a connection's next command waits behind it. Spread over lanes, the waits pass together.
//!
//! It promises no order between commands of one call, and it does not use `MULTI` (Valkey 9.1 ends with a failed
//! assertion on a `SETSLOT` in it, measured).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::command::Command;
use super::connection::Connection;
use super::error::RespError;
use super::names::Access;
use super::reply::Reply;

/// Connections to one server, opened when they are needed.
#[derive(Debug)]
pub struct Lanes {
    address: SocketAddr,
    access: Access,
    connect_within: Duration,
    deadline: Duration,
    open: Vec<Connection>,
}

impl Lanes {
    /// No connection yet. `deadline` is that of each answer, `connect_within` that of each connecting.
    pub fn new(address: SocketAddr, access: Access, connect_within: Duration, deadline: Duration) -> Self {
        Self { address, access, connect_within, deadline, open: Vec::new() }
    }

    /// Runs one command on one of the connections. A server's refusal is a [`Reply::Error`], not an error.
    pub async fn run(&mut self, command: &Command) -> Result<Reply, RespError> {
        self.one().await?.run(command).await
    }

    /// Runs one command that must not be refused: a server's refusal is [`RespError::Refused`].
    pub async fn demand(&mut self, command: &Command) -> Result<Reply, RespError> {
        self.one().await?.demand(command).await
    }

    /// Sends all commands at once on one connection, in order, and gives all their replies.
    pub async fn pipeline(&mut self, commands: &[Command]) -> Result<Vec<Reply>, RespError> {
        self.one().await?.pipeline(commands).await
    }

    /// Runs all commands over at most `lanes` connections at the same time, in no order, and gives the replies in the
    /// order of the commands. An error says nothing about which of the commands were done.
    pub async fn spread(&mut self, commands: &[Command], lanes: usize) -> Result<Vec<Reply>, RespError> {
        if lanes <= 1 || commands.len() <= 1 {
            return self.pipeline(commands).await;
        }
        self.grow(lanes.min(commands.len())).await?;
        let count = self.open.len().min(lanes).min(commands.len());
        let mut work = JoinSet::new();
        for (lane, mut connection) in self.open.drain(..count).enumerate() {
            let share: Vec<Command> = commands.iter().skip(lane).step_by(count).cloned().collect();
            work.spawn(async move {
                let replies = connection.pipeline(&share).await;
                (lane, connection, replies)
            });
        }
        let mut replies = vec![Reply::Nil; commands.len()];
        let mut failed = None;
        for (lane, connection, answers) in work.join_all().await {
            self.open.push(connection);
            match answers {
                Ok(answers) => {
                    for (place, answer) in replies.iter_mut().skip(lane).step_by(count).zip(answers) {
                        *place = answer;
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(replies), Err)
    }

    async fn one(&mut self) -> Result<&mut Connection, RespError> {
        self.grow(1).await?;
        self.open.first_mut().ok_or_else(|| RespError::Poisoned { because: "it was closed".into() })
    }

    /// Opens what is missing. Fewer than wanted will do: the server may have no room for more clients.
    async fn grow(&mut self, wanted: usize) -> Result<(), RespError> {
        self.open.retain(|connection| !connection.is_poisoned());
        let mut opening = JoinSet::new();
        for _ in self.open.len()..wanted {
            let (address, access, within) = (self.address, self.access.clone(), self.connect_within);
            let deadline = self.deadline;
            opening.spawn(async move { Connection::open_patiently(address, &access, within, deadline).await });
        }
        let mut failed = None;
        for opened in opening.join_all().await {
            match opened {
                Ok(connection) => self.open.push(connection),
                Err(error) => failed = Some(error),
            }
        }
        failed.filter(|_| self.open.is_empty()).map_or(Ok(()), Err)
    }
}
