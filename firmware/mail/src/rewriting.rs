//! The envelope sender of mail that is sent on (Sender Rewriting Scheme): an address of ours that leads
//! back to the original one, so that SPF of the next server finds us and a notice finds its way.
//!
//! `SRS0=hash=day=domain=local@ours`. The hash keeps strangers from sending through it, the day lets it
//! end. An address that was rewritten elsewhere already keeps its inside: `SRS1=hash=first==rest@ours`.

use ring::hmac;
use store::{Store, StoreError};

/// Name of the store's setting with the key. It outlives the process, so that late notices arrive.
const SETTING: &str = "rewriting_key";
/// Days for which notices find back.
const DAYS_MAX: u64 = 30;
/// Days after which the day begins again.
const DAYS_CYCLE: u64 = 1024;
/// Letters of the hash, each of four bits.
const HASH_LETTERS: usize = 10;

/// Rewrites senders, and finds the way back.
#[derive(Clone)]
pub(crate) struct Rewriting {
    key: hmac::Key,
}

impl Rewriting {
    /// With the store's key, which is made on first use.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let secret = if let Some(secret) = store.setting(SETTING)? {
            secret
        } else {
            let mut bytes = [0; 32];
            ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
                .map_err(|_| StoreError::Io(std::io::Error::other("the system has no randomness")))?;
            let secret = sasl::encode(&bytes);
            store.set_setting(SETTING, Some(&secret)).await?;
            secret
        };
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) })
    }

    /// The sender of mail that an address of `domain` sends on.
    pub(crate) fn sender(&self, sender: &str, domain: &str, unix_s: u64) -> String {
        let Some((local, host)) = sender.rsplit_once('@') else { return String::new() };
        let upper = local.get(..5).unwrap_or("").to_ascii_uppercase();
        if upper == "SRS0=" {
            let rest = format!("{host}={}", local.get(4..).unwrap_or(""));
            return format!("SRS1={}={rest}@{domain}", self.hash(&rest));
        }
        if upper == "SRS1=" {
            // Only the first and the last hop are kept.
            let rest = local.get(5..).and_then(|text| text.split_once('=')).map_or("", |(_, rest)| rest);
            return format!("SRS1={}={rest}@{domain}", self.hash(rest));
        }
        let rest = format!("{:03x}={host}={local}", unix_s / 86_400 % DAYS_CYCLE);
        format!("SRS0={}={rest}@{domain}", self.hash(&rest))
    }

    /// Where mail to the local part of such an address goes, if it is one that we made and still good.
    pub(crate) fn way_back(&self, local: &str) -> Option<String> {
        self.way_back_at(local, crate::clock::unix_s())
    }

    fn way_back_at(&self, local: &str, unix_s: u64) -> Option<String> {
        let kind = local.get(..5)?.to_ascii_uppercase();
        let (hash, rest) = local.get(5..)?.split_once('=')?;
        if !self.is_hash(hash, rest) {
            return None;
        }
        if kind == "SRS1=" {
            let (host, inside) = rest.split_once('=')?;
            return Some(format!("SRS0{inside}@{host}"));
        }
        let (day, rest) = rest.split_once('=').filter(|_| kind == "SRS0=")?;
        let (host, local) = rest.split_once('=')?;
        let day = u64::from_str_radix(day, 16).ok()?;
        let age = (unix_s / 86_400 % DAYS_CYCLE + DAYS_CYCLE).checked_sub(day)? % DAYS_CYCLE;
        (age <= DAYS_MAX).then(|| format!("{local}@{host}"))
    }

    /// Not of the letters' case: some servers change it.
    fn hash(&self, rest: &str) -> String {
        let tag = hmac::sign(&self.key, rest.to_lowercase().as_bytes());
        let mut letters: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        letters.truncate(HASH_LETTERS);
        letters
    }

    fn is_hash(&self, hash: &str, rest: &str) -> bool {
        let (given, right) = (hash.to_ascii_lowercase(), self.hash(rest));
        // In the same time wherever they differ.
        let differ = given.bytes().zip(right.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        given.len() == right.len() && differ == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_364_400;

    fn rewriting() -> Rewriting {
        Rewriting { key: hmac::Key::new(hmac::HMAC_SHA256, b"secret") }
    }

    fn local(address: &str) -> &str {
        address.rsplit_once('@').unwrap().0
    }

    #[test]
    fn a_sender_is_found_again_for_a_month() {
        let rewriting = rewriting();
        let sent = rewriting.sender("Bob=x+y@far.test", "ours.test", NOW);
        assert!(sent.starts_with("SRS0=") && sent.ends_with("=far.test=Bob=x+y@ours.test"), "{sent}");
        assert_eq!(rewriting.way_back_at(local(&sent), NOW).as_deref(), Some("Bob=x+y@far.test"));
        let lower = sent.to_lowercase();
        assert_eq!(rewriting.way_back_at(local(&lower), NOW).as_deref(), Some("bob=x+y@far.test"));
        assert_eq!(rewriting.way_back_at(local(&sent), NOW + (DAYS_MAX + 1) * 86_400), None);
        let forged = sent.replace("far.test", "else.test");
        assert_eq!(rewriting.way_back_at(local(&forged), NOW), None);
        assert_eq!(rewriting.sender("", "ours.test", NOW), "");
        for strange in ["SRS0", "SRS0=", "SRS0=a", "SRS0=a=b", "srs9=a=b=c=d", "ü", "SRSü=a"] {
            assert_eq!(rewriting.way_back_at(strange, NOW), None, "{strange}");
        }
    }

    #[test]
    fn what_was_rewritten_elsewhere_keeps_its_inside() {
        let rewriting = rewriting();
        let first = rewriting.sender("SRS0=abcd=xy=far.test=bob@one.test", "ours.test", NOW);
        assert!(first.ends_with("=one.test==abcd=xy=far.test=bob@ours.test"), "{first}");
        let back = rewriting.way_back_at(local(&first), NOW);
        assert_eq!(back.as_deref(), Some("SRS0=abcd=xy=far.test=bob@one.test"));
        let again = rewriting.sender(&first, "ours.test", NOW);
        assert_eq!(again, first);
    }
}
