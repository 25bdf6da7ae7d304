//! Getting in: STARTTLS, AUTHENTICATE, LOGIN, ID.

use std::sync::Arc;

use sasl::{Claim, Denied, Exchange, Failure, Offer, Step};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::capability::Enabled;
use super::connection::Stop;
use super::reply::Reply;
use super::{LIMITS_BEFORE_LOGIN, LINE_BYTES, LITERALS_MAX, Session};
use crate::parse::ReaderLimits;

const PRIVACY_REQUIRED: &str = "[PRIVACYREQUIRED] passwords are taken over TLS only; use STARTTLS first";

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn greet(&mut self) {
        let line = format!("* OK [CAPABILITY {}] Twinmail is ready", self.capabilities());
        self.connection.line(&line);
    }

    pub(super) fn may_log_in(&self) -> bool {
        self.context.tls || self.context.plain_login
    }

    pub(super) fn identify(&mut self) -> Reply {
        let version = env!("CARGO_PKG_VERSION");
        self.connection.line(&format!("* ID (\"name\" \"Twinmail\" \"version\" \"{version}\")"));
        Reply::ok("pleased to meet you")
    }

    pub(super) async fn start_tls(&mut self, tag: &str) -> Result<Reply, Stop> {
        if self.context.tls {
            return Ok(Reply::bad("TLS is there already"));
        }
        if self.connection.is_compressed() {
            return Ok(Reply::bad("TLS cannot begin inside a compressed stream"));
        }
        if !self.context.can_starttls {
            return Ok(Reply::no("[UNAVAILABLE] TLS is not set up here"));
        }
        Reply::ok("begin TLS now").write(Some(tag), &mut self.connection.out);
        self.connection.flush().await?;
        Err(Stop::StartTls)
    }

    /// LOGIN (RFC 9051 section 6.2.3).
    pub(super) async fn login(&mut self, user: &[u8], password: &[u8]) -> Result<Reply, Stop> {
        if !self.may_log_in() {
            return Ok(Reply::no(PRIVACY_REQUIRED));
        }
        let text = |octets: &[u8]| {
            let fits = octets.len() <= sasl::CREDENTIAL_MAX_BYTES;
            std::str::from_utf8(octets).ok().filter(|_| fits).map(str::to_owned)
        };
        let (Some(user), Some(password)) = (text(user), text(password)) else {
            return self.denied(Denied::Credentials);
        };
        self.connection.flush().await?;
        let claim = Claim::Password { user, password };
        match self.context.authenticator.decide(&claim, self.context.peer).await {
            Ok(account) => Ok(self.let_in(account)),
            Err(denied) => self.denied(denied),
        }
    }

    /// AUTHENTICATE (RFC 9051 section 6.2.2, RFC 4959).
    pub(super) async fn sasl(&mut self, mechanism: &str, initial: Option<String>) -> Result<Reply, Stop> {
        let context = sasl::Context { binding: self.context.channel_binding.clone() };
        if !self.may_log_in() {
            return Ok(Reply::no(PRIVACY_REQUIRED));
        }
        let Some(mechanism) = Offer::all(&context).find(mechanism) else {
            return Ok(Reply::no("[CANNOT] no such mechanism"));
        };
        let (authenticator, peer) = (Arc::clone(&self.context.authenticator), self.context.peer);
        let (mut exchange, mut step) = Exchange::begin(mechanism, context, initial.as_deref());
        loop {
            step = match step {
                Step::Challenge(challenge) => {
                    self.connection.line(&format!("+ {}", sasl::encode(&challenge)));
                    self.connection.flush().await?;
                    let line = self.connection.answer(self.login_deadline).await?;
                    exchange.line(&line)
                }
                Step::Lookup { user } => match authenticator.stored(&user, peer).await {
                    Ok(stored) => exchange.stored(stored),
                    Err(denied) => return self.denied(denied),
                },
                Step::Verify(claim) => match authenticator.decide(&claim, peer).await {
                    Ok(account) => exchange.accept(account),
                    Err(denied) => return self.denied(denied),
                },
                Step::Done(account) => return Ok(self.let_in(account)),
                Step::Failed(failure) => return self.failed(failure),
            };
        }
    }

    fn failed(&mut self, failure: Failure) -> Result<Reply, Stop> {
        match failure {
            Failure::Cancelled | Failure::NotBase64 | Failure::Malformed => {
                Ok(Reply::bad(failure.to_string()))
            }
            Failure::Unavailable => Ok(Reply::no(format!("[UNAVAILABLE] {failure}"))),
            Failure::ActsForAnother => {
                self.count_failure()?;
                Ok(Reply::no(format!("[AUTHORIZATIONFAILED] {failure}")))
            }
            Failure::Binding => {
                self.count_failure()?;
                Ok(Reply::no(format!("[AUTHENTICATIONFAILED] {failure}")))
            }
        }
    }

    fn denied(&mut self, denied: Denied) -> Result<Reply, Stop> {
        self.count_failure()?;
        let code = match denied {
            Denied::Credentials => "AUTHENTICATIONFAILED",
            Denied::Disabled | Denied::Protocol => "CONTACTADMIN",
            Denied::Unavailable => "UNAVAILABLE",
        };
        Ok(Reply::no(format!("[{code}] {denied}")))
    }

    fn count_failure(&mut self) -> Result<(), Stop> {
        self.failed_logins += 1;
        if self.failed_logins >= self.context.limits.failed_logins_max {
            return Err(Stop::Bye("too many wrong passwords"));
        }
        Ok(())
    }

    /// COMPRESS (RFC 4978): the answer is the last thing that is not compressed.
    pub(super) async fn compress(&mut self, tag: &str, algorithm: &str) -> Result<Reply, Stop> {
        if algorithm != "DEFLATE" {
            return Ok(Reply::bad("DEFLATE is the one algorithm"));
        }
        if self.connection.is_compressed() {
            return Ok(Reply::no("[COMPRESSIONACTIVE] the stream is compressed already"));
        }
        Reply::ok("compressing from here on").write(Some(tag), &mut self.connection.out);
        self.connection.flush().await?;
        self.connection.compress();
        Ok(Reply::said())
    }

    /// UNAUTHENTICATE (RFC 8437): the connection is as it was before login, but for TLS.
    pub(super) async fn unauthenticate(&mut self, tag: &str) -> Result<Reply, Stop> {
        self.leave_mailbox().await;
        Reply::ok("who is next").write(Some(tag), &mut self.connection.out);
        self.connection.flush().await?;
        self.connection.stop_compressing();
        self.account = None;
        self.enabled = Enabled::default();
        self.saved = Vec::new();
        self.notify = None;
        self.login_deadline = Instant::now() + self.context.limits.login_timeout;
        self.connection.reader.set_limits(LIMITS_BEFORE_LOGIN);
        Ok(Reply::said())
    }

    fn let_in(&mut self, account: store::AccountId) -> Reply {
        self.account = Some(account);
        self.connection.reader.set_limits(ReaderLimits {
            line_max_bytes: LINE_BYTES,
            literals_max: LITERALS_MAX,
            // A message that is a little too large is skipped; what is much larger ends the connection.
            skip_max_bytes: self.context.limits.message_max_bytes.saturating_mul(2),
        });
        Reply::ok(format!("[CAPABILITY {}] welcome", self.capabilities()))
    }
}
