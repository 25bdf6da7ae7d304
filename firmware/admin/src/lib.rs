//! The twinmail command line: commands, their execution over the control sockets, their output.
