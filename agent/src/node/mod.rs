//! The agent of one node: observes its server, its launcher and its peers, lets the pure core decide, and acts.
//!
//! One loop ([`reconcile`]) owns the server. HTTP handlers ([`api`]) only leave word in [`shared`] state and wait for
//! what the loop makes of it; slow work (calls, handoffs, moves of slots) runs beside the loop and reports back to it.

mod acting;
mod api;
mod args;
mod arrivals;
mod asks;
mod configure;
mod doubles;
mod down;
mod ending;
mod folder;
mod greet;
mod handoff;
mod imports;
mod liveness;
mod look;
mod migrate;
mod peek;
mod places;
mod prime;
mod program;
mod promote;
mod promote_in_order;
mod receive;
mod reconcile;
mod relink;
mod reopen;
mod reporting;
mod run;
mod shared;
mod starting;
mod stop;
mod strays;
mod tasks;
mod weigh;

pub use args::AgentArgs;
pub use run::run;
