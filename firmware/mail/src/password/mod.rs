//! Who may log in: passwords and proofs for all protocols.
//!
//! A password in clear is checked, in this order, against those that were right a short while ago, against
//! the account's app passwords, and with Argon2id by threads of their own. A SCRAM proof is checked by the
//! exchange itself, against what is kept here. All go through [`Guard`], so that guessing is slow whatever
//! the mechanism.

mod hashing;
mod record;
mod remembered;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sasl::{Claim, Denied, Stored};
use store::{Access, Account, AccountId, Protocol, Store};
use tokio::sync::{Semaphore, watch};

use crate::MailError;
use crate::admission::Admission;
use crate::counters::{Counters, count};
use crate::guard::{Guard, Pending, Verdict};
use crate::probing::Probing;

use hashing::Hashing;
pub(crate) use record::{
    Cost, accept_record, check_length, hash, hash_import, hash_new, is_record, new_app_password,
};
use record::{PASSWORD_MAX_BYTES, Record, SCRAM_ITERATIONS, app_password_record, random, same};
use remembered::Remembered;

/// Checks that wait for a hash, some ten seconds' work; more are refused for now.
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
    hashing: Hashing,
    waiting: Semaphore,
    strangers: Semaphore,
    strengthening: Arc<Semaphore>,
    remembered: Arc<Remembered>,
    salt_secret: String,
    probing: Probing,
    stop: watch::Receiver<bool>,
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
        probing: Probing,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, MailError> {
        let salt_secret = if let Some(secret) = store.setting(SALT_SECRET)? {
            secret
        } else {
            let secret = sasl::encode(&random::<32>()?);
            store.set_setting(SALT_SECRET, Some(&secret)).await?;
            secret
        };
        Ok(Self {
            store,
            counters,
            admission,
            guard: Guard::default(),
            hashing: Hashing::start().map_err(MailError::Runtime)?,
            waiting: Semaphore::new(WAITING_MAX),
            strangers: Semaphore::new(STRANGERS_MAX),
            strengthening: Arc::new(Semaphore::new(STRENGTHENING_MAX)),
            remembered: Arc::new(Remembered::new()?),
            salt_secret,
            probing,
            stop,
        })
    }

    /// What is stored of a user for SCRAM, real or simulated: the answer to [`sasl::Step::Lookup`].
    pub(crate) fn stored(&self, user: &str) -> Result<Stored, Denied> {
        let user = user.to_lowercase();
        let record = self.account(&user)?.map(|account| Record::read(&account.password));
        let stored = record.and_then(|record| record.scram);
        Ok(stored.unwrap_or_else(|| Stored::simulated(self.salt_secret.as_bytes(), &user, SCRAM_ITERATIONS)))
    }

    /// Whether a claim is right: the answer to [`sasl::Step::Verify`]. Takes its time where somebody is
    /// guessing, and ends at once when the service stops: the other box waits, and is asked again.
    pub(crate) async fn decide(
        &self,
        claim: &Claim,
        protocol: Protocol,
        peer: IpAddr,
    ) -> Result<Login, Denied> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            decided = self.look_at(claim, protocol, peer) => decided,
            _ = stop.wait_for(|stop| *stop) => Err(Denied::Unavailable),
        }
    }

    async fn look_at(&self, claim: &Claim, protocol: Protocol, peer: IpAddr) -> Result<Login, Denied> {
        let user = claim.user().to_lowercase();
        let account = self.account(&user)?;
        if let Some(account) = account.as_ref().filter(|_| self.probing.admits(claim, peer)) {
            return Ok(Login { account: account.id, address: account.address.clone() });
        }
        // What was right just now needs neither a pause nor a hash.
        let remembered = self.is_remembered(claim, &user, account.as_ref());
        // Counts as under way until its failure is counted.
        let _turn = if remembered { None } else { Some(self.turn(&user, peer).await?) };
        let right = match claim {
            _ if remembered => true,
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
        // Only who knows the password is told that the account exists and is switched off.
        self.may_use(&account, protocol)?;
        count(&self.counters.logins, 1);
        Ok(Login { account: account.id, address: account.address })
    }

    fn account(&self, user: &str) -> Result<Option<Account>, Denied> {
        self.store.account_by_name(user).map_err(|error| {
            tracing::error!("login of {user:?} cannot be checked: {error}");
            Denied::Unavailable
        })
    }

    fn may_use(&self, account: &Account, protocol: Protocol) -> Result<(), Denied> {
        let denied = match self.store.may_use(account.id, protocol) {
            Ok(Access::Allowed) => return Ok(()),
            Ok(Access::ProtocolOff) => Denied::Protocol,
            Ok(Access::AccountDisabled | Access::DomainDisabled) => Denied::Disabled,
            Err(error) => {
                tracing::error!("login of {:?} cannot be checked: {error}", account.address);
                return Err(Denied::Unavailable);
            }
        };
        count(&self.counters.logins_not_allowed, 1);
        tracing::info!("login of {:?} for {protocol:?} refused: {denied}", account.address);
        Err(denied)
    }

    /// Whether this is one of the account's app passwords. They are random, so a fast hash is enough; and
    /// a text that cannot be one costs nothing.
    fn is_app_password(&self, account: &Account, password: &str) -> Result<bool, Denied> {
        let Some(record) = app_password_record(password) else { return Ok(false) };
        let known = self.store.app_passwords(account.id).map_err(|error| {
            tracing::error!("login of {:?} cannot be checked: {error}", account.address);
            Denied::Unavailable
        })?;
        let Some(used) = known.into_iter().find(|one| same(&one.hash, &record)) else { return Ok(false) };
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.note_app_password_use(&used).await {
                tracing::warn!("the use of an app password was not noted: {error}");
            }
        });
        Ok(true)
    }

    async fn check(
        &self,
        user: &str,
        password: &str,
        account: Option<&Account>,
        peer: IpAddr,
    ) -> Result<bool, Denied> {
        if password.len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        if let Some(account) = account
            && self.is_app_password(account, password)?
        {
            return Ok(true);
        }
        let record = account.map_or_else(Record::nobody, |account| Record::read(&account.password));
        let weak = record.is_weak();
        let right = self.fits(user, password, record, peer).await?;
        if let (true, Some(account)) = (right, account) {
            let mark = self.remembered.mark(user, password, &account.password);
            self.remembered.add(mark, Instant::now());
            if weak {
                self.strengthen(user, password, account);
            }
        }
        Ok(right)
    }

    fn is_remembered(&self, claim: &Claim, user: &str, account: Option<&Account>) -> bool {
        let (Claim::Password { password, .. }, Some(account)) = (claim, account) else { return false };
        let mark = self.remembered.mark(user, password, &account.password);
        self.remembered.holds(mark, Instant::now())
    }

    /// Waits as long as the guard says. Before a place is taken: those who guess must not keep the others
    /// from theirs. None for those who are not paced.
    async fn turn(&self, user: &str, peer: IpAddr) -> Result<Option<Pending<'_>>, Denied> {
        if self.admission.is_trusted(peer) {
            return Ok(None);
        }
        match self.guard.admit(peer, user, Instant::now()) {
            Verdict::After(wait) => {
                let pending = self.guard.begin(peer, Instant::now());
                if !wait.is_zero() {
                    count(&self.counters.logins_paused, 1);
                    tokio::time::sleep(wait).await;
                }
                Ok(Some(pending))
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
        let password = password.to_owned();
        self.hashing.run(move |memory| record.fits(&password, memory)).await.ok_or(Denied::Unavailable)
    }

    /// Makes a record stronger beside the login that showed its password.
    fn strengthen(&self, user: &str, password: &str, account: &Account) {
        let Ok(place) = Arc::clone(&self.strengthening).try_acquire_owned() else { return };
        let (hashing, store) = (self.hashing.clone(), self.store.clone());
        let remembered = Arc::clone(&self.remembered);
        let (user, password) = (user.to_owned(), password.to_owned());
        let (id, old) = (account.id, account.password.clone());
        tokio::spawn(async move {
            let _place = place;
            let clear = password.clone();
            let Some(Ok(new)) = hashing.run(move |_| hash(&clear, Cost::Full)).await else { return };
            match store.replace_password(id, old, new.clone()).await {
                Ok(true) => remembered.add(remembered.mark(&user, &password, &new), Instant::now()),
                Ok(false) => {}
                Err(error) => tracing::warn!("the password record of {user:?} stays weak: {error}"),
            }
        });
    }
}
