//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): whom a load balancer speaks for.
//!
//! Only addresses that an administrator named are believed, and those must begin every connection with
//! the header: without it nobody could tell their clients apart. Nobody else's first octets are looked at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

/// For the whole header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest header of version 1, CRLF included (2.1).
const V1_MAX_BYTES: usize = 107;
/// First octets of version 2 (2.2).
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest part behind the first 16 octets of version 2; the protocol asks for 216, and TLVs add to it.
const V2_REST_MAX_BYTES: usize = 4096;

/// Reads the header and nothing behind it. None: the balancer speaks for itself, as for a health check.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    tokio::time::timeout(HEADER_TIMEOUT, read_header(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut first = [0; V2_SIGNATURE.len()];
    stream.read_exact(&mut first).await?;
    if &first == V2_SIGNATURE {
        return read_v2(stream).await;
    }
    if !first.starts_with(b"PROXY ") {
        return Err(bad("there is none"));
    }
    // Octet by octet: what stands behind the line is the client's.
    let mut line = first.to_vec();
    while line.last() != Some(&b'\n') {
        if line.len() >= V1_MAX_BYTES {
            return Err(bad("it is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_v1(&line).ok_or_else(|| bad("it is not understood"))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("PROXY header: {why}"))
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` and its kin; the inner none is `UNKNOWN`.
fn parse_v1(line: &[u8]) -> Option<Option<IpAddr>> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut words = text.split(' ');
    if words.next() != Some("PROXY") {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, target): (IpAddr, IpAddr) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let port = |word: Option<&str>| word.is_some_and(|word| word.parse::<u16>().is_ok());
    let whole = port(words.next()) && port(words.next()) && words.next().is_none();
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    (whole && fits).then_some(Some(source))
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version_and_command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_REST_MAX_BYTES {
        return Err(bad("it is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match version_and_command {
        0x20 => Ok(None),
        0x21 => parse_v2(family, &rest).ok_or_else(|| bad("it is not understood")),
        _ => Err(bad("its version or command is unknown")),
    }
}

/// TCP over IPv4 or IPv6; of anything else the receiver uses the connection's own address (2.2).
fn parse_v2(family: u8, rest: &[u8]) -> Option<Option<IpAddr>> {
    match family {
        0x11 => {
            let source: [u8; 4] = rest.get(..12)?.get(..4)?.try_into().ok()?;
            Some(Some(Ipv4Addr::from(source).into()))
        }
        0x21 => {
            let source: [u8; 16] = rest.get(..36)?.get(..16)?.try_into().ok()?;
            Some(Some(Ipv6Addr::from(source).into()))
        }
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8]) -> (Option<Option<IpAddr>>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut rest = bytes;
        let read = runtime.block_on(read(&mut rest));
        (read.ok(), rest.len())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, rest, b"EHLO"].concat()
    }

    #[test]
    fn both_versions_tell_the_client_and_leave_its_octets() {
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO";
        assert_eq!(heard(v1), (Some(Some(source)), 4));
        let six = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\nEHLO";
        assert_eq!(heard(six), (Some(Some("2001:db8::1".parse().unwrap())), 4));
        assert_eq!(heard(b"PROXY UNKNOWN a b c\r\nEHLO"), (Some(None), 4));
        let four = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 1, 1, 0, 25, 3, 0, 1, 0]);
        assert_eq!(heard(&four), (Some(Some(source)), 4));
        assert_eq!(heard(&v2(0x20, 0, &[])), (Some(None), 4));
        let mut six = [0; 36];
        six[15] = 1;
        assert_eq!(heard(&v2(0x21, 0x21, &six)).0, Some(Some("::1".parse().unwrap())));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bad in [
            &b"EHLO client.test\r\n"[..],
            b"PROXY TCP4 192.0.2.1\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 99999 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 25 x\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 25\n",
            b"PROXY ",
            &[b'P', b'R', b'O', b'X', b'Y', b' ', b'x'].repeat(30),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x11, &[0; 5000]),
        ] {
            assert_eq!(heard(bad).0, None, "{bad:?}");
        }
    }
}
