//! Moves of slots away from the own server: which run, and the drivers that do the moving.

mod classic;
mod driver;
mod group;
mod jobs;
mod keys;
mod notices;

pub(super) use jobs::Jobs;
