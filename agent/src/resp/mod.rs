//! The client side of RESP2: how the agent speaks to a server.
//!
//! One connection, one deadline for each call, replies in order. It refuses to go on after anything that could let
//! a late answer be read as the answer of the next command: such a connection is given up, and says so from then on.
//! It knows no cluster, follows no redirect and retries nothing; that is decided above.

mod auth;
mod codec;
mod command;
mod connection;
mod error;
mod lanes;
mod names;
mod reply;
mod scan;
mod window;

pub use auth::{Auth, Secret};
pub use command::Command;
pub use connection::Connection;
pub use error::RespError;
pub use lanes::Lanes;
pub use names::{Access, Names};
pub use reply::Reply;
pub use window::{WindowReceiver, WindowSender};
