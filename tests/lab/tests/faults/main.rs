//! Every fault there is, one by one and together, each with its outage measured: the long tail that
//! `make test-faults` runs. They need the box image and run one after another.

#![allow(clippy::unwrap_used)]

#[path = "../stories/operator.rs"]
#[allow(dead_code, reason = "the other stories use more of what an operator can do")]
mod operator;
#[path = "../stories/pulse.rs"]
mod pulse;

mod alone;
mod blank;
mod telling;
mod together;
