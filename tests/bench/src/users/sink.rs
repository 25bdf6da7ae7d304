//! Where mail for elsewhere goes: takes everything, counts recipients, keeps nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Starts it on 127.0.0.2; the number grows with every recipient of a message taken.
pub async fn start(port: u16) -> Result<Arc<AtomicU64>, String> {
    let listener = TcpListener::bind(("127.0.0.2", port)).await.map_err(|e| format!("the sink: {e}"))?;
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&count)));
        }
    });
    Ok(taken)
}

async fn serve(stream: TcpStream, taken: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    stream.write_all(b"220 sink.example\r\n").await?;
    let (mut recipients, mut line) = (0, Vec::new());
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            b"RCPT" => {
                recipients += 1;
                b"250 ok\r\n"
            }
            b"DATA" => {
                stream.write_all(b"354 go\r\n").await?;
                while line != b".\r\n" {
                    line.clear();
                    if stream.read_until(b'\n', &mut line).await? == 0 {
                        return Ok(());
                    }
                }
                taken.fetch_add(std::mem::take(&mut recipients), Ordering::Relaxed);
                b"250 taken\r\n"
            }
            b"QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await?;
    }
}
