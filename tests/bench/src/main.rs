//! Load and timing, side by side with peers.

fn main() {}
