//! The lab: two QEMU boxes, an array, an LCD, faults, and the judge.

fn main() {}
