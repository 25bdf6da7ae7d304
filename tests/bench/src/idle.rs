//! Idle TLS IMAP connections, and what memory one of them costs the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::server::{ACCOUNTS, DOMAIN, PASSWORD, Server};
use crate::table::{Better, Figure};

/// What the table calls it.
pub const NAME: &str = "memory of an idle TLS IMAP";

/// Connections the peers are asked to hold: as packaged their login service takes 100.
const PEERS_HOLD: usize = 80;
/// Before the memory is read, so that what is given back is given back.
const SETTLE: Duration = Duration::from_secs(5);

/// Holds connections in IDLE and measures the growth of the server's memory.
pub fn measure(server: &Server, count: usize) -> Result<Figure, String> {
    let count = if server.is_ours() { count } else { count.min(PEERS_HOLD) };
    // Both servers under test have made their own certificates.
    let config = Arc::new(opportunistic::client_config().map_err(|e| e.to_string())?);
    std::thread::sleep(SETTLE);
    let before = server.memory_kib();
    let held: Vec<_> =
        (0..count).map(|index| open(server.imaps, &config, index)).collect::<Result<_, String>>()?;
    std::thread::sleep(SETTLE);
    let grown = server.memory_kib().saturating_sub(before);
    drop(held);
    Ok(Figure::plain(NAME, grown as f64 / count as f64, "KiB", Better::Less))
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn open(port: u16, config: &Arc<ClientConfig>, index: usize) -> Result<Tls, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("port {port}: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).map_err(|e| e.to_string())?;
    let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
    let client = ClientConnection::new(Arc::clone(config), name).map_err(|e| e.to_string())?;
    let mut tls = StreamOwned::new(client, stream);
    until(&mut tls, "* OK")?;
    let user = index % ACCOUNTS + 1;
    say(&mut tls, &format!("a LOGIN {user}u@{DOMAIN} {PASSWORD}\r\n"), "a OK")?;
    say(&mut tls, "b SELECT INBOX\r\n", "b OK")?;
    say(&mut tls, "c IDLE\r\n", "+ ")?;
    Ok(tls)
}

fn say(tls: &mut Tls, text: &str, expected: &str) -> Result<(), String> {
    tls.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    until(tls, expected)
}

/// Reads until a line begins with `expected`.
fn until(tls: &mut Tls, expected: &str) -> Result<(), String> {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&heard);
        if text.ends_with("\r\n") && text.lines().any(|line| line.starts_with(expected)) {
            return Ok(());
        }
        match tls.read(&mut piece).map_err(|e| e.to_string())? {
            0 => return Err(format!("closed instead of {expected}: {text}")),
            read => heard.extend_from_slice(piece.get(..read).unwrap_or(&[])),
        }
    }
}
