//! Reading a mail message: ENVELOPE, BODYSTRUCTURE, sections, search text.
