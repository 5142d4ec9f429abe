//! What the benches share: tables and the arithmetic of figures, filling clusters fast, a client in open loop, and
//! watching who owns slots. It measures; it judges nothing.

pub mod fill;
pub mod load;
pub mod owners;
pub mod table;
