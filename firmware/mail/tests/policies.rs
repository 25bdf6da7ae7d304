//! Domains that demand verified TLS for their mail (MTA-STS, RFC 8461) get it, or no mail.
#![allow(missing_docs, clippy::unwrap_used)]

mod far;
mod house;
mod name_server;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use control::mail::{Reply, Request};
use control::queue::{self, Filter, Queued};
use far::Far;
use house::*;
use name_server::{Entry, NameServer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A web server with one policy a domain, and the certificate it shows.
fn web_server(address: IpAddr, policies: Vec<(&'static str, &'static str)>) -> String {
    let names: Vec<String> = policies.iter().map(|(domain, _)| format!("mta-sts.{domain}")).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind((address, POLICY)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(connection) = rustls::ServerConnection::new(Arc::clone(&config)) else { continue };
            let mut reader = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") && reader.read_line(&mut asked).unwrap_or(0) > 0 {}
            let found =
                policies.iter().find(|(domain, _)| asked.contains(&format!("Host: mta-sts.{domain}\r\n")));
            let Some((_, policy)) = found.filter(|_| asked.starts_with("GET /.well-known/mta-sts.txt "))
            else {
                continue;
            };
            let length = policy.len();
            let _ = write!(
                reader.get_mut(),
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{policy}"
            );
        }
    });
    certificate
}

fn waiting(house: &House) -> Vec<Queued> {
    let all = queue::Request::List { filter: Filter::default(), after: 0, limit: 100 };
    match house.ask(&Request::Queue(all)) {
        Reply::Queue(queue::Reply::Page(page)) => page.entries,
        other => panic!("{other:?}"),
    }
}

/// What was said of the recipient's last try.
fn refusal(house: &House, recipient: &str) -> String {
    for _ in 0..600 {
        let error = waiting(house).into_iter().find(|one| one.recipient == recipient);
        if let Some(error) = error.and_then(|one| one.last_error) {
            return error;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{recipient} was never tried");
}

#[test]
fn mail_goes_only_where_the_policy_of_its_domain_leads() {
    let safe = House::new("safe.test");
    let (clear, other, open) =
        (Far::kind(own_address(), SMTP), Far::kind(own_address(), SMTP), Far::kind(own_address(), SMTP));
    let domains = [
        ("safe.test", safe.address),
        ("clear.test", clear.address.ip()),
        ("other.test", other.address.ip()),
        ("open.test", open.address.ip()),
    ];
    let list = || domains.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
    let servers = NameServer::start(list());
    let web = own_address();
    let certificate = web_server(
        web,
        vec![
            ("safe.test", "version: STSv1\nmode: enforce\nmx: *.safe.test\nmax_age: 86400\n"),
            ("clear.test", "version: STSv1\r\nmode: enforce\r\nmx: mx.clear.test\r\nmax_age: 86400\r\n"),
            ("other.test", "version: STSv1\nmode: enforce\nmx: mx.elsewhere.test\nmax_age: 86400\n"),
        ],
    );
    for (domain, _) in domains {
        servers.add(&format!("_mta-sts.{domain}"), Entry::Text("v=STSv1; id=1;".to_owned()));
        servers.add(&format!("mta-sts.{domain}"), Entry::Address(web));
    }
    let (address, data) = (own_address(), tempfile::tempdir().unwrap());
    let far_certificate = std::fs::read_to_string(safe.data.path().join("tls/cert.pem")).unwrap();
    std::fs::create_dir_all(data.path().join("tls")).unwrap();
    std::fs::write(data.path().join("tls/roots.pem"), certificate + &far_certificate).unwrap();
    let house = House::open("user.test", address, data, |config| config.name_servers = vec![servers.address]);
    let mut client = submission(&house, "alice");
    let to = ["alice@safe.test", "x@clear.test", "x@other.test", "x@open.test"];
    assert!(send(&mut client, "alice@user.test", &to, "Subject: guarded\n\nx\n").starts_with("250"));

    // A server that proves its name gets it.
    assert!(safe.wait_for("alice", "Subject: guarded").contains("with ESMTPS"));
    // One that offers no TLS does not, though it would take it.
    let error = refusal(&house, "x@clear.test");
    assert!(error.starts_with("454") || error.starts_with("451"), "{error}");
    let error = refusal(&house, "x@other.test");
    assert!(error.contains("4.7.5") && error.contains("names none of its servers"), "{error}");
    // Without a policy that can be had mail goes as ever.
    for _ in 0..600 {
        if !open.texts().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(open.texts().len(), 1);

    // Who hides the record later does not undo the policy.
    drop(client);
    let data = house.stop();
    let silent = NameServer::start(list());
    let house = House::open("user.test", address, data, |config| {
        config.first = None;
        config.name_servers = vec![silent.address];
    });
    let mut client = submission(&house, "alice");
    assert!(
        send(&mut client, "alice@user.test", &["y@clear.test"], "Subject: again\n\nx\n").starts_with("250")
    );
    refusal(&house, "y@clear.test");
    assert!(clear.texts().is_empty() && other.texts().is_empty());
}
