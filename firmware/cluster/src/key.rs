//! The reservation key: who registered at the array, and with which epoch.
//!
//! ```text
//! bit 63        48 47      40 39        32 31                    0
//!     | 0x544D    | node     | pair check | epoch                |
//!     | "TM"      | 1=a 2=b  | 8 bits     | counts up every take |
//! ```

use core::fmt;

use serde::{Deserialize, Serialize};

/// The upper 16 bits of every key of this product, "TM".
pub const KEY_MAGIC: u16 = 0x544D;

/// Place of a box in its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Node {
    /// The box that was set up first.
    A,
    /// The box that joined.
    B,
}

impl Node {
    /// The other box.
    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// A reservation key of one pair (SPC-4 5.12.2), never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    node: Node,
    pair_check: u8,
    epoch: u32,
}

impl Key {
    /// The key with which `node` of pair `pair_id` owns the group in `epoch`.
    pub fn new(node: Node, pair_id: u32, epoch: u32) -> Self {
        Self { node, pair_check: pair_check(pair_id), epoch }
    }

    /// The eight bytes the array sees.
    pub fn encode(self) -> u64 {
        let node: u64 = match self.node {
            Node::A => 1,
            Node::B => 2,
        };
        (u64::from(KEY_MAGIC) << 48)
            | (node << 40)
            | (u64::from(self.pair_check) << 32)
            | u64::from(self.epoch)
    }

    /// What a key found at the array says, if it belongs to pair `pair_id`.
    pub fn decode(raw: u64, pair_id: u32) -> Option<Self> {
        let node = match (raw >> 40) & 0xFF {
            1 => Node::A,
            2 => Node::B,
            _ => return None,
        };
        let key = Self { node, pair_check: (raw >> 32) as u8, epoch: raw as u32 };
        let ours = (raw >> 48) as u16 == KEY_MAGIC && key.pair_check == pair_check(pair_id);
        ours.then_some(key)
    }

    /// Whose key it is.
    pub fn node(self) -> Node {
        self.node
    }

    /// The epoch it was made for.
    pub fn epoch(self) -> u32 {
        self.epoch
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.epoch)
    }
}

/// Eight bits that tell two pairs apart that were cabled to the same LUN by mistake.
fn pair_check(pair_id: u32) -> u8 {
    pair_id.to_be_bytes().iter().fold(0, |check, byte| check ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_went() {
        for node in [Node::A, Node::B] {
            for epoch in [0, 1, 77, u32::MAX] {
                let key = Key::new(node, 0xC0FF_EE01, epoch);
                assert_eq!(Key::decode(key.encode(), 0xC0FF_EE01), Some(key));
            }
        }
        assert_eq!(Key::new(Node::B, 0x0102_0408, 5).encode(), 0x544D_020F_0000_0005);
    }

    #[test]
    fn keys_of_others_are_strangers() {
        let ours = Key::new(Node::A, 1, 9).encode();
        assert_eq!(Key::decode(ours, 2), None);
        assert_eq!(Key::decode(ours | (3 << 40), 1), None);
        assert_eq!(Key::decode(ours ^ (1 << 63), 1), None);
        assert_eq!(Key::decode(0, 0), None);
    }
}
