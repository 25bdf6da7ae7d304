//! IMAP: hands the connection to the session of the `imap` crate, and does TLS for it.

use std::net::IpAddr;
use std::sync::Arc;

use ::imap::{Checking, Context, Ended};
use sasl::{Claim, Stored};
use store::{AccountId, Protocol};

use crate::figures::Underway;
use crate::password::Passwords;
use crate::service::Shared;
use crate::wire::Wire;

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, wire: Wire, peer: IpAddr) {
    let counters = Arc::clone(&shared.counters);
    let counted = !shared.probing.is_own(peer);
    let _underway = counted.then(|| Underway::new(&counters.connections_imap, &counters.ended_imap));
    let tls = wire.tls_description().is_some();
    let authenticator: Arc<dyn ::imap::Authenticate> = Arc::clone(&shared.passwords) as _;
    let context = Context {
        store: shared.store.clone(),
        authenticator,
        tls,
        channel_binding: wire.channel_binding(),
        can_starttls: !tls,
        plain_login: shared.try_out.allow_plaintext,
        peer,
        shutdown: shared.stop.clone(),
        limits: ::imap::Limits {
            login_timeout: shared.admission.patience(shared.imap_limits.login_timeout),
            ..shared.imap_limits.clone()
        },
    };
    let Ended::StartTls(wire) = ::imap::serve(wire, context.clone(), true).await else { return };
    match shared.start_tls(wire, peer).await {
        Ok(wire) => {
            let channel_binding = wire.channel_binding();
            let context = Context { tls: true, channel_binding, can_starttls: false, ..context };
            ::imap::serve(wire, context, false).await;
        }
        Err(error) => tracing::info!("imap from {peer} ended: {error}"),
    }
}

impl ::imap::Authenticate for Passwords {
    fn stored<'a>(&'a self, user: &'a str, _peer: IpAddr) -> Checking<'a, Stored> {
        Box::pin(std::future::ready(self.stored(user)))
    }

    fn decide<'a>(&'a self, claim: &'a Claim, peer: IpAddr) -> Checking<'a, AccountId> {
        Box::pin(async move { self.decide(claim, Protocol::Imap, peer).await.map(|login| login.account) })
    }
}
