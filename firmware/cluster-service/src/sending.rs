//! One notice to one place: syslog over UDP, TCP or TLS, a webhook over HTTP or HTTPS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alarm::{Notice, syslog_line, webhook_body};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use settings::{SyslogPlace, SyslogWay, WebPlace};

/// Certificate authorities of the box.
const ROOTS_PATH: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Longest wait for a name, a connection, and each piece on it.
const STEP_WAIT: Duration = Duration::from_secs(5);
/// What one whole request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// Longest part of an answer that is read: its first line is all that counts.
const ANSWER_MAX_BYTES: usize = 4096;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// How to reach the places of notices.
pub struct Sending {
    name_servers: Vec<IpAddr>,
    tls: Option<Arc<ClientConfig>>,
}

/// In whose name, and in which language.
#[derive(Debug, Clone, Copy)]
pub struct Voice<'a> {
    /// Name of the box.
    pub box_name: &'a str,
    /// In Chinese.
    pub chinese: bool,
}

impl Sending {
    /// With the name servers of the box and the authorities of its image.
    pub fn new(name_servers: Vec<IpAddr>) -> Self {
        Self { name_servers, tls: client_config(Path::new(ROOTS_PATH)) }
    }

    /// Sends one syslog message.
    pub fn syslog(&self, place: &SyslogPlace, notice: &Notice, voice: Voice<'_>) -> io::Result<()> {
        let line = syslog_line(notice, voice.box_name, voice.chinese);
        match place.way {
            SyslogWay::Udp => {
                let at = self.first_address(&place.host, place.port)?;
                let any: IpAddr = if at.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                socket.send_to(line.as_bytes(), at).map(drop)
            }
            // Octet counting (RFC 6587 3.4.1, RFC 5425 4.3).
            SyslogWay::Tcp => {
                let mut stream = self.connect(&place.host, place.port)?;
                write!(stream, "{} {line}", line.len())?;
                stream.flush()?;
                stream.shutdown(std::net::Shutdown::Write)
            }
            SyslogWay::Tls => {
                let mut stream = self.secure(&place.host, place.port)?;
                write!(stream, "{} {line}", line.len())?;
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }

    /// Posts one JSON object; any answer of class 2 is good.
    pub fn webhook(&self, place: &WebPlace, notice: &Notice, voice: Voice<'_>) -> io::Result<()> {
        let body = webhook_body(notice, voice.box_name, voice.chinese);
        let host = if place.host.contains(':') { format!("[{}]", place.host) } else { place.host.clone() };
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: twinmail\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            place.path,
            place.port,
            body.len()
        );
        if place.tls {
            exchange(self.secure(&place.host, place.port)?, &request)
        } else {
            exchange(self.connect(&place.host, place.port)?, &request)
        }
    }

    fn secure(&self, host: &str, port: u16) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let config =
            self.tls.clone().ok_or_else(|| io::Error::other("the box has no certificate authorities"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, self.connect(host, port)?))
    }

    fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut last = io::Error::other(format!("{host} has no address"));
        for address in self.addresses(host)? {
            match TcpStream::connect_timeout(&SocketAddr::new(address, port), STEP_WAIT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(STEP_WAIT))?;
                    stream.set_write_timeout(Some(STEP_WAIT))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn first_address(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        let first = self.addresses(host)?.into_iter().next();
        let first = first.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
        Ok(SocketAddr::new(first, port))
    }

    fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if self.name_servers.is_empty() {
            return Err(io::Error::other(format!("{host} cannot be looked up: no name server is set")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let looked_up = runtime.block_on(async {
            let server = |address: &IpAddr| {
                NameServerConfig::new(*address, true, vec![ConnectionConfig::udp(), ConnectionConfig::tcp()])
            };
            let servers = self.name_servers.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .build()
                .map_err(io::Error::other)?;
            let lookup = resolver.lookup_ip(format!("{}.", host.trim_end_matches('.')));
            let found = tokio::time::timeout(STEP_WAIT, lookup).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(found.map_err(io::Error::other)?.iter().take(ADDRESSES_MAX).collect())
        });
        runtime.shutdown_background();
        looked_up
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<()> {
    let end = Instant::now() + REQUEST_LIMIT;
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let (mut answer, mut piece) = (Vec::new(), [0; 512]);
    while !answer.contains(&b'\n') && answer.len() < ANSWER_MAX_BYTES && Instant::now() < end {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
    if code.len() == 3 && code.starts_with('2') {
        Ok(())
    } else {
        Err(io::Error::other(format!("it answered {:?}", line.chars().take(80).collect::<String>())))
    }
}

fn client_config(roots: &Path) -> Option<Arc<ClientConfig>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(CertificateDer::pem_file_iter(roots).ok()?.filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    (!store.is_empty()).then(|| Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alarm::Dispatcher;
    use std::net::TcpListener;
    use std::thread;

    const VOICE: Voice<'_> = Voice { box_name: "box-a", chinese: false };

    fn notice() -> Notice {
        Dispatcher::default().test(1_700_000_000_000, "this is a test of where alarms go")
    }

    fn sending() -> Sending {
        Sending { name_servers: vec![], tls: None }
    }

    #[test]
    fn syslog_arrives_by_datagram_and_with_counted_octets() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let udp = SyslogPlace { way: SyslogWay::Udp, host: "127.0.0.1".to_owned(), port };
        sending().syslog(&udp, &notice(), VOICE).unwrap();
        let mut room = [0; 2048];
        let length = socket.recv(&mut room).unwrap();
        let datagram = String::from_utf8(room[..length].to_vec()).unwrap();
        assert!(datagram.starts_with("<29>1 2023-11-14T22:13:20.000Z box-a twinmail - test "), "{datagram}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = SyslogPlace { way: SyslogWay::Tcp, port: listener.local_addr().unwrap().port(), ..udp };
        let heard = thread::spawn(move || {
            let mut text = String::new();
            listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
            text
        });
        sending().syslog(&tcp, &notice(), VOICE).unwrap();
        let heard = heard.join().unwrap();
        let (count, message) = heard.split_once(' ').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), message.len());
        assert_eq!(message, datagram);
    }

    #[test]
    fn a_webhook_gets_json_and_a_refusal_is_a_failure() {
        for (answer, good) in
            [("HTTP/1.1 204 No Content\r\n\r\n", true), ("HTTP/1.1 500 Oops\r\n\r\n", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let far = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut text = String::new();
                let mut piece = [0; 512];
                while !text.ends_with('}') {
                    let read = stream.read(&mut piece).unwrap();
                    text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
                }
                stream.write_all(answer.as_bytes()).unwrap();
                text
            });
            let place: WebPlace = format!("http://127.0.0.1:{port}/hook?a=b").parse().unwrap();
            assert_eq!(sending().webhook(&place, &notice(), VOICE).is_ok(), good);
            let heard = far.join().unwrap();
            let (head, body) = heard.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((body["kind"].as_str(), body["box"].as_str()), (Some("test"), Some("box-a")));
        }
    }

    #[test]
    fn nothing_is_sent_over_tls_without_authorities() {
        let place: WebPlace = "https://127.0.0.1:1/".parse().unwrap();
        assert!(sending().webhook(&place, &notice(), VOICE).unwrap_err().to_string().contains("authorities"));
    }
}
