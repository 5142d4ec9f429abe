//! Moves of slots away from the own server: which run, and the drivers that do the moving.

mod atomic;
mod classic;
mod closing;
mod drive;
mod driver;
mod find;
mod functions;
mod jobs;
mod notices;
mod open_now;
mod opening;
mod pair;
mod route;
mod settle;
mod ship;
mod tempo;

pub(super) use atomic::maps;
pub(super) use jobs::Jobs;
