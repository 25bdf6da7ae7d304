//! Mailbox names: modified UTF-7 on the wire (RFC 3501 section 5.1.3), UTF-8 inside.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Decodes a mailbox name from the wire. `None` when it is neither modified UTF-7 nor plain UTF-8, or
/// holds control characters.
///
/// Names with 8-bit characters are taken as UTF-8: clients that send them mean that (RFC 9051).
pub fn decode_name(wire: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(wire).ok()?;
    let name = if text.is_ascii() && text.contains('&') { decode_utf7(text)? } else { text.to_owned() };
    (!name.chars().any(char::is_control)).then_some(name)
}

/// A mailbox name in UTF-8. `None` when it is not, or holds control characters.
pub(super) fn plain_name(wire: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(wire).ok()?;
    (!name.chars().any(char::is_control)).then(|| name.to_owned())
}

fn decode_utf7(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        name.push_str(rest.get(..start)?);
        let shifted = rest.get(start + 1..)?;
        let end = shifted.find('-')?;
        let encoded = shifted.get(..end)?;
        if encoded.is_empty() {
            name.push('&');
        } else {
            decode_shifted(encoded.as_bytes(), &mut name)?;
        }
        rest = shifted.get(end + 1..)?;
    }
    name.push_str(rest);
    Some(name)
}

/// Appends what one `&...-` sequence stands for.
fn decode_shifted(encoded: &[u8], name: &mut String) -> Option<()> {
    let mut units = Vec::with_capacity(encoded.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in encoded {
        let value = ALPHABET.iter().position(|letter| letter == byte)? as u32;
        bits = (bits << 6) | value;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push((bits >> held) as u16);
            bits &= (1 << held) - 1;
        }
    }
    // What is left over is padding: less than a sextet, and all zero.
    if held >= 6 || bits != 0 {
        return None;
    }
    for decoded in char::decode_utf16(units) {
        let decoded = decoded.ok()?;
        // Printable ASCII stands for itself; an encoded form would be a second name for one mailbox.
        if (' '..='~').contains(&decoded) {
            return None;
        }
        name.push(decoded);
    }
    Some(())
}

/// Encodes a mailbox name for the wire.
pub fn encode_name(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = Vec::new();
    for character in name.chars() {
        if (' '..='~').contains(&character) {
            flush_shifted(&mut shifted, &mut wire);
            wire.push(character);
            if character == '&' {
                wire.push('-');
            }
        } else {
            shifted.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    flush_shifted(&mut shifted, &mut wire);
    wire
}

fn flush_shifted(units: &mut Vec<u16>, wire: &mut String) {
    if units.is_empty() {
        return;
    }
    wire.push('&');
    let (mut bits, mut held) = (0_u32, 0_u32);
    for unit in units.drain(..) {
        bits = (bits << 16) | u32::from(unit);
        held += 16;
        while held >= 6 {
            held -= 6;
            wire.push(letter(bits >> held));
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        wire.push(letter(bits << (6 - held)));
    }
    wire.push('-');
}

fn letter(sextet: u32) -> char {
    ALPHABET.get((sextet & 63) as usize).copied().map_or('A', char::from)
}
