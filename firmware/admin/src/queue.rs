//! The words about outgoing mail: the queue, and the keys that sign it.

use clap::{Args, Subcommand};
use control::queue::{DkimAction, DkimRequest, DnsRecords, Filter, Item, Page, Queued, Request, Which};

use crate::language::Language;
use crate::table::{Table, printable, size, span};
use crate::text::Text;

/// Recipients on one page unless told otherwise.
const PAGE: usize = 200;

/// Outgoing mail.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List messages that wait to go out
    List {
        /// Which
        #[command(flatten)]
        filter: FilterWords,
        /// Only what is held
        #[arg(long)]
        held: bool,
        /// Go on behind this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        after: u64,
        /// At most so many; 200 if not said
        #[arg(long, value_name = "COUNT", default_value_t = PAGE, hide_default_value = true)]
        limit: usize,
    },
    /// Show everything about one message: envelope, tries, header
    Show {
        /// Its number
        id: u64,
    },
    /// Keep messages back until they are released
    Hold(WhichWords),
    /// Let go what was held
    Release(WhichWords),
    /// Try messages now; all of them where nothing is said
    Retry(WhichWords),
    /// Give messages up and tell their senders
    Drop {
        /// Which
        #[command(flatten)]
        which: WhichWords,
        /// Tell nobody
        #[arg(long)]
        silent: bool,
    },
    /// Stop all outgoing mail
    Pause,
    /// Let mail go out again
    Resume,
}

/// Which messages, by what they are.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterWords {
    /// Part of the sender; "" for notices
    #[arg(long, value_name = "TEXT")]
    pub sender: Option<String>,
    /// Part of the recipient
    #[arg(long, value_name = "TEXT")]
    pub recipient: Option<String>,
    /// Domain they go to
    #[arg(long, value_name = "DOMAIN")]
    pub destination: Option<String>,
}

/// Which messages, by number or by what they are.
#[derive(Debug, Clone, Args)]
pub struct WhichWords {
    /// Their numbers
    pub ids: Vec<u64>,
    /// Which
    #[command(flatten)]
    pub filter: FilterWords,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "sender", "recipient", "destination"])]
    pub all: bool,
}

/// Keys that sign the mail of a domain, and its records for the DNS.
#[derive(Debug, Clone, Args)]
pub struct DkimWords {
    /// The domain
    pub domain: String,
    /// Make new keys, which sign once they are activated
    #[arg(long, conflicts_with_all = ["activate", "remove"])]
    pub rotate: bool,
    /// Sign with the newest keys from now on
    #[arg(long, conflicts_with = "remove")]
    pub activate: bool,
    /// Remove the key with this selector
    #[arg(long, value_name = "SELECTOR")]
    pub remove: Option<String>,
}

impl FilterWords {
    fn filter(self, held: bool) -> Filter {
        Filter { sender: self.sender, recipient: self.recipient, destination: self.destination, held }
    }

    fn is_empty(&self) -> bool {
        self.sender.is_none() && self.recipient.is_none() && self.destination.is_none()
    }
}

impl WhichWords {
    /// `None` if nothing was said.
    fn which(self) -> Option<Which> {
        match (self.ids.is_empty(), self.filter.is_empty()) {
            (false, _) => Some(Which::Numbers(self.ids)),
            (true, true) if !self.all => None,
            (true, _) => Some(Which::Fitting(self.filter.filter(false))),
        }
    }
}

impl Queue {
    /// What the mail service is asked; `None` if it was not said about which messages.
    pub fn request(self) -> Option<Request> {
        Some(match self {
            Self::List { filter, held, after, limit } => {
                Request::List { filter: filter.filter(held), after, limit }
            }
            Self::Show { id } => Request::Show { id },
            Self::Hold(which) => Request::Hold(which.which()?),
            Self::Release(which) => Request::Release(which.which()?),
            // Trying again hurts nobody.
            Self::Retry(which) => Request::Retry(which.which().unwrap_or(Which::Fitting(Filter::default()))),
            Self::Drop { which, silent } => Request::Drop { which: which.which()?, tell: !silent },
            Self::Pause => Request::Pause,
            Self::Resume => Request::Resume,
        })
    }
}

impl DkimWords {
    /// What the mail service is asked.
    pub fn request(self) -> DkimRequest {
        let action = match (self.rotate, self.activate, self.remove) {
            (true, ..) => DkimAction::Rotate,
            (_, true, _) => DkimAction::Activate,
            (_, _, Some(selector)) => DkimAction::Remove { selector },
            _ => DkimAction::Show,
        };
        DkimRequest { domain: self.domain, action }
    }
}

/// A page for people.
pub fn page(page: &Page, language: Language) -> String {
    let mut text = String::new();
    if page.paused {
        text += Text::QueuePaused.get(language);
        text.push('\n');
    }
    if page.entries.is_empty() {
        text += Text::Empty.get(language);
        text.push('\n');
    } else {
        text += &table(&page.entries, language).lines();
    }
    text += &Text::QueueTotals.fill(language, &[&page.recipients, &page.messages, &page.held]);
    text.push('\n');
    if let Some(next) = page.next {
        text += &Text::QueueMore.fill(language, &[&next]);
        text.push('\n');
    }
    text
}

fn table(queue: &[Queued], language: Language) -> Table {
    use Text as T;
    let columns =
        [T::Number, T::Sender, T::Recipient, T::Size, T::AgeHeading, T::Attempts, T::Next, T::LastAnswer];
    let texts: Vec<_> = columns.iter().map(|text| text.get(language)).collect();
    let mut table = Table::new(&texts);
    for queued in queue {
        let next = if queued.held {
            Text::Held.get(language).to_owned()
        } else {
            span(queued.next_s.saturating_mul(1000))
        };
        table.row([
            queued.id.to_string(),
            sender(queued).to_owned(),
            queued.recipient.clone(),
            size(queued.size_bytes),
            span(queued.age_s.saturating_mul(1000)),
            queued.attempts.to_string(),
            next,
            queued.last_error.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn sender(queued: &Queued) -> &str {
    if queued.sender.is_empty() { "<>" } else { &queued.sender }
}

/// One recipient for people.
pub fn item(item: &Item, language: Language) -> String {
    let queued = &item.queued;
    let mut text = table(std::slice::from_ref(queued), language).lines();
    let ago = |s: u64| span(s.saturating_mul(1000));
    text += &Text::ItemLine.fill(
        language,
        &[
            &item.account.as_deref().unwrap_or("-"),
            &item.priority,
            &item.notify.join(","),
            &ago(item.expires_s),
        ],
    );
    text.push('\n');
    for one in &item.tries {
        text += &format!("{} {}\n", Text::Since.fill(language, &[&ago(one.age_s)]), printable(&one.said));
    }
    text.push('\n');
    text.extend(item.header.lines().map(|line| format!("{}\n", printable(line))));
    text
}

/// Keys and records for people.
pub fn records(records: &DnsRecords, language: Language) -> String {
    let mut table =
        Table::new(&[Text::Selector.get(language), Text::Algorithm.get(language), Text::State.get(language)]);
    for key in &records.keys {
        table.row([key.selector.clone(), key.algorithm.clone(), key.state.clone()]);
    }
    let mut text = table.lines();
    text.push('\n');
    text.extend(records.records.iter().map(|line| format!("{line}\n")));
    text
}
