//! Base subject, RFC 5256 2.1.

/// A subject without reply and forward marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseSubject {
    /// The base subject.
    pub text: String,
    /// A reply or forward mark was taken off.
    pub is_reply: bool,
}

/// The base subject of a decoded Subject value.
pub fn base_subject(subject: &str) -> BaseSubject {
    todo!()
}
