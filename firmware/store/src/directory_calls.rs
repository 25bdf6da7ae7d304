//! Calls of the store about users, domains and groups: who may do what, and where mail goes.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::{self, Known};
use crate::writer::{Cost, Ledger};
use crate::{
    Access, AccountChange, AccountId, Alias, AppPassword, AppPasswordId, Body, DomainChange, DomainId,
    DomainInUse, DomainRecord, Group, GroupChange, Limit, LimitName, LimitSet, Mailbox, Page, PasswordHash,
    Protocol, Quota, Route, SendingRate, SpecialUse, Store, StoreError, User, Warning, app_password, group,
    listing, route, warning,
};

impl Store {
    /// Where mail for an address goes, one step, and with an account whether it may come in. The address
    /// is `local@domain`, in any case. Costs one indexed lookup for an account.
    pub fn recipient(&self, address: &str) -> Result<Route, StoreError> {
        let Some(name) = route::domain_of(address) else { return Ok(Route::UnknownDomain) };
        let (domain, system) = self.known(&name)?;
        let Some(domain) = domain else { return Ok(Route::UnknownDomain) };
        self.readers().read_moment(|database| route::route(database, address, &domain, &system))
    }

    /// Whether `sender` (an envelope sender) may send to the group. `account` is the address of the
    /// account that has logged in: a sender at one of our domains counts only with it.
    pub fn may_send_to(
        &self,
        group: &Group,
        sender: &str,
        account: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.readers().read_moment(|database| group::may_send(database, group, sender, account))
    }

    /// Whether an account may be used over a protocol.
    pub fn may_use(&self, account: AccountId, protocol: Protocol) -> Result<Access, StoreError> {
        let (standing, domain, _) = self.standing(account)?;
        Ok(standing.access(&domain, protocol))
    }

    /// What an account may send.
    pub fn sending_rate(&self, account: AccountId) -> Result<SendingRate, StoreError> {
        Ok(self.limits(account)?.sending_rate())
    }

    /// What all users of an account's domain may send together.
    pub fn domain_sending_rate(&self, account: AccountId) -> Result<(DomainId, SendingRate), StoreError> {
        let (_, domain, _) = self.standing(account)?;
        Ok((domain.id, domain.sending.sending_rate()))
    }

    /// An account's limits in force.
    pub fn limits(&self, account: AccountId) -> Result<LimitSet, StoreError> {
        let (standing, domain, system) = self.standing(account)?;
        Ok(standing.own.or(domain.defaults).or(*system))
    }

    /// Changes a domain's settings.
    pub async fn set_domain(&self, domain: &str, change: DomainChange) -> Result<(), StoreError> {
        let domain = domain.to_owned();
        self.small(move |ledger| ledger.set_domain(&domain, &change)).await
    }

    /// Changes an account's settings.
    pub async fn set_account(&self, address: &str, change: AccountChange) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.small(move |ledger| ledger.set_account(&address, &change)).await
    }

    /// The limits that hold where neither user nor domain sets one.
    pub fn system_limits(&self) -> Result<LimitSet, StoreError> {
        self.readers().read(crate::limits::system_limits)
    }

    /// Changes them, and returns all.
    pub async fn set_system_limits(&self, changes: Vec<(LimitName, Limit)>) -> Result<LimitSet, StoreError> {
        self.small(move |ledger| ledger.set_system_limits(&changes)).await
    }

    /// Users by address, a page.
    pub fn users(&self, page: &Page) -> Result<Vec<User>, StoreError> {
        self.readers().read_moment(|database| listing::users(database, page))
    }

    /// One user with everything that is set.
    pub fn user(&self, address: &str) -> Result<Option<User>, StoreError> {
        self.readers().read_moment(|database| listing::user(database, address))
    }

    /// Domains by name, a page.
    pub fn domains_in_use(&self, page: &Page) -> Result<Vec<DomainInUse>, StoreError> {
        self.readers().read_moment(|database| listing::domains(database, page))
    }

    /// One domain with everything that is set.
    pub fn domain_in_use(&self, name: &str) -> Result<Option<DomainInUse>, StoreError> {
        let name = crate::directory::normal_domain(name)?;
        self.readers().read_moment(|database| {
            let record = domain::by_name(database, &name)?;
            record.map(|record| listing::in_use(database, record)).transpose()
        })
    }

    /// Aliases by address, a page.
    pub fn aliases_page(&self, page: &Page) -> Result<Vec<Alias>, StoreError> {
        self.readers().read_moment(|database| listing::aliases(database, page))
    }

    /// Groups by address, a page.
    pub fn groups(&self, page: &Page) -> Result<Vec<Group>, StoreError> {
        self.readers().read_moment(|database| listing::groups(database, page))
    }

    /// Accounts that get what is sent to an address of ours, for notices; at most `limit`.
    pub fn accounts_behind(&self, address: &str, limit: usize) -> Result<Vec<AccountId>, StoreError> {
        let address = crate::directory::normal_address(address)?;
        self.readers().read_moment(|database| listing::accounts_behind(database, &address, limit))
    }

    /// A group by its address.
    pub fn group(&self, address: &str) -> Result<Option<Group>, StoreError> {
        let Ok(address) = crate::directory::normal_address(address) else { return Ok(None) };
        self.readers().read_moment(|database| group::group(database, &address))
    }

    /// Adds a group.
    pub async fn add_group(&self, address: &str, change: GroupChange) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.growing(move |ledger| ledger.add_group(&address, &change)).await
    }

    /// Changes a group: all of it or nothing.
    pub async fn set_group(&self, address: &str, change: GroupChange) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.growing(move |ledger| ledger.set_group(&address, &change)).await
    }

    /// Removes a group.
    pub async fn remove_group(&self, address: &str) -> Result<(), StoreError> {
        let address = address.to_owned();
        self.small(move |ledger| ledger.remove_group(&address)).await
    }

    /// A domain's settings.
    pub fn domain(&self, name: &str) -> Result<Option<Arc<DomainRecord>>, StoreError> {
        Ok(self.known(&crate::directory::normal_domain(name)?)?.0)
    }

    /// The domain that was made first: the one of `Postmaster` without a domain.
    pub fn first_domain(&self) -> Result<Option<String>, StoreError> {
        self.readers().read(domain::first)
    }

    /// An account's app passwords. They open mail protocols only, never administration.
    pub fn app_passwords(&self, account: AccountId) -> Result<Vec<AppPassword>, StoreError> {
        self.readers().read(|database| app_password::of_account(database, account))
    }

    /// Adds an app password; its name must be new in the account.
    pub async fn add_app_password(
        &self,
        address: &str,
        name: &str,
        hash: PasswordHash,
    ) -> Result<AppPasswordId, StoreError> {
        let (address, name) = (address.to_owned(), name.to_owned());
        self.growing(move |ledger| ledger.add_app_password(&address, &name, &hash)).await
    }

    /// Revokes an app password.
    pub async fn remove_app_password(&self, address: &str, name: &str) -> Result<(), StoreError> {
        let (address, name) = (address.to_owned(), name.to_owned());
        self.small(move |ledger| ledger.remove_app_password(&address, &name)).await
    }

    /// Records that an app password was used. Writes at most once an hour; `used` is what
    /// [`Store::app_passwords`] returned.
    pub async fn note_app_password_use(&self, used: &AppPassword) -> Result<(), StoreError> {
        let now_s = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as i64);
        if used.last_used_s.is_some_and(|last| now_s - last < app_password::LAST_USE_STEP_S && last <= now_s)
        {
            return Ok(());
        }
        let id = used.id;
        self.small(move |ledger| ledger.note_app_password_use(id, now_s)).await
    }

    /// Warnings that are due, at most some. [`Store::watch_warnings`] tells when to look.
    pub fn warnings_due(&self) -> Result<Vec<Warning>, StoreError> {
        self.readers().read(warning::due)
    }

    /// Delivers a warning to these accounts, whatever room they have, and with it the warning is no longer
    /// due. Without accounts it only ends. `false` when it was not due any more.
    pub async fn deliver_warning(
        &self,
        warning: Warning,
        accounts: Vec<AccountId>,
        body: Body,
    ) -> Result<bool, StoreError> {
        let cost = Cost { bytes: (body.bytes().len() + body.summary().len()) as u64, grows: true };
        let run = move |ledger: &mut Ledger| ledger.deliver_warning(warning, &accounts, &body);
        self.submit(cost, run).await
    }

    /// Whether an APPEND of so many bytes and messages fits, as far as it is known now: into the mailbox
    /// for drafts a little fits at any fill level.
    pub fn fits(&self, mailbox: &Mailbox, bytes: u64, messages: u64) -> Result<(), StoreError> {
        let (standing, domain, system) = self.standing(mailbox.account)?;
        let quota = standing.quota(&standing.own.or(domain.defaults).or(*system));
        let full = if !quota.has_room(bytes, messages) {
            StoreError::OverQuota
        } else if !self.readers().read(|database| domain.quota(database))?.has_room(bytes, messages) {
            StoreError::DomainOverQuota
        } else {
            return Ok(());
        };
        let (held_bytes, held) = (mailbox.bytes, u64::from(mailbox.messages));
        let is_little = crate::limits::is_little_in_drafts(held_bytes, held, bytes, messages);
        if mailbox.special_use == Some(SpecialUse::Drafts) && is_little { Ok(()) } else { Err(full) }
    }

    /// A domain by its number, and what it uses.
    pub fn domain_use(&self, id: DomainId) -> Result<Option<(DomainRecord, Quota)>, StoreError> {
        self.readers().read_moment(|database| domain::by_number(database, id))
    }

    /// Changes when a warning has become due.
    pub fn watch_warnings(&self) -> watch::Receiver<u64> {
        self.shared().warnings.subscribe()
    }

    fn standing(
        &self,
        account: AccountId,
    ) -> Result<(route::Standing, Arc<DomainRecord>, Arc<LimitSet>), StoreError> {
        let standing = self.readers().read(|database| route::standing(database, account))?;
        let standing = standing.ok_or(StoreError::NoSuchAccount)?;
        let name = route::domain_of(&standing.address).unwrap_or_default();
        let (domain, system) = self.known(&name)?;
        Ok((standing, domain.ok_or(StoreError::NoSuchDomain(name))?, system))
    }

    fn known(&self, name: &str) -> Result<Known, StoreError> {
        self.domain_memory().get(&self.shared().directory, name, || {
            self.readers().read_moment(|database| domain::read_known(database, name))
        })
    }
}
