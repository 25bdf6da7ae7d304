//! Flags and keywords: a word of bits per message, the mailbox names the upper ones.

use crate::{Entry, ModSeq, Uid};

/// Flags of one message: system flags in bits 0..=4, keywords of its mailbox from bit 16 on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u64);

impl Flags {
    /// `\Seen`.
    pub const SEEN: Self = Self(1);
    /// `\Answered`.
    pub const ANSWERED: Self = Self(1 << 1);
    /// `\Flagged`.
    pub const FLAGGED: Self = Self(1 << 2);
    /// `\Deleted`.
    pub const DELETED: Self = Self(1 << 3);
    /// `\Draft`.
    pub const DRAFT: Self = Self(1 << 4);
    /// All system flags.
    pub const SYSTEM: Self = Self(0b1_1111);
    /// Bit of a mailbox's first keyword.
    pub const KEYWORD_SHIFT: u32 = 16;
    /// Keywords one mailbox can have.
    pub const KEYWORDS_MAX: usize = 47;

    /// The flag of the mailbox's keyword number `index`.
    pub const fn keyword(index: usize) -> Self {
        Self(1 << (Self::KEYWORD_SHIFT as usize + index))
    }
    /// Has all of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Only the system flags.
    pub const fn system(self) -> Self {
        Self(self.0 & Self::SYSTEM.0)
    }
    /// The keywords set, by index into [`crate::Mailbox::keywords`].
    pub fn keywords(self) -> impl Iterator<Item = usize> {
        let bits = self.0 >> Self::KEYWORD_SHIFT;
        (0..Self::KEYWORDS_MAX).filter(move |index| bits & (1 << index) != 0)
    }
}

/// Flags by name, as a client gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagNames {
    /// System flags; `\Recent` is never stored.
    pub system: Flags,
    /// Keywords; compared without case, kept as first written.
    pub keywords: Vec<String>,
}

impl FlagNames {
    /// Only system flags.
    pub fn system(system: Flags) -> Self {
        Self { system, keywords: Vec::new() }
    }
}

/// What to do with the named flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagAction {
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
    /// `FLAGS`.
    Replace,
}

/// A STORE command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFlags {
    /// What to do.
    pub action: FlagAction,
    /// With which flags.
    pub flags: FlagNames,
    /// UNCHANGEDSINCE: leave messages alone that changed after this (RFC 7162 3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// What a STORE did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Messages whose flags are now different, with the new flags and mod-sequence.
    pub changed: Vec<Entry>,
    /// Messages that had the wanted flags already.
    pub unchanged: Vec<Entry>,
    /// Messages left alone because of UNCHANGEDSINCE.
    pub refused: Vec<Uid>,
    /// The mailbox's keywords after it, index = bit.
    pub keywords: Vec<String>,
    /// The mailbox's highest mod-sequence after it.
    pub highest_modseq: ModSeq,
}

/// Whether a name can be a keyword: an atom (RFC 3501 9), of bounded length.
pub(crate) fn is_keyword(name: &str) -> bool {
    const KEYWORD_BYTES_MAX: usize = 200;
    let is_atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
    !name.is_empty() && name.len() <= KEYWORD_BYTES_MAX && name.bytes().all(is_atom)
}
