//! POP3 as parser and session state machine.
