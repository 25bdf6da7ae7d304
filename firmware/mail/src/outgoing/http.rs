//! The little of HTTP/1.1 (RFC 9112) that fetching one short text takes.

/// The content of a whole answer to a GET, if it is a success and plain text. The error is a phrase.
pub(super) fn plain_text(answer: &[u8]) -> Result<Vec<u8>, &'static str> {
    let end =
        answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the answer has no end of header")?;
    let (header, content) = (&answer[..end], &answer[end + 4..]);
    let header = std::str::from_utf8(header).map_err(|_| "the answer's header is not ASCII")?;
    let mut lines = header.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut words = status.split(' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err("the answer is not HTTP");
    }
    if words.next() != Some("200") {
        return Err("the web server has no such text");
    }
    let (mut length, mut chunked, mut plain) = (None, false, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| "the answer's length is no number")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("content-type") {
            let kind = value.split(';').next().unwrap_or_default().trim();
            plain = kind.eq_ignore_ascii_case("text/plain");
        }
    }
    if !plain {
        return Err("the answer is not plain text");
    }
    if chunked {
        return dechunk(content).ok_or("the answer breaks off");
    }
    match length {
        Some(length) => content.get(..length).map(<[u8]>::to_vec).ok_or("the answer breaks off"),
        None => Ok(content.to_vec()),
    }
}

/// Chunked transfer coding (RFC 9112 7.1); `None` if it is not whole.
fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read_and_others_are_not() {
        let with = |header: &str, content: &str| {
            plain_text(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n{header}\r\n{content}"
                )
                .as_bytes(),
            )
        };
        assert_eq!(with("Content-Length: 3\r\n", "abcdef").unwrap(), b"abc");
        assert_eq!(with("", "abc").unwrap(), b"abc");
        assert_eq!(
            with("Transfer-Encoding: chunked\r\n", "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n").unwrap(),
            b"abc0123456789"
        );
        assert!(with("Content-Length: 9\r\n", "abc").is_err());
        assert!(with("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n").is_err());
        assert!(with("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nabc\r\n").is_err());
        for answer in [
            "HTTP/1.1 301 Moved\r\nContent-Type: text/plain\r\nLocation: /\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nx",
            "HTTP/1.1 200 OK\r\n\r\nx",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
            "",
        ] {
            assert!(plain_text(answer.as_bytes()).is_err(), "{answer:?}");
        }
    }
}
