//! Header fields as byte ranges.

/// One header field as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name without colon and without blanks before it.
    pub name: &'a [u8],
    /// Value after the colon, folded as it came, without the last line end.
    pub value: &'a [u8],
    /// The whole field with its line end.
    pub raw: &'a [u8],
}

/// The fields of a header, in order, at most [`crate::FIELDS_MAX`].
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::empty()
}

/// Where the body begins: after the first empty line, or the end if there is none.
pub fn header_end(raw: &[u8]) -> usize {
    todo!()
}
