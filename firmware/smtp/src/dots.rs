//! Transparency of the message text (RFC 5321 4.5.2), and the refusal to be smuggled through.

use memchr::memchr2;

/// Undoes dot-stuffing of a text that ends with CRLF.CRLF.
///
/// A CR without LF or an LF without CR never ends a line, so `LF.CRLF` and its kin stay content; that
/// they were there is reported, because such a message must not be passed on either.
#[derive(Debug, Clone, Default)]
pub struct Unstuffer {
    state: State,
    bare: bool,
    nul: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    LineStart,
    Text,
    Cr,
    Dot,
    DotCr,
    Done,
}

impl Unstuffer {
    /// Whether a CR or LF stood alone so far.
    pub fn saw_bare(&self) -> bool {
        self.bare
    }

    /// Whether a NUL was seen, which no line may have (RFC 5321 2.3.1, RFC 5322 4).
    pub fn saw_nul(&self) -> bool {
        self.nul
    }

    /// Whether the end was seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes `input` into `out` up to the end of the message; returns how many bytes were taken.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match (self.state, byte) {
                (State::Done, _) => return at,
                (State::Text, _) => {
                    let rest = input.get(at..).unwrap_or(&[]);
                    let run = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    let run = rest.get(..run).unwrap_or(rest);
                    self.nul |= memchr::memchr(0, run).is_some();
                    out.extend_from_slice(run);
                    at += run.len();
                    match input.get(at) {
                        Some(b'\r') => self.state = State::Cr,
                        Some(_) => self.bare = true,
                        None => return at,
                    }
                    at += 1;
                    continue;
                }
                (State::LineStart, b'.') => self.state = State::Dot,
                (State::LineStart, _) => {
                    self.state = State::Text;
                    continue;
                }
                (State::Cr, b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    self.state = State::LineStart;
                }
                (State::Cr, b'\r') => self.bare = true,
                (State::Cr, _) => {
                    self.bare = true;
                    self.state = State::Text;
                    continue;
                }
                (State::Dot, b'\r') => self.state = State::DotCr,
                (State::Dot, _) => {
                    self.state = State::Text;
                    continue;
                }
                (State::DotCr, b'\n') => self.state = State::Done,
                (State::DotCr, b'\r') => {
                    self.bare = true;
                    self.state = State::Cr;
                }
                (State::DotCr, _) => {
                    self.bare = true;
                    self.state = State::Text;
                    continue;
                }
            }
            at += 1;
        }
        at
    }
}

/// Does dot-stuffing for a message text that goes out; ends it with CRLF.CRLF.
///
/// A dot behind an LF that stands alone is doubled too: a receiver that takes such an LF for a line
/// end must not see the end of the message there.
#[derive(Debug, Clone, Default)]
pub struct Stuffer {
    last: [Option<u8>; 2],
}

impl Stuffer {
    /// Appends `input` to `out` with dots doubled at line starts.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(&first) = rest.first() {
            if first == b'.' && matches!(self.last[1], None | Some(b'\n')) {
                out.push(b'.');
            }
            let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (head, tail) = rest.split_at(line);
            out.extend_from_slice(head);
            self.last = match head {
                [.., before, last] => [Some(*before), Some(*last)],
                [last] => [self.last[1], Some(*last)],
                [] => self.last,
            };
            rest = tail;
        }
    }

    /// Appends the end of the message.
    pub fn finish(&self, out: &mut Vec<u8>) {
        let whole = matches!(self.last, [None, None] | [Some(b'\r'), Some(b'\n')]);
        out.extend_from_slice(if whole { b".\r\n" } else { b"\r\n.\r\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(input: &[u8]) -> (Vec<u8>, usize, bool, bool) {
        let mut unstuffer = Unstuffer::default();
        let mut out = Vec::new();
        let taken = unstuffer.decode(input, &mut out);
        (out, taken, unstuffer.is_done(), unstuffer.saw_bare())
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message() {
        let (text, taken, done, bare) = decode(b"a\r\n..b\r\n.\r\nQUIT\r\n");
        assert_eq!((text.as_slice(), taken, done, bare), (&b"a\r\n.b\r\n"[..], 11, true, false));
        assert!(decode(b".\r\n").2);
        for tricky in [
            "a\n.\n",
            "a\n.\r\n",
            "a\r\n.\n",
            "a\r.\r\n",
            "a\r\n.\r",
            "a\r\n\r.\r\n",
            "a\r\n.\rx\n",
            "\n.\r\n",
        ] {
            let (_, taken, done, _) = decode(tricky.as_bytes());
            assert_eq!((taken, done), (tricky.len(), false), "{tricky:?}");
            let whole = format!("{tricky}b\r\n.\r\n");
            let (_, taken, done, bare) = decode(whole.as_bytes());
            assert_eq!((taken, done, bare), (whole.len(), true, true), "{tricky:?}");
        }
    }

    #[test]
    fn every_text_gets_its_own_line_for_the_end() {
        for (text, want) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a\n", "a\n\r\n.\r\n"),
            (".\n.\r\n", "..\n..\r\n.\r\n"),
        ] {
            let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
            stuffer.encode(text.as_bytes(), &mut out);
            stuffer.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_stuffed_comes_back(lines in prop::collection::vec("[.a-c]{0,5}", 0..8), cut in 0_usize..40) {
            let text: Vec<u8> = lines.iter().flat_map(|l| format!("{l}\r\n").into_bytes()).collect();
            let mut wire = Vec::new();
            let mut stuffer = Stuffer::default();
            let (head, tail) = text.split_at(cut.min(text.len()));
            stuffer.encode(head, &mut wire);
            stuffer.encode(tail, &mut wire);
            stuffer.finish(&mut wire);
            let (back, taken, done, bare) = decode(&wire);
            prop_assert_eq!(back, text);
            prop_assert!(done && !bare && taken == wire.len());
        }

        #[test]
        fn splits_do_not_matter(wire in prop::collection::vec(prop::sample::select(vec![b'.', b'\r', b'\n', b'a']), 0..60),
                                cuts in prop::collection::vec(0_usize..60, 0..6)) {
            let whole = decode(&wire);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(wire.len())).collect();
            cuts.sort_unstable();
            cuts.push(wire.len());
            let mut unstuffer = Unstuffer::default();
            let (mut out, mut taken, mut from) = (Vec::new(), 0, 0);
            for to in cuts {
                if unstuffer.is_done() { break; }
                taken += unstuffer.decode(&wire[from..to], &mut out);
                from = to;
            }
            prop_assert_eq!(whole, (out, taken, unstuffer.is_done(), unstuffer.saw_bare()));
        }
    }
}
