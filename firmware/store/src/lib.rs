//! The mail store: SQLite for what is indexed, segments for bodies, one group-committing writer.
