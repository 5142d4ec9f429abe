//! The launcher: process 1 of the server's container, and the parent of the server everywhere.
//!
//! It starts the server when its agent says so, waits for its end and tells. It has no opinion: it never starts a
//! server by itself, never a second one, and never decides whether one should run. The rules are in `machine` (pure);
//! the other files act.
//!
//! How one knows that a server lives: `server.lock` is locked and handed to the server as its standard input, and the
//! launcher keeps no copy. So the lock is held exactly as long as the server, or a child of it, lives, whoever started
//! it and whether or not this launcher is still there.

mod lines;
mod machine;
mod program;
mod protocol;
mod reap;
mod run;
mod server;
mod signals;
mod socket;

pub(crate) use lines::{LineReader, to_line};
pub use program::AUTO;
pub use protocol::{Ended, Order, OrderedSignal, Program, ServerState, Status};
pub use run::{LaunchError, run};

/// The launcher's socket, in the member's folder.
pub const SOCKET: &str = "launcher.sock";
/// Held by the launcher as long as it lives; has its process number in it.
pub const LAUNCHER_LOCK: &str = "launcher.lock";
/// Held by the server and its children as long as one of them lives.
pub const SERVER_LOCK: &str = "server.lock";
/// What the server writes to its standard output and error.
pub const SERVER_LOG: &str = "server.log";
