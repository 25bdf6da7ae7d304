//! Content-Type and Content-Disposition, RFC 2045, RFC 2231.
