//! Getting in: STARTTLS, AUTHENTICATE, LOGIN, ID.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::reply::Reply;
use super::{LINE_BYTES, LITERALS_MAX, Session};
use crate::Denied;
use crate::parse::ReaderLimits;

/// Longest user name and password taken (RFC 4616 section 2).
const USER_MAX_BYTES: usize = 255;
const PASSWORD_MAX_BYTES: usize = 1024;

/// A mechanism's answer that is not base64, or not of its form.
struct BadAnswer;

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
        if !self.context.can_starttls {
            return Ok(Reply::no("[UNAVAILABLE] TLS is not set up here"));
        }
        Reply::ok("begin TLS now").write(Some(tag), &mut self.connection.out);
        self.connection.flush().await?;
        Err(Stop::StartTls)
    }

    pub(super) async fn login(&mut self, user: &[u8], password: &[u8]) -> Result<Reply, Stop> {
        if !self.may_log_in() {
            return Ok(Reply::no("[PRIVACYREQUIRED] passwords are taken over TLS only; use STARTTLS first"));
        }
        self.check_password(user, password).await
    }

    /// AUTHENTICATE (RFC 3501 section 6.2.2, RFC 4959, RFC 4616).
    pub(super) async fn sasl(&mut self, mechanism: &str, initial: Option<String>) -> Result<Reply, Stop> {
        if mechanism != "PLAIN" {
            return Ok(Reply::no("[CANNOT] no such mechanism"));
        }
        if !self.may_log_in() {
            return Ok(Reply::no("[PRIVACYREQUIRED] passwords are taken over TLS only; use STARTTLS first"));
        }
        let answer = match initial {
            // `=` stands for an empty response (RFC 4959 section 3).
            Some(text) if text == "=" => String::new(),
            Some(text) => text,
            None => {
                self.connection.line("+ ");
                self.connection.flush().await?;
                let line = self.connection.answer(self.login_deadline).await?;
                String::from_utf8_lossy(&line).into_owned()
            }
        };
        if answer == "*" {
            return Ok(Reply::bad("given up"));
        }
        match plain_answer(&answer) {
            Ok((user, password)) => self.check_password(&user, &password).await,
            Err(BadAnswer) => Ok(Reply::bad("the answer is not one of PLAIN")),
        }
    }

    async fn check_password(&mut self, user: &[u8], password: &[u8]) -> Result<Reply, Stop> {
        let name = std::str::from_utf8(user).unwrap_or_default();
        let denied = if user.len() > USER_MAX_BYTES || password.len() > PASSWORD_MAX_BYTES {
            Denied::Credentials
        } else {
            self.connection.flush().await?;
            match self.context.authenticator.authenticate(name, password, self.context.peer).await {
                Ok(account) => {
                    self.let_in(account);
                    return Ok(Reply::ok(format!("[CAPABILITY {}] welcome", self.capabilities())));
                }
                Err(denied) => denied,
            }
        };
        self.failed_logins += 1;
        if self.failed_logins >= self.context.limits.failed_logins_max {
            return Err(Stop::Bye("too many wrong passwords"));
        }
        let code = match denied {
            Denied::Credentials => "AUTHENTICATIONFAILED",
            Denied::Disabled => "AUTHORIZATIONFAILED",
            Denied::Unavailable => "UNAVAILABLE",
        };
        Ok(Reply::no(format!("[{code}] {denied}")))
    }

    fn let_in(&mut self, account: store::AccountId) {
        self.account = Some(account);
        self.connection.reader.set_limits(ReaderLimits {
            line_max_bytes: LINE_BYTES,
            literals_max: LITERALS_MAX,
            // A message that is a little too large is skipped; what is much larger ends the connection.
            skip_max_bytes: self.context.limits.message_max_bytes.saturating_mul(2),
        });
    }
}

/// The parts of a PLAIN answer: user and password. Acting for another user is not served.
fn plain_answer(base64: &str) -> Result<(Vec<u8>, Vec<u8>), BadAnswer> {
    let decoded = STANDARD.decode(base64.trim_end()).map_err(|_| BadAnswer)?;
    let mut parts = decoded.split(|byte| *byte == 0);
    let (Some(actor), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadAnswer);
    };
    if !actor.is_empty() && actor != user {
        return Err(BadAnswer);
    }
    Ok((user.to_vec(), password.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_answers() {
        let read = |text: &[u8]| plain_answer(&STANDARD.encode(text)).ok();
        assert_eq!(read(b"\0alice\0secret"), Some((b"alice".to_vec(), b"secret".to_vec())));
        assert_eq!(read(b"alice\0alice\0secret"), Some((b"alice".to_vec(), b"secret".to_vec())));
        assert_eq!(read(b"bob\0alice\0secret"), None);
        assert_eq!(read(b"alice\0secret"), None);
        assert_eq!(read(b"\0a\0b\0c"), None);
        assert!(plain_answer("!!!").is_err());
        assert!(plain_answer("").is_err());
    }
}
