//! Keys that sign, made here, and what belongs into the DNS for a domain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::queue::{DkimAction, DkimKey, DkimRequest, DnsRecords};
use ring::signature::KeyPair;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::EncodePublicKey;
use store::{SigningAlgorithm, SigningKey, SigningState, Store};

use crate::clock::unix_s;

/// Bits of a new RSA key (RFC 8301 3.2).
const RSA_BITS: usize = 2048;
/// Longest piece of a TXT record (RFC 1035 3.3).
const TEXT_PIECE_BYTES: usize = 255;

/// Does what is asked, then says what belongs into the DNS.
pub(crate) async fn answer(
    store: &Store,
    host_name: &str,
    request: DkimRequest,
) -> Result<DnsRecords, String> {
    let sentence = |error: store::StoreError| error.to_string();
    let domain = request.domain.trim_end_matches('.').to_lowercase();
    let known = store.signing_keys(&domain).map_err(sentence)?;
    match request.action {
        // The first keys sign at once: there is nothing yet that could break.
        DkimAction::Show if known.is_empty() => {
            store.add_signing_keys(&domain, make(SigningState::Active).await?).await.map_err(sentence)?;
        }
        DkimAction::Show => {}
        DkimAction::Rotate => {
            store.add_signing_keys(&domain, make(SigningState::New).await?).await.map_err(sentence)?;
        }
        DkimAction::Activate => store.activate_signing_keys(&domain).await.map_err(sentence)?,
        DkimAction::Remove { selector } => {
            store.remove_signing_key(&domain, &selector).await.map_err(sentence)?;
        }
    }
    let keys = store.signing_keys(&domain).map_err(sentence)?;
    Ok(DnsRecords { records: records(&domain, host_name, &keys), keys: keys.iter().map(shown).collect() })
}

fn shown(key: &SigningKey) -> DkimKey {
    DkimKey {
        selector: key.selector.clone(),
        algorithm: match key.algorithm {
            SigningAlgorithm::Rsa => "rsa".to_owned(),
            SigningAlgorithm::Ed25519 => "ed25519".to_owned(),
        },
        state: match key.state {
            SigningState::New => "new".to_owned(),
            SigningState::Active => "active".to_owned(),
            SigningState::Old => "old".to_owned(),
        },
    }
}

/// One key of each algorithm; it takes about a second.
async fn make(state: SigningState) -> Result<Vec<SigningKey>, String> {
    let made = tokio::task::spawn_blocking(move || make_now(state)).await;
    made.map_err(|error| format!("no key could be made: {error}"))?
}

fn make_now(state: SigningState) -> Result<Vec<SigningKey>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("no key could be made: {error}");
    let stamp = unix_s();
    let rsa = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS).map_err(|e| failed(&e))?;
    let public = rsa.to_public_key().to_public_key_der().map_err(|e| failed(&e))?;
    let rsa = SigningKey {
        selector: format!("tm{stamp:x}r"),
        algorithm: SigningAlgorithm::Rsa,
        secret: rsa.to_pkcs1_der().map_err(|e| failed(&e))?.as_bytes().to_vec(),
        public: public.as_bytes().to_vec(),
        state,
    };
    let random = ring::rand::SystemRandom::new();
    let secret = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).map_err(|e| failed(&e))?;
    let pair = ring::signature::Ed25519KeyPair::from_pkcs8(secret.as_ref()).map_err(|e| failed(&e))?;
    let ed25519 = SigningKey {
        selector: format!("tm{stamp:x}e"),
        algorithm: SigningAlgorithm::Ed25519,
        secret: secret.as_ref().to_vec(),
        public: pair.public_key().as_ref().to_vec(),
        state,
    };
    Ok(vec![rsa, ed25519])
}

/// Lines of a zone file: MX, SPF, DKIM, DMARC, and where clients find the services (RFC 6186, RFC 8314).
fn records(domain: &str, host_name: &str, keys: &[SigningKey]) -> Vec<String> {
    let mut lines = vec![
        format!("{domain}. IN MX 10 {host_name}."),
        format!("{domain}. IN TXT \"v=spf1 mx -all\""),
        format!("_dmarc.{domain}. IN TXT \"v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}\""),
    ];
    for key in keys {
        let kind = if key.algorithm == SigningAlgorithm::Rsa { "rsa" } else { "ed25519" };
        let value = format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(&key.public));
        lines.push(format!("{}._domainkey.{domain}. IN TXT {}", key.selector, text_pieces(&value)));
    }
    for (service, port) in [
        ("submissions", 465),
        ("submission", 587),
        ("imaps", 993),
        ("imap", 143),
        ("pop3s", 995),
        ("pop3", 110),
    ] {
        let priority = if service.ends_with('s') { 0 } else { 10 };
        lines.push(format!("_{service}._tcp.{domain}. IN SRV {priority} 1 {port} {host_name}."));
    }
    lines
}

fn text_pieces(value: &str) -> String {
    let pieces = value.as_bytes().chunks(TEXT_PIECE_BYTES);
    let pieces: Vec<_> = pieces.map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    pieces.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_and_their_records_can_be_published() {
        let keys = make_now(SigningState::Active).unwrap();
        let lines = records("own.test", "mx.own.test", &keys);
        assert!(lines.contains(&"own.test. IN MX 10 mx.own.test.".to_owned()));
        let rsa = lines.iter().find(|line| line.contains("k=rsa")).unwrap();
        assert!(rsa.starts_with(&format!(
            "{}._domainkey.own.test. IN TXT \"v=DKIM1; k=rsa; p=MII",
            keys[0].selector
        )));
        assert!(rsa.split('"').all(|piece| piece.len() <= TEXT_PIECE_BYTES || piece.starts_with("tm")));
        assert_eq!(keys[1].public.len(), 32);
        assert!(!format!("{keys:?}").contains("secret"));
    }
}
