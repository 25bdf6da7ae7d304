//! What a server offers in its answer to EHLO.

/// What the server offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit: bool,
    /// RFC 3030: BDAT.
    pub chunking: bool,
    /// RFC 3030: bodies of any octets.
    pub binary: bool,
    /// RFC 6531.
    pub smtp_utf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 8689.
    pub require_tls: bool,
    /// RFC 1870; with the largest message, 0 where it is not said.
    pub size: Option<u64>,
    /// RFC 2852; with the shortest time, 0 where it is not said.
    pub deliver_by: Option<u64>,
    /// RFC 6710.
    pub priority: bool,
    /// RFC 9422: most messages in one session.
    pub messages_max: Option<usize>,
    /// RFC 9422: most recipients of one message.
    pub recipients_max: Option<usize>,
    /// RFC 4954: names of the mechanisms, upper case.
    pub auth: Vec<String>,
}

impl Offers {
    /// Reads the lines behind the first.
    pub(super) fn parse(text: &str) -> Self {
        let mut offers = Self::default();
        for line in text.lines().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            let mut number =
                || words.next().and_then(|word| word.trim_end_matches(';').parse().ok()).unwrap_or(0);
            match keyword {
                "STARTTLS" => offers.starttls = true,
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit = true,
                "CHUNKING" => offers.chunking = true,
                "BINARYMIME" => offers.binary = true,
                "SMTPUTF8" => offers.smtp_utf8 = true,
                "DSN" => offers.dsn = true,
                "REQUIRETLS" => offers.require_tls = true,
                "MT-PRIORITY" => offers.priority = true,
                "SIZE" => offers.size = Some(number()),
                "DELIVERBY" => offers.deliver_by = Some(number()),
                "LIMITS" => offers.read_limits(&line),
                "AUTH" => offers.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        // RFC 3030 3: one without the other is nothing.
        offers.binary &= offers.chunking;
        offers
    }

    fn read_limits(&mut self, line: &str) {
        for word in line.split(' ').skip(1) {
            match word.split_once('=') {
                Some(("MAILMAX", number)) => self.messages_max = at_least_one(number),
                Some(("RCPTMAX", number)) => self.recipients_max = at_least_one(number),
                _ => {}
            }
        }
    }
}

fn at_least_one(number: &str) -> Option<usize> {
    number.parse().ok().filter(|number| *number > 0)
}
