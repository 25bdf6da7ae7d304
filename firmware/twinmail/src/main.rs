//! The one program of the box: it becomes init, cluster, mail, panel or the command line.

fn main() {}
