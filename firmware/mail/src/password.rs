//! Passwords: Argon2id in a bounded pool, with a short memory of those that were right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use store::{AccountId, PasswordHash, Store};
use tokio::sync::Semaphore;

use crate::MailError;
use crate::admission::{Admission, network};
use crate::counters::{Counters, count};
use crate::pacing::Pacing;

/// Hashes computed at the same time; each takes 19 MiB and a core.
const HASHING_MAX: usize = 2;
/// Checks that wait for one of them; more are refused for now.
const WAITING_MAX: usize = 200;
/// How long a password that was right is remembered, as a keyed hash.
const REMEMBER_FOR: Duration = Duration::from_mins(10);
/// Passwords remembered.
const REMEMBERED_MAX: usize = 20_000;
/// Shortest password an administrator may set, in characters.
const PASSWORD_MIN_CHARS: usize = 8;
/// Longest password, in octets.
const PASSWORD_MAX_BYTES: usize = 1024;

/// Hashed for users that do not exist, so that they take as long as those that do.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks passwords for all protocols.
pub(crate) struct Passwords {
    store: Store,
    counters: Arc<Counters>,
    admission: Arc<Admission>,
    pacing: Pacing,
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
    /// Dies with the process, so that what is remembered is worth nothing outside it.
    key: hmac::Key,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginError {
    /// User or password is wrong.
    Wrong,
    /// It cannot be checked now.
    Unavailable,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// Account number.
    pub(crate) account: AccountId,
    /// Its address.
    pub(crate) address: String,
}

impl Passwords {
    pub(crate) fn new(
        store: Store,
        counters: Arc<Counters>,
        admission: Arc<Admission>,
    ) -> Result<Self, MailError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| MailError::Password("the system has no randomness"))?;
        Ok(Self {
            store,
            counters,
            admission,
            pacing: Pacing::default(),
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
            key,
            remembered: Mutex::default(),
        })
    }

    /// The account this user and password belong to. Takes its time where somebody is guessing.
    pub(crate) async fn check(&self, user: &str, password: &[u8], peer: IpAddr) -> Result<Login, LoginError> {
        let user = user.to_ascii_lowercase();
        let account = self.store.account_by_name(&user).map_err(|error| {
            tracing::error!("login of {user:?} cannot be checked: {error}");
            LoginError::Unavailable
        })?;
        let phc = account.as_ref().map_or(NOBODY, |account| account.password.0.as_str());
        let mark = self.mark(&user, password, phc);
        let right = self.is_remembered(&mark) || self.verify(&user, password, phc, peer).await?;
        let Some(account) = account.filter(|_| right) else {
            self.pacing.failed(network(peer), &user, Instant::now());
            count(&self.counters.login_failures, 1);
            tracing::warn!("login of {user:?} from {peer} refused");
            return Err(LoginError::Wrong);
        };
        self.remember(mark);
        self.pacing.succeeded(network(peer));
        count(&self.counters.logins, 1);
        Ok(Login { account: account.id, address: account.address })
    }

    async fn verify(&self, user: &str, password: &[u8], phc: &str, peer: IpAddr) -> Result<bool, LoginError> {
        // Before a place is taken: those who guess must not keep the others from theirs.
        if !self.admission.is_trusted(peer) {
            tokio::time::sleep(self.pacing.wait(network(peer), user, Instant::now())).await;
        }
        let _place = self.waiting.try_acquire().map_err(|_| LoginError::Unavailable)?;
        if password.len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| LoginError::Unavailable)?;
        let (password, phc) = (password.to_vec(), phc.to_owned());
        let verify = move || {
            let _turn = turn;
            Phc::new(&phc).is_ok_and(|phc| Argon2::default().verify_password(&password, &phc).is_ok())
        };
        tokio::task::spawn_blocking(verify).await.map_err(|_| LoginError::Unavailable)
    }

    /// The stored hash goes into the mark, so a changed password makes it worthless.
    fn mark(&self, user: &str, password: &[u8], phc: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), phc.as_bytes(), password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn is_remembered(&self, mark: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(mark).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, mark: [u8; 32]) {
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, until| *until > now);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
        }
        remembered.insert(mark, now + REMEMBER_FOR);
    }
}

impl imap::Authenticate for Passwords {
    fn authenticate<'a>(&'a self, user: &'a str, password: &'a [u8], peer: IpAddr) -> imap::Checking<'a> {
        Box::pin(async move {
            match self.check(user, password, peer).await {
                Ok(login) => Ok(login.account),
                Err(LoginError::Wrong) => Err(imap::Denied::Credentials),
                Err(LoginError::Unavailable) => Err(imap::Denied::Unavailable),
            }
        })
    }
}

/// How much work a new hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// 19 MiB and two passes: the least that OWASP and RFC 9106's second choice agree on.
    Full,
    /// Next to none, for measurements that are not about hashing.
    Least,
}

/// Checks a new password's length and hashes it (RFC 9106).
pub(crate) fn hash_new(password: &str) -> Result<PasswordHash, MailError> {
    if password.chars().count() < PASSWORD_MIN_CHARS {
        return Err(MailError::Password("it needs at least 8 characters"));
    }
    hash(password, Cost::Full)
}

/// Hashes a password.
pub(crate) fn hash(password: &str, cost: Cost) -> Result<PasswordHash, MailError> {
    if password.len() > PASSWORD_MAX_BYTES {
        return Err(MailError::Password("it is longer than 1024 octets"));
    }
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| MailError::Password("the system has no randomness"))?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| MailError::Password("its salt is not usable"))?;
    let parameters = match cost {
        Cost::Full => Params::default(),
        Cost::Least => {
            Params::new(8, 1, 1, None).map_err(|_| MailError::Password("its cost is not usable"))?
        }
    };
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password(password.as_bytes(), &salt)
        .map(|phc| PasswordHash(phc.to_string()))
        .map_err(|_| MailError::Password("it cannot be hashed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_as_much_work_as_somebody() {
        let somebody = hash("correct horse", Cost::Full).unwrap();
        let (nobody, somebody) = (Phc::new(NOBODY).unwrap(), Phc::new(&somebody.0).unwrap());
        assert_eq!(nobody.params, somebody.params);
        assert_eq!(nobody.hash.map(|h| h.len()), somebody.hash.map(|h| h.len()));
    }

    #[test]
    fn short_passwords_are_refused() {
        assert!(hash_new("1234567").is_err());
        assert!(hash_new(&"x".repeat(1025)).is_err());
        assert!(hash_new("12345678").unwrap().0.starts_with("$argon2id$"));
    }
}
