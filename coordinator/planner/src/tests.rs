//! Tests of `plan()` as a whole, against a tiny world that obeys Layouts.

mod converge;
mod founding;
mod holding;
mod model;
mod obey;
mod outage;
mod pausing;
mod placing;
mod rolling;
mod room;
mod saying;
mod scaling;
mod telling;
mod truth;
mod versions;
mod waiting;
mod weighing;
