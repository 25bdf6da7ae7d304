//! Messages of made-up words, the same in every run; made before the clock starts.

use crate::server::DOMAIN;

/// Bytes of a usual message.
pub const SMALL_BYTES: usize = 4 * 1024;
/// Bytes of a large one.
pub const LARGE_BYTES: usize = 64 * 1024;
/// Different large messages.
pub const LARGE_COUNT: usize = 64;
/// A word that is in exactly one message, the middle one.
pub const NEEDLE: &str = "zyxnedlezyx";

/// Words of the vocabulary; real text repeats itself about as much.
const WORDS: usize = 4_000;

/// What the works send.
pub struct Texts {
    /// Messages of [`SMALL_BYTES`].
    pub small: Vec<Vec<u8>>,
    /// Messages of [`LARGE_BYTES`].
    pub large: Vec<Vec<u8>>,
}

impl Texts {
    /// Makes so many small messages, and the large ones.
    pub fn new(count: usize) -> Self {
        let words = vocabulary();
        let small = |index| {
            let needle = (index == count / 2).then_some(NEEDLE);
            message(&words, SMALL_BYTES, index as u64, needle)
        };
        let large = |index| message(&words, LARGE_BYTES, 1 << 32 | index as u64, None);
        Self { small: (0..count).map(small).collect(), large: (0..LARGE_COUNT).map(large).collect() }
    }
}

/// The vocabulary.
pub fn vocabulary() -> Vec<String> {
    let mut random = Random(1);
    let syllable = |random: &mut Random| {
        let consonant = b"bcdfghklmnprstvw"[random.below(16)] as char;
        let vowel = b"aeiou"[random.below(5)] as char;
        format!("{consonant}{vowel}")
    };
    (0..WORDS)
        .map(|_| {
            let syllables = 1 + random.below(4);
            (0..syllables).map(|_| syllable(&mut random)).collect()
        })
        .collect()
}

/// A text message of about so many bytes, without a dot at the start of a line.
pub fn message(words: &[String], size_bytes: usize, seed: u64, needle: Option<&str>) -> Vec<u8> {
    let mut random = Random(seed | 1 << 40);
    let mut word = || words[random.below(words.len())].as_str();
    let mut text = format!(
        "From: Sender {seed} <s{}@sender.example>\r\nTo: <list@{DOMAIN}>\r\nSubject: {} {} {} {seed}\r\n\
         Date: Mon, 02 Jan 2023 10:00:00 +0000\r\nMessage-ID: <{seed}.{size_bytes}@sender.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
        seed % 100,
        word(),
        word(),
        word(),
    );
    if let Some(needle) = needle {
        text.push_str(needle);
        text.push_str("\r\n");
    }
    while text.len() < size_bytes {
        for _ in 0..10 {
            text.push_str(word());
            text.push(' ');
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// A small generator (splitmix64): good enough for text and for gaps.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number from 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
