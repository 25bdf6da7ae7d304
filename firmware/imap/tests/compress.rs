//! COMPRESS=DEFLATE and UNAUTHENTICATE.

mod client;

use client::{Client, Service};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Lets the client speak through a compressing layer of its own, in pieces of `piece` bytes.
fn compress(client: &mut Client, piece: usize) {
    let (here, mut plain) = tokio::io::duplex(64 * 1024);
    let mut wire: DuplexStream = std::mem::replace(&mut client.stream, here);
    tokio::spawn(async move {
        let mut press = Compress::new(Compression::best(), false);
        let mut undo = Decompress::new(false);
        let (mut from_client, mut from_server) = (vec![0; 4096], vec![0; 4096]);
        loop {
            tokio::select! {
                Ok(count) = plain.read(&mut from_client) => {
                    if count == 0 { return }
                    let mut pressed = Vec::with_capacity(count * 2 + 1024);
                    press.compress_vec(&from_client[..count], &mut pressed, FlushCompress::Sync).expect("the stream is whole");
                    for piece in pressed.chunks(piece) {
                        wire.write_all(piece).await.expect("the stream is whole");
                        tokio::task::yield_now().await;
                    }
                }
                Ok(count) = wire.read(&mut from_server) => {
                    if count == 0 { return }
                    let mut rest = &from_server[..count];
                    let mut out = vec![0; 64 * 1024];
                    loop {
                        let (before_in, before_out) = (undo.total_in(), undo.total_out());
                        undo.decompress(rest, &mut out, FlushDecompress::None).expect("the stream is whole");
                        rest = &rest[(undo.total_in() - before_in) as usize..];
                        let given = (undo.total_out() - before_out) as usize;
                        plain.write_all(&out[..given]).await.expect("the stream is whole");
                        if given < out.len() && rest.is_empty() { break }
                    }
                }
                else => return,
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_session_is_like_any_other() {
    for piece in [1, 7, 100_000] {
        let service = Service::start().await;
        let mut client = service.login().await;
        client.bad("COMPRESS LZMA").await;
        client.ok("COMPRESS DEFLATE").await;
        compress(&mut client, piece);
        assert!(client.no("COMPRESS DEFLATE").await.tagged.starts_with("NO [COMPRESSIONACTIVE]"));
        let body: String = (0..20_000).map(|line| format!("line {line} {}\r\n", line * line)).collect();
        let message = format!("Subject: long\r\n\r\n{body}");
        client.append("INBOX", "", &message).await;
        client.ok("SELECT INBOX").await;
        let fetched = client.ok("FETCH 1 BODY.PEEK[]").await.untagged.remove(0);
        assert!(fetched == format!("* 1 FETCH (BODY[] {{{}}}\r\n{message})", message.len()));
        // Pipelined, and with the answer of an idling session that comes by itself.
        client.send("a NOOP\r\nb NOOP\r\nc NOOP\r\n").await;
        for tag in ["a", "b", "c"] {
            assert!(client.answer(tag).await.tagged.starts_with("OK"));
        }
        client.send("i IDLE\r\n").await;
        assert!(client.response().await.starts_with("+ "));
        let mut other = service.login().await;
        other.append("INBOX", "", "Subject: new\r\n\r\n").await;
        assert_eq!(client.response().await, "* 2 EXISTS");
        assert_eq!(client.response().await, "* 2 RECENT");
        client.send("DONE\r\n").await;
        assert!(client.answer("i").await.tagged.starts_with("OK"));
        assert!(client.ok("LOGOUT").await.untagged[0].starts_with("* BYE"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_session_with_garbage_ends() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.ok("COMPRESS DEFLATE").await;
    client.send([0xff; 64]).await;
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_user_begins_anew() {
    let service = Service::start().await;
    let mut client = service.login().await;
    client.append("INBOX", "\\Deleted", "Subject: a\r\n\r\n").await;
    client.ok("ENABLE QRESYNC UIDONLY").await;
    client.ok("SELECT INBOX").await;
    client.ok("UNAUTHENTICATE").await;
    client.bad("NOOP 1").await;
    client.bad("SELECT INBOX").await;
    client.bad("UNAUTHENTICATE").await;
    assert!(client.ok("CAPABILITY").await.untagged[0].contains("AUTH=PLAIN"));
    client.ok("LOGIN alice@example.test secret").await;
    client.bad("FETCH 1 FLAGS").await;
    assert_eq!(client.ok("SELECT INBOX").await.of("EXISTS"), ["* 1 EXISTS"]);
    // Nothing that was enabled is left.
    let flags = client.ok("FETCH 1 FLAGS").await.untagged.remove(0);
    assert!(flags.starts_with("* 1 FETCH (FLAGS (\\Deleted"), "{flags}");
    assert_eq!(client.ok("EXPUNGE").await.untagged, ["* 1 EXPUNGE"]);
    // After compression too.
    client.ok("COMPRESS DEFLATE").await;
    let mut bare = Compress::new(Compression::fast(), false);
    let mut pressed = Vec::with_capacity(1024);
    bare.compress_vec(b"u UNAUTHENTICATE\r\n", &mut pressed, FlushCompress::Sync)
        .expect("the stream is whole");
    client.send(&pressed).await;
    let mut said = vec![0; 1024];
    let count = client.stream.read(&mut said).await.expect("the stream is whole");
    let mut plain = Vec::with_capacity(1024);
    Decompress::new(false)
        .decompress_vec(&said[..count], &mut plain, FlushDecompress::None)
        .expect("the stream is whole");
    assert!(plain.starts_with(b"u OK"), "{}", String::from_utf8_lossy(&plain));
    client.ok("LOGIN alice@example.test secret").await;
}
