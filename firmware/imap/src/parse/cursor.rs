//! The words of the grammar: atoms, strings, literals, numbers (RFC 3501 section 9).

use bytes::Bytes;

use super::Fault;
use super::name::{decode_name, plain_name};

/// What the client has enabled that changes the grammar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Mailbox names are UTF-8, and `&` is a letter like others (RFC 6855 section 3, RFC 9051 section 5.1).
    pub utf8: bool,
    /// Strings are UTF-8, and a search names no charset (RFC 6855 section 3).
    pub utf8_strings: bool,
    /// Messages are named by UIDs only (RFC 9586).
    pub uid_only: bool,
}

/// Reads one command in wire form, literals included, from its first byte to its end.
pub(super) struct Cursor<'a> {
    input: &'a Bytes,
    position: usize,
    pub dialect: Dialect,
}

impl<'a> Cursor<'a> {
    pub fn new(input: &'a Bytes, dialect: Dialect) -> Self {
        Self { input, position: 0, dialect }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Takes `byte` if it is next.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    pub fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(Fault::Syntax(otherwise)) }
    }

    pub fn space(&mut self) -> Result<(), Fault> {
        self.expect(b' ', "a space is missing before an argument")
    }

    /// Takes `word` (ASCII, any case) if it is next and a delimiter follows it.
    pub fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let Some((head, tail)) = rest.split_at_checked(word.len()) else { return false };
        let ends = tail.first().is_none_or(|next| !is_atom_char(*next) || *next == b']' || *next == b'[');
        let found = ends && head.eq_ignore_ascii_case(word.as_bytes());
        if found {
            self.position += word.len();
        }
        found
    }

    /// The end of the command: nothing but spaces may be left. Clients in use leave some.
    pub fn end(&self) -> Result<(), Fault> {
        if self.rest().iter().all(|byte| *byte == b' ') {
            Ok(())
        } else {
            Err(Fault::Syntax("there is something after the end of the command"))
        }
    }

    pub fn is_at_end(&self) -> bool {
        self.rest().iter().all(|byte| *byte == b' ')
    }

    /// Takes bytes while `wanted` holds.
    pub fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.position += length;
        rest.get(..length).unwrap_or_default()
    }

    /// `atom`, as text.
    pub fn atom(&mut self) -> Result<&'a str, Fault> {
        let bytes = self.take_while(is_atom_char);
        if bytes.is_empty() {
            return Err(Fault::Syntax("a word is missing"));
        }
        std::str::from_utf8(bytes).map_err(|_| Fault::Syntax("a word is not ASCII"))
    }

    /// `number`, up to 63 bits.
    pub fn number(&mut self) -> Result<u64, Fault> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(Fault::Syntax("a number is missing"));
        }
        decimal(digits).ok_or(Fault::Syntax("a number is too large"))
    }

    /// `number` of 32 bits.
    pub fn number32(&mut self) -> Result<u32, Fault> {
        u32::try_from(self.number()?).map_err(|_| Fault::Syntax("a number is larger than 32 bits"))
    }

    /// `string`: quoted or literal.
    pub fn string(&mut self) -> Result<Bytes, Fault> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Err(Fault::Syntax("a string is missing")),
        }
    }

    /// `astring`.
    pub fn astring(&mut self) -> Result<Bytes, Fault> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let start = self.position;
        if self.take_while(is_astring_char).is_empty() {
            return Err(Fault::Syntax("an argument is missing"));
        }
        Ok(self.input.slice(start..self.position))
    }

    /// `nstring`: `None` for NIL.
    pub fn nstring(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.take_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `mailbox`: decoded, and INBOX in its one spelling.
    pub fn mailbox(&mut self) -> Result<String, Fault> {
        let wire = self.astring()?;
        let name = self.decode(&wire).ok_or(Fault::Syntax("the mailbox name is not modified UTF-7"))?;
        Ok(if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name })
    }

    /// `list-mailbox`: a name that may hold wildcards. A wildcard may stand where an encoded character would
    /// go on; what cannot be decoded is matched as it was sent.
    pub fn list_mailbox(&mut self) -> Result<String, Fault> {
        let wire = if matches!(self.peek(), Some(b'"' | b'{')) {
            self.string()?
        } else {
            let start = self.position;
            if self.take_while(|byte| is_astring_char(byte) || matches!(byte, b'%' | b'*')).is_empty() {
                return Err(Fault::Syntax("a mailbox pattern is missing"));
            }
            self.input.slice(start..self.position)
        };
        let pattern = self.decode(&wire).or_else(|| plain_name(&wire));
        pattern.ok_or(Fault::Syntax("the mailbox pattern is not modified UTF-7"))
    }

    fn decode(&self, wire: &[u8]) -> Option<String> {
        if self.dialect.utf8 { plain_name(wire) } else { decode_name(wire) }
    }

    fn quoted(&mut self) -> Result<Bytes, Fault> {
        self.expect(b'"', "a quoted string is missing")?;
        let start = self.position;
        let rest = self.rest();
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if let Some(length) = plain
            && rest.get(length) == Some(&b'"')
        {
            self.position += length + 1;
            return Ok(self.input.slice(start..start + length));
        }
        self.quoted_with_escapes()
    }

    fn quoted_with_escapes(&mut self) -> Result<Bytes, Fault> {
        const UNENDED: Fault = Fault::Syntax("a quoted string does not end on its line");
        let mut text = Vec::new();
        loop {
            let byte = self.peek().ok_or(UNENDED)?;
            self.position += 1;
            match byte {
                b'"' => return Ok(Bytes::from(text)),
                b'\\' => {
                    let escaped = self.peek().ok_or(UNENDED)?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return Err(Fault::Syntax("only \" and \\ can follow \\ in a quoted string"));
                    }
                    self.position += 1;
                    text.push(escaped);
                }
                b'\r' | b'\n' | 0 => return Err(UNENDED),
                other => text.push(other),
            }
        }
    }

    /// `literal`: `{n}` or `{n+}`, CRLF, n bytes.
    pub fn literal(&mut self) -> Result<Bytes, Fault> {
        const BROKEN: Fault = Fault::Syntax("a literal is broken");
        self.expect(b'{', "a literal is missing")?;
        let length = usize::try_from(self.number()?).map_err(|_| BROKEN)?;
        self.take(b'+');
        self.expect(b'}', "a literal is not closed by }")?;
        self.take(b'\r');
        if !self.take(b'\n') {
            return Err(BROKEN);
        }
        let end = self.position.checked_add(length).filter(|end| *end <= self.input.len()).ok_or(BROKEN)?;
        let bytes = self.input.slice(self.position..end);
        self.position = end;
        Ok(bytes)
    }
}

/// The value of decimal digits, below 2^63.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))?;
    }
    i64::try_from(value).is_ok().then_some(value)
}

/// `ATOM-CHAR`.
pub(super) fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR`; 8-bit bytes pass, because clients send raw UTF-8 names and passwords.
pub(super) fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']' || byte >= 0x80
}
