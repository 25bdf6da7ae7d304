//! The cluster service: threads that carry out what the decision core decides.
