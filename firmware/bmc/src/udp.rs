//! The thin shell: one exchange over UDP, bounded in time.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::{BmcError, Client, Heard, Login, Order, Outcome};

/// Wait for an answer before its question is sent again. A controller is a slow computer.
pub const ANSWER_WAIT: Duration = Duration::from_millis(700);
/// What one whole exchange may take.
pub const EXCHANGE_LIMIT: Duration = Duration::from_secs(20);
/// Longest packet that is read.
const PACKET_MAX_BYTES: usize = 1024;

/// Carries `order` out at the controller that listens at `place`. `seed` comes fresh from the system's
/// random source. Takes [`EXCHANGE_LIMIT`] at most; at a dead address about four seconds.
pub fn carry_out(place: SocketAddr, login: Login, order: Order, seed: [u8; 32]) -> Result<Outcome, BmcError> {
    let unreachable = |error: io::Error| BmcError::Unreachable(error.to_string());
    let any: IpAddr = if place.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(unreachable)?;
    socket.connect(place).map_err(unreachable)?;
    let end = Instant::now() + EXCHANGE_LIMIT;
    let mut client = Client::new(login, order, seed);
    while client.outcome().is_none() {
        if Instant::now() >= end {
            return Err(BmcError::Late);
        }
        let packet = client.packet()?;
        // A refused port shows at the next call; both are waited out like silence.
        let _ = socket.send(&packet);
        wait_for_next(&socket, &mut client).map_err(unreachable)?;
    }
    client.outcome().cloned().unwrap_or(Err(BmcError::Late))
}

/// Listens until the exchange has gone on, or its answer is late.
fn wait_for_next(socket: &UdpSocket, client: &mut Client) -> io::Result<()> {
    let mut bytes = [0; PACKET_MAX_BYTES];
    let end = Instant::now() + ANSWER_WAIT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            client.late();
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut bytes) {
            Ok(length) => {
                let packet = bytes.get(..length).unwrap_or_default();
                if client.hear(packet) != Heard::Ignored {
                    return Ok(());
                }
            }
            Err(error) if is_timeout(&error) => {}
            // Nobody listens there now (ICMP): not asked again before its time.
            Err(_) => std::thread::sleep(end.saturating_duration_since(Instant::now())),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
