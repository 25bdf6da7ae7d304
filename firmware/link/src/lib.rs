//! The heartbeat frame codec and the pairing exchange, without I/O.
