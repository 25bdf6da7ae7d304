//! Carries connections from the host's loopback interface to the virtual address.
//!
//! The listeners were bound before the lab got its own network, so they still belong to the host's.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Doing, LabError, Result};
use crate::parts::{FORWARDS, Forward, SECOND_ADDRESS, SECOND_FORWARDS, VIRTUAL_ADDRESS};

/// Connections carried at once; more are closed at once.
const CONNECTIONS_MAX: usize = 256;
/// How long a caller is kept waiting while nobody has the virtual address.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// Binds every forwarded port on the loopback interface.
pub fn bind(base: u16, groups: u8) -> Result<Vec<TcpListener>> {
    let bind_one = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => LabError::PortTaken { port },
            _ => LabError::Io { what: format!("port {port} cannot be opened"), source },
        })
    };
    all(groups).map(|(forward, _)| bind_one(forward.outside(base))).collect()
}

/// What is forwarded where, with so many service groups.
fn all(groups: u8) -> impl Iterator<Item = (Forward, SocketAddr)> {
    let to = |list: &'static [Forward], address: Ipv4Addr| {
        list.iter().map(move |forward| (*forward, SocketAddr::from((address, forward.inside))))
    };
    let second = if groups > 1 { &SECOND_FORWARDS[..] } else { &[] };
    to(&FORWARDS, VIRTUAL_ADDRESS).chain(to(second, SECOND_ADDRESS))
}

/// Starts carrying with the listeners of [`bind`], in their order.
pub fn start(listeners: Vec<TcpListener>, groups: u8) {
    let under_way = Arc::new(AtomicUsize::new(0));
    for ((_, inside), listener) in all(groups).zip(listeners) {
        let under_way = Arc::clone(&under_way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if under_way.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                    under_way.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let under_way = Arc::clone(&under_way);
                thread::spawn(move || {
                    let _ = carry(client, inside);
                    under_way.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    }
}

fn carry(client: TcpStream, inside: SocketAddr) -> Result<()> {
    let began = Instant::now();
    let server = loop {
        match TcpStream::connect_timeout(&inside, Duration::from_secs(2)) {
            Ok(server) => break server,
            Err(_) if began.elapsed() < CONNECT_MAX => thread::sleep(Duration::from_millis(200)),
            Err(source) => return Err(source).doing(|| "nobody has the virtual address".into()),
        }
    };
    let share = |stream: &TcpStream| stream.try_clone().doing(|| "a socket cannot be shared".into());
    let (client_reader, server_writer) = (share(&client)?, share(&server)?);
    let outgoing = thread::spawn(move || pour(client_reader, server_writer));
    pour(server, client);
    let _ = outgoing.join();
    Ok(())
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
