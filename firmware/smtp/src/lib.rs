//! SMTP and submission as state machines, and the schedule of the outgoing queue.
