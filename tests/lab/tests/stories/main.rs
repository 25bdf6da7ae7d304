//! End to end: two boxes under QEMU as an operator has them. The stories need the box image
//! (`make image`) and run one after another: `make test-lab`.

#![allow(clippy::unwrap_used)]

mod blank_box;
mod operator;
mod pair;
mod pulse;
mod told;
