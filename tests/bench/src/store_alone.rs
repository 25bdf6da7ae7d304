//! The store without any protocol: what the writer can commit.

use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{Body, Delivery, PasswordHash, Recipient, Store};

use crate::server;
use crate::table::{Better, Figure};
use crate::text::Texts;

/// What the table calls it.
pub const NAME: &str = "store alone, 4 KiB deliveries";

/// Deliveries that wait for their commit at the same time.
const AT_ONCE: usize = 512;
/// Accounts they go to.
const ACCOUNTS: usize = 1_000;
/// How long it is measured.
const DURATION: Duration = Duration::from_secs(10);

/// Deliveries a second, each answered after its commit is on disk.
pub fn measure(texts: &Texts) -> Result<Figure, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();

    runtime.map_err(|e| e.to_string())?.block_on(async {
        let store = Store::open(folder.path(), 1).map_err(|e| e.to_string())?;
        store.add_domain(server::DOMAIN).await.map_err(|e| e.to_string())?;
        let mut accounts = Vec::new();
        for index in 0..ACCOUNTS {
            let address = format!("{index}u@{}", server::DOMAIN);
            let account = store.add_account(&address, PasswordHash("-".to_owned()), None).await;
            accounts.push(account.map_err(|e| e.to_string())?);
        }
        // Reading a message is the sessions' work; here only the writer is measured.
        let bodies: Vec<Body> =
            texts.small.iter().take(2_000).map(|text| Body::new(Bytes::from(text.clone()))).collect();
        let (begin, cpu) = (Instant::now(), own_cpu_s());
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|task| {
                let (store, bodies, accounts) = (store.clone(), bodies.clone(), accounts.clone());
                tokio::spawn(async move {
                    let mut done = 0_usize;
                    while begin.elapsed() < DURATION {
                        let index = task + done * AT_ONCE;
                        let delivery = Delivery {
                            body: bodies[index % bodies.len()].clone(),
                            internal_date_s: 1_700_000_000,
                            recipients: vec![Recipient::inbox(accounts[index % accounts.len()])],
                            outgoing: None,
                        };
                        store.deliver(delivery).await.map_err(|e| e.to_string())?;
                        done += 1;
                    }
                    Ok::<_, String>(done)
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.map_err(|e| e.to_string())??;
        }
        let (wall_s, cpu_s) = (begin.elapsed().as_secs_f64(), own_cpu_s() - cpu);
        store.close().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(Figure {
            cpu_s_per_1000: Some(cpu_s / done as f64 * 1000.0),
            ..Figure::plain(NAME, done as f64 / wall_s, "msg/s", Better::More)
        })
    })
}

fn own_cpu_s() -> f64 {
    server::cpu_s(&[std::process::id()])
}
