//! Real mail clients against the real service.
