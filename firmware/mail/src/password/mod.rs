//! Who may log in: passwords and proofs for all protocols.
//!
//! A password in clear is checked, in this order, against those that were right a short while ago, against
//! the account's app passwords, and with Argon2id in a bounded pool. A SCRAM proof is checked by the
//! exchange itself, against what is kept here. All go through [`Guard`], so that guessing is slow whatever
//! the mechanism.

mod record;
mod remembered;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sasl::{Claim, Denied, Stored};
use store::{Account, AccountId, Store};
use tokio::sync::Semaphore;

use crate::MailError;
use crate::admission::Admission;
use crate::counters::{Counters, count};
use crate::guard::{Guard, Verdict};

pub(crate) use record::{
    Cost, accept_record, check_length, hash, hash_import, hash_new, is_record, new_app_password,
};
use record::{PASSWORD_MAX_BYTES, Record, SCRAM_ITERATIONS, random};
use remembered::Remembered;

/// Hashes computed at the same time; each takes 19 MiB and a core.
const HASHING_MAX: usize = 2;
/// Checks that wait for one of them, some ten seconds' work; more are refused for now.
const WAITING_MAX: usize = 800;
/// Those of them that may be strangers', so that a flood of guesses leaves room for who has logged in from
/// the same place before.
const STRANGERS_MAX: usize = 600;
/// Records being made stronger at the same time; the others have their turn at a later login.
const STRENGTHENING_MAX: usize = 8;
/// Name of the store's setting with the secret behind simulated salts. It outlives the process: a salt
/// that changed with a restart or a takeover would tell that there is no such user.
const SALT_SECRET: &str = "scram_salt_secret";

/// Checks passwords for all protocols.
pub(crate) struct Passwords {
    store: Store,
    counters: Arc<Counters>,
    admission: Arc<Admission>,
    guard: Guard,
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
    strangers: Semaphore,
    strengthening: Arc<Semaphore>,
    remembered: Arc<Remembered>,
    salt_secret: String,
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
    pub(crate) async fn new(
        store: Store,
        counters: Arc<Counters>,
        admission: Arc<Admission>,
    ) -> Result<Self, MailError> {
        let salt_secret = match store.setting(SALT_SECRET)? {
            Some(secret) => secret,
            None => {
                let secret = sasl::encode(&random::<32>()?);
                store.set_setting(SALT_SECRET, Some(&secret)).await?;
                secret
            }
        };
        Ok(Self {
            store,
            counters,
            admission,
            guard: Guard::default(),
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
            strangers: Semaphore::new(STRANGERS_MAX),
            strengthening: Arc::new(Semaphore::new(STRENGTHENING_MAX)),
            remembered: Arc::new(Remembered::new()?),
            salt_secret,
        })
    }

    /// What is stored of a user for SCRAM, real or simulated: the answer to [`sasl::Step::Lookup`]. Takes
    /// its time where somebody is guessing.
    pub(crate) async fn stored(&self, user: &str, peer: IpAddr) -> Result<Stored, Denied> {
        let user = user.to_lowercase();
        self.pause(&user, peer).await?;
        let record = self.account(&user)?.map(|account| Record::read(&account.password));
        let stored = record.and_then(|record| record.scram);
        Ok(stored.unwrap_or_else(|| Stored::simulated(self.salt_secret.as_bytes(), &user, SCRAM_ITERATIONS)))
    }

    /// Whether a claim is right: the answer to [`sasl::Step::Verify`]. Takes its time where somebody is
    /// guessing.
    pub(crate) async fn decide(&self, claim: &Claim, peer: IpAddr) -> Result<Login, Denied> {
        let user = claim.user().to_lowercase();
        let account = self.account(&user)?;
        let right = match claim {
            Claim::Proof { pair, .. } => pair.is_some(),
            Claim::Password { password, .. } => self.check(&user, password, account.as_ref(), peer).await?,
        };
        let now = Instant::now();
        let Some(account) = account.filter(|_| right) else {
            let in_a_row = self.guard.failed(peer, &user, now);
            count(&self.counters.login_failures, 1);
            // Who guesses a million times does not fill the log: once for each doubling.
            if in_a_row.is_power_of_two() {
                tracing::warn!("login of {user:?} from {peer} refused, {in_a_row} in a row from there");
            }
            return Err(Denied::Credentials);
        };
        self.guard.succeeded(peer, &user, now);
        count(&self.counters.logins, 1);
        Ok(Login { account: account.id, address: account.address })
    }

    fn account(&self, user: &str) -> Result<Option<Account>, Denied> {
        self.store.account_by_name(user).map_err(|error| {
            tracing::error!("login of {user:?} cannot be checked: {error}");
            Denied::Unavailable
        })
    }

    async fn check(
        &self,
        user: &str,
        password: &str,
        account: Option<&Account>,
        peer: IpAddr,
    ) -> Result<bool, Denied> {
        let mark = account.map(|account| self.remembered.mark(user, password, &account.password));
        if mark.is_some_and(|mark| self.remembered.holds(mark, Instant::now())) {
            return Ok(true);
        }
        self.pause(user, peer).await?;
        if password.len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        let record = account.map_or_else(Record::nobody, |account| Record::read(&account.password));
        let weak = record.is_weak();
        let right = self.fits(user, password, record, peer).await?;
        if let (true, Some(mark), Some(account)) = (right, mark, account) {
            self.remembered.add(mark, Instant::now());
            if weak {
                self.strengthen(user, password, account);
            }
        }
        Ok(right)
    }

    /// Waits as long as the guard says. Before a place is taken: those who guess must not keep the others
    /// from theirs.
    async fn pause(&self, user: &str, peer: IpAddr) -> Result<(), Denied> {
        if self.admission.is_trusted(peer) {
            return Ok(());
        }
        match self.guard.admit(peer, user, Instant::now()) {
            Verdict::After(wait) if wait.is_zero() => Ok(()),
            Verdict::After(wait) => {
                count(&self.counters.logins_paused, 1);
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Verdict::ComeBack => {
                count(&self.counters.logins_turned_away, 1);
                Err(Denied::Unavailable)
            }
        }
    }

    async fn fits(&self, user: &str, password: &str, record: Record, peer: IpAddr) -> Result<bool, Denied> {
        let full = |_| {
            count(&self.counters.logins_turned_away, 1);
            Denied::Unavailable
        };
        let stranger = !self.guard.is_known(peer, user) && !self.admission.is_trusted(peer);
        let _place = self.waiting.try_acquire().map_err(full)?;
        let _stranger = if stranger { Some(self.strangers.try_acquire().map_err(full)?) } else { None };
        let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| Denied::Unavailable)?;
        let password = password.to_owned();
        let verify = move || {
            let _turn = turn;
            record.fits(&password)
        };
        tokio::task::spawn_blocking(verify).await.map_err(|_| Denied::Unavailable)
    }

    /// Makes a record stronger beside the login that showed its password.
    fn strengthen(&self, user: &str, password: &str, account: &Account) {
        let Ok(place) = Arc::clone(&self.strengthening).try_acquire_owned() else { return };
        let (hashing, store) = (Arc::clone(&self.hashing), self.store.clone());
        let remembered = Arc::clone(&self.remembered);
        let (user, password) = (user.to_owned(), password.to_owned());
        let (id, old) = (account.id, account.password.clone());
        tokio::spawn(async move {
            let _place = place;
            let Ok(turn) = hashing.acquire_owned().await else { return };
            let clear = password.clone();
            let hashed = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                hash(&clear, Cost::Full)
            });
            let Ok(Ok(new)) = hashed.await else { return };
            match store.replace_password(id, old, new.clone()).await {
                Ok(true) => remembered.add(remembered.mark(&user, &password, &new), Instant::now()),
                Ok(false) => {}
                Err(error) => tracing::warn!("the password record of {user:?} stays weak: {error}"),
            }
        });
    }
}
