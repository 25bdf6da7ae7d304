//! Virtual addresses: claim, announce, release, and the public link probe.
