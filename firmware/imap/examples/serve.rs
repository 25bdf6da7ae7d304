//! Serves IMAP without TLS on a loopback port, from a store in a directory: for comparing with other
//! servers. `serve DIR PORT`; accounts `1u@bench.test` and so on, password `pass`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use imap::{Authenticate, Checking, Context, Limits};
use sasl::{Claim, Denied, Stored};
use store::{AccountId, PasswordHash, Store};
use tokio::sync::watch;

struct OnePassword(Store);

impl Authenticate for OnePassword {
    fn stored<'a>(&'a self, user: &'a str, _peer: IpAddr) -> Checking<'a, Stored> {
        Box::pin(async move { Ok(Stored::simulated(b"none", user, 4096)) })
    }

    fn decide<'a>(&'a self, claim: &'a Claim, _peer: IpAddr) -> Checking<'a, AccountId> {
        Box::pin(async move {
            let Claim::Password { user, password } = claim else { return Err(Denied::Credentials) };
            if password != "pass" {
                return Err(Denied::Credentials);
            }
            match self.0.account_by_name(user) {
                Ok(Some(account)) => Ok(account.id),
                _ => Err(Denied::Credentials),
            }
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let dir = words.next().ok_or("DIR is missing")?;
    let port: u16 = words.next().ok_or("PORT is missing")?.parse()?;
    let store = Store::open(std::path::Path::new(&dir), 1)?;
    if store.account_by_name("1u@bench.test")?.is_none() {
        store.add_domain("bench.test").await?;
        for number in 1..=20 {
            store.add_account(&format!("{number}u@bench.test"), PasswordHash(String::new()), None).await?;
        }
    }
    let (_stop, shutdown) = watch::channel(false);
    let context = Context {
        authenticator: Arc::new(OnePassword(store.clone())),
        store,
        tls: false,
        channel_binding: sasl::ChannelBinding::default(),
        can_starttls: false,
        plain_login: true,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        shutdown,
        limits: Limits::default(),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(imap::serve(stream, context.clone(), true));
    }
}
