//! Keys out of the bytes of a VT100.
//!
//! Anything may come over a serial line: what is neither UTF-8 nor a known sequence gives no key.

/// A lone escape is the escape key once nothing followed for so long; a sequence's bytes follow at
/// once even at the pace of an emulated machine.
const ESCAPE_MS: u64 = 150;
/// Longest escape sequence looked at; a longer one is noise.
const SEQUENCE_MAX: usize = 16;

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Char(char),
    /// Return; CR, LF and CR LF count once.
    Enter,
    /// Backspace or delete.
    Backspace,
    /// Escape.
    Escape,
    /// A letter with control, as a lower case letter.
    Control(char),
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

impl Key {
    /// Escape and Ctrl-C: back to where one came from.
    pub fn leaves(self) -> bool {
        matches!(self, Self::Escape | Self::Control('c'))
    }
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape {
        since_ms: u64,
    },
    Sequence(Vec<u8>),
    Utf8 {
        bytes: Vec<u8>,
        length: usize,
    },
}

/// Finds keys in bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    after_return: bool,
}

impl Decoder {
    /// Takes one byte and adds the keys it completes to `keys`.
    pub fn take(&mut self, byte: u8, now_ms: u64, keys: &mut Vec<Key>) {
        let after_return = std::mem::take(&mut self.after_return);
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte, after_return, now_ms, keys),
            State::Escape { .. } => match byte {
                b'[' | b'O' => self.state = State::Sequence(Vec::new()),
                _ => {
                    keys.push(Key::Escape);
                    self.ground(byte, false, now_ms, keys);
                }
            },
            State::Sequence(mut bytes) => {
                bytes.push(byte);
                let ended = (0x40..=0x7E).contains(&byte);
                if ended {
                    keys.extend(sequence_key(&bytes));
                } else if !(0x20..=0x7E).contains(&byte) {
                    // A control character ends the noise and counts itself.
                    self.ground(byte, false, now_ms, keys);
                } else if bytes.len() < SEQUENCE_MAX {
                    self.state = State::Sequence(bytes);
                }
            }
            State::Utf8 { mut bytes, length } => {
                if byte & 0xC0 != 0x80 {
                    self.ground(byte, false, now_ms, keys);
                    return;
                }
                bytes.push(byte);
                if bytes.len() < length {
                    self.state = State::Utf8 { bytes, length };
                    return;
                }
                let read = std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next());
                keys.extend(read.filter(|c| !c.is_control()).map(Key::Char));
            }
        }
    }

    /// Lets the time go on: a lone escape becomes a key.
    pub fn tick(&mut self, now_ms: u64, keys: &mut Vec<Key>) {
        if let State::Escape { since_ms } = self.state
            && now_ms >= since_ms + ESCAPE_MS
        {
            self.state = State::Ground;
            keys.push(Key::Escape);
        }
    }

    fn ground(&mut self, byte: u8, after_return: bool, now_ms: u64, keys: &mut Vec<Key>) {
        match byte {
            b'\n' if after_return => {}
            b'\r' => {
                self.after_return = true;
                keys.push(Key::Enter);
            }
            b'\n' => keys.push(Key::Enter),
            0x08 | 0x7F => keys.push(Key::Backspace),
            0x1B => self.state = State::Escape { since_ms: now_ms },
            0x01..=0x1A => keys.push(Key::Control(char::from(byte - 1 + b'a'))),
            0x20..=0x7E => keys.push(Key::Char(char::from(byte))),
            0xC2..=0xDF => self.state = State::Utf8 { bytes: vec![byte], length: 2 },
            0xE0..=0xEF => self.state = State::Utf8 { bytes: vec![byte], length: 3 },
            0xF0..=0xF4 => self.state = State::Utf8 { bytes: vec![byte], length: 4 },
            _ => {}
        }
    }
}

/// Keys of VT100 and VT220, in cursor and application mode.
fn sequence_key(bytes: &[u8]) -> Option<Key> {
    Some(match bytes {
        [b'A'] => Key::Up,
        [b'B'] => Key::Down,
        [b'C'] => Key::Right,
        [b'D'] => Key::Left,
        [b'H'] | b"1~" | b"7~" => Key::Home,
        [b'F'] | b"4~" | b"8~" => Key::End,
        [b'M'] => Key::Enter,
        b"3~" => Key::Backspace,
        b"5~" => Key::PageUp,
        b"6~" => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        let mut keys = Vec::new();
        for byte in bytes {
            decoder.take(*byte, 0, &mut keys);
        }
        decoder.tick(ESCAPE_MS, &mut keys);
        keys
    }

    #[test]
    fn letters_arrows_and_control_keys_are_told_apart() {
        assert_eq!(keys("a中\x7f".as_bytes()), [Key::Char('a'), Key::Char('中'), Key::Backspace]);
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[5~\x03"), [Key::Up, Key::Down, Key::PageUp, Key::Control('c')]);
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1b:"), [Key::Escape, Key::Char(':')]);
    }

    #[test]
    fn a_return_counts_once_however_it_is_sent() {
        assert_eq!(keys(b"\r\n\r\n"), [Key::Enter, Key::Enter]);
        assert_eq!(keys(b"\n\n"), [Key::Enter, Key::Enter]);
        assert_eq!(keys(b"\r\r"), [Key::Enter, Key::Enter]);
    }

    proptest! {
        #[test]
        fn garbage_gives_no_control_characters_and_leaves_no_trace(
            garbage in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let all = keys(&[&garbage[..], b"\r"].concat());
            let printable = |key: &Key| !matches!(key, Key::Char(c) if c.is_control());
            prop_assert!(all.iter().all(printable));
            // After two returns the decoder is in its ground state again.
            let end = keys(&[&garbage[..], b"\r\rx"].concat());
            prop_assert_eq!(end.last(), Some(&Key::Char('x')));
        }
    }
}
