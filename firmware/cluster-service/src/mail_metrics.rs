//! What the metrics show of the mail services that run on this box; each sample names its group.

use control::mail::Figures;

use crate::exposition::Kind::{self, Counter, Gauge};
use crate::exposition::{Exposition, ms_as_seconds};

/// One labelled count: the label's value, and the counter it is.
type Counted = (&'static str, &'static str);

const CONNECTIONS: [Counted; 3] =
    [("smtp", "connections_smtp"), ("imap", "connections_imap"), ("pop3", "connections_pop3")];
const REJECTED: [Counted; 2] = [("4xx", "refused_for_now"), ("5xx", "refused_for_good")];
const LOGINS: [Counted; 5] = [
    ("ok", "logins"),
    ("failed", "login_failures"),
    ("not_allowed", "logins_not_allowed"),
    ("paused", "logins_paused"),
    ("turned_away", "logins_turned_away"),
];
const SENT: [Counted; 3] = [("sent", "sent"), ("deferred", "deferred"), ("failed", "failed")];
/// Counters that are shown by themselves, or follow from others.
const OTHERS: [&str; 5] = ["messages_received", "bytes_received", "ended_smtp", "ended_imap", "ended_pop3"];

/// Everything about the mail services of `groups`; nothing where none runs here.
pub fn about_mail(groups: &[(&'static str, Figures)], page: &mut Exposition) {
    if groups.is_empty() {
        return;
    }
    let mut families = Families { groups, page };
    families.about_sessions();
    families.about_messages();
    families.about_store();
    families.about_the_rest();
}

struct Families<'a> {
    groups: &'a [(&'static str, Figures)],
    page: &'a mut Exposition,
}

impl Families<'_> {
    fn about_sessions(&mut self) {
        self.one(Gauge, "twinmail_mail_uptime_seconds", "Time since the mail service's start.", |mail| {
            Some(ms_as_seconds(mail.uptime_ms))
        });
        let mut family = self.page.family(Gauge, "twinmail_mail_sessions", "Sessions under way.");
        for (group, mail) in self.groups {
            for (protocol, count) in &mail.sessions {
                family.sample(&[("group", group), ("protocol", protocol)], count);
            }
        }
        let help = "Connections by protocol.";
        self.counted("twinmail_mail_connections_total", help, "protocol", &CONNECTIONS);
        self.counted("twinmail_mail_logins_total", "Logins by result.", "result", &LOGINS);
    }

    fn about_messages(&mut self) {
        self.one(Counter, "twinmail_mail_accepted_total", "Messages confirmed.", |mail| {
            Some(counter(mail, "messages_received") as f64)
        });
        self.one(Counter, "twinmail_mail_accepted_bytes_total", "Octets of them.", |mail| {
            Some(counter(mail, "bytes_received") as f64)
        });
        let help = "Senders, recipients and messages refused, by class of code.";
        self.counted("twinmail_mail_rejected_total", help, "class", &REJECTED);
        let help = "Recipients elsewhere, by what became of a try.";
        self.counted("twinmail_mail_sent_recipients_total", help, "result", &SENT);
        let help = "Recipients that wait in the queue.";
        self.one(Gauge, "twinmail_mail_queue_recipients", help, |mail| Some(mail.queue_recipients as f64));
        let help = "Of them, those that are held.";
        self.one(Gauge, "twinmail_mail_queue_held", help, |mail| Some(mail.queue_held as f64));
    }

    fn about_store(&mut self) {
        let commits: Vec<_> = self.groups.iter().map(|(group, mail)| (*group, &mail.commits)).collect();
        self.page.histograms("twinmail_store_commit_seconds", "Commits of the store, synced.", &commits);
        let help = "Whether what grows is refused for lack of space.";
        self.one(Gauge, "twinmail_store_disk_full", help, |mail| Some(f64::from(u8::from(mail.disk_full))));
        let help = "Free space of the store's file system.";
        self.one(Gauge, "twinmail_store_free_bytes", help, |mail| mail.disk_bytes.map(|b| b.0 as f64));
        let help = "Size of the store's file system.";
        self.one(Gauge, "twinmail_store_size_bytes", help, |mail| mail.disk_bytes.map(|b| b.1 as f64));
    }

    fn about_the_rest(&mut self) {
        let labelled = CONNECTIONS.iter().chain(&REJECTED).chain(&LOGINS).chain(&SENT);
        let known: Vec<&str> = labelled.map(|(_, name)| *name).chain(OTHERS).collect();
        let help = "Everything else the mail service counts.";
        let mut family = self.page.family(Counter, "twinmail_mail_events_total", help);
        for (group, mail) in self.groups {
            for (name, count) in mail.counters.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
                family.sample(&[("group", group), ("event", name)], count);
            }
        }
    }

    /// A family with one sample a group, where it is known.
    fn one(&mut self, kind: Kind, name: &str, help: &str, value: fn(&Figures) -> Option<f64>) {
        let mut family = self.page.family(kind, name, help);
        for (group, mail) in self.groups {
            if let Some(value) = value(mail) {
                family.sample(&[("group", group)], value);
            }
        }
    }

    /// A family of counters, told apart by `label`.
    fn counted(&mut self, name: &str, help: &str, label: &str, counted: &[Counted]) {
        let mut family = self.page.family(Counter, name, help);
        for (group, mail) in self.groups {
            for (value, from) in counted {
                family.sample(&[("group", group), (label, value)], counter(mail, from));
            }
        }
    }
}

fn counter(mail: &Figures, name: &str) -> u64 {
    mail.counters.get(name).copied().unwrap_or(0)
}
