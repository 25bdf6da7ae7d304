//! Carries connections from the host's loopback interface to the virtual address.
//!
//! The listeners were bound before the lab got its own network, so they still belong to the host's.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Doing, LabError, Result};
use crate::parts::{FORWARDS, virtual_port};

/// Connections carried at once; more are closed at once.
const CONNECTIONS_MAX: usize = 256;
/// How long a caller is kept waiting while nobody has the virtual address.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// Binds every forwarded port on the loopback interface.
pub fn bind(base: u16) -> Result<Vec<TcpListener>> {
    let bind_one = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => LabError::PortTaken { port },
            _ => LabError::Io { what: format!("port {port} cannot be opened"), source },
        })
    };
    FORWARDS.iter().map(|forward| bind_one(forward.outside(base))).collect()
}

/// Starts carrying, one listener per entry of [`FORWARDS`], in that order.
pub fn start(listeners: Vec<TcpListener>) {
    let under_way = Arc::new(AtomicUsize::new(0));
    for (forward, listener) in FORWARDS.iter().zip(listeners) {
        let under_way = Arc::clone(&under_way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if under_way.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                    under_way.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let under_way = Arc::clone(&under_way);
                thread::spawn(move || {
                    let _ = carry(client, forward.inside);
                    under_way.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    }
}

fn carry(client: TcpStream, port: u16) -> Result<()> {
    let began = Instant::now();
    let server = loop {
        match TcpStream::connect_timeout(&virtual_port(port), Duration::from_secs(2)) {
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
