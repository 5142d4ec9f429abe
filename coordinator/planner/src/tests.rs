//! Tests of `plan()` as a whole, against a tiny world that obeys Layouts.

mod cases;
mod converge;
mod model;
mod obey;
mod outage;
mod rolling;
