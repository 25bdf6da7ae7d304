//! IMAP: hands the connection to the session of the `imap` crate, and does TLS for it.

use std::net::IpAddr;
use std::sync::Arc;

use ::imap::{Context, Ended};

use crate::counters::count;
use crate::service::Shared;
use crate::wire::Wire;

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, wire: Wire, peer: IpAddr) {
    count(&shared.counters.connections_imap, 1);
    let tls = wire.tls_description().is_some();
    let authenticator: Arc<dyn ::imap::Authenticate> = Arc::clone(&shared.passwords) as _;
    let context = Context {
        store: shared.store.clone(),
        authenticator,
        tls,
        can_starttls: !tls,
        plain_login: shared.try_out.allow_plaintext,
        peer,
        shutdown: shared.stop.clone(),
        limits: shared.imap_limits.clone(),
    };
    let Ended::StartTls(wire) = ::imap::serve(wire, context.clone(), true).await else { return };
    match shared.start_tls(wire, peer).await {
        Ok(wire) => {
            let context = Context { tls: true, can_starttls: false, ..context };
            ::imap::serve(wire, context, false).await;
        }
        Err(error) => tracing::info!("imap from {peer} ended: {error}"),
    }
}
