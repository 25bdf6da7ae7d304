//! The encodings of extension parameters: xtext (RFC 3461 4) and the two for UTF-8 (RFC 6533 3).

use std::fmt::Write;

/// Whether a value is xtext: printable ASCII without `=`, and `+` only before two upper case digits.
pub fn is_xtext(text: &str) -> bool {
    decode(text).is_some()
}

/// The octets that xtext stands for.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'=' => return None,
            b'!'..=b'~' => byte,
            _ => return None,
        });
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The xtext of these octets.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'+' | b'=' | 0..=b' ' | 0x7f.. => {
                let _ = write!(out, "+{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// What utf-8-addr-xtext or utf-8-addr-unitext stands for: `\x{HEX}` names a character, `+`, `=` and
/// space stand only in that form (RFC 6533 3). `unitext` allows characters outside ASCII as they are.
pub fn decode_utf8_address(text: &str, unitext: bool) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '\\' => {
                let inside = rest.strip_prefix("x{")?;
                let (digits, after) = inside.split_once('}')?;
                let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
                if !(2..=6).contains(&digits.len()) || !digits.bytes().all(upper) {
                    return None;
                }
                out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                rest = after;
            }
            '+' | '=' => return None,
            '!'..='~' => out.push(c),
            _ if unitext && !c.is_ascii() => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_xtext_is_refused() {
        for bad in ["a=b", "a b", "+", "+4", "+4g", "+2b", "ü", "a\u{7f}"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode("QQ+2B314+3D159").unwrap(), b"QQ+314=159");
    }

    #[test]
    fn utf8_addresses_are_read_in_both_forms() {
        assert_eq!(decode_utf8_address("\\x{16A0}@x.test", false).unwrap(), "\u{16a0}@x.test");
        assert_eq!(decode_utf8_address("a\\x{2B}b@x", false).unwrap(), "a+b@x");
        assert_eq!(decode_utf8_address("ü@x", true).unwrap(), "ü@x");
        for bad in ["ü@x", "a+b", "\\x{}", "\\x{D800}", "\\x{12", "\\n", "a b", "\\x{1234567}"] {
            assert_eq!(decode_utf8_address(bad, false), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn xtext_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = encode(&bytes);
            prop_assert!(is_xtext(&text));
            prop_assert_eq!(decode(&text).unwrap(), bytes);
        }
    }
}
