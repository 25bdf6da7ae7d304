//! IMAP4rev1 as parser and session, above an abstract socket.
