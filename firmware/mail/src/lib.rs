//! The mail service: listeners, TLS, authentication, delivery, the outgoing queue, administration socket.
