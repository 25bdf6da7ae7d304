//! The decision core of a pair: events in, actions out, no I/O, no clock.
