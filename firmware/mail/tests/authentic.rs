//! Mail from elsewhere is checked: SPF, DKIM, DMARC, and what follows from them. Also load balancers that
//! speak for others, and LMTP.
#![allow(missing_docs, clippy::unwrap_used)]

mod house;
mod name_server;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::mail::{ReceivingChange, Reply, Request};
use house::*;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use name_server::NameServer;
use ring::signature::KeyPair as _;

/// Where the load balancer of these tests is.
const BALANCER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

fn decide(house: &House, change: ReceivingChange) {
    let reply = house.ask(&Request::ReceivingSet(change));
    assert!(matches!(reply, Reply::Receiving(_)), "{reply:?}");
}

/// A house that believes its load balancer and asks a name server with these texts.
fn house_with(domain: &str, texts: &[(&str, &str)]) -> House {
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let names = NameServer::with_texts(Vec::new(), texts);
    let house = House::with(domain, |config| config.name_servers = vec![names.address]);
    decide(&house, ReceivingChange { proxy_from: Some(vec![BALANCER.to_string()]), ..Default::default() });
    house
}

/// A session on port 25 as if from somewhere in the public network.
fn from_outside(house: &House, client: &str) -> Client {
    let mut session = Client::from_address(BALANCER, house.at(SMTP));
    session.send(format!("PROXY TCP4 {client} {} 4025 25\r\n", house.address).as_bytes());
    assert!(session.reply().starts_with("220"));
    session.expect("250", "EHLO mail.good.test");
    session
}

#[test]
fn what_was_found_is_written_on_top_and_what_others_claim_in_our_name_goes() {
    let pkcs8 = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let public = ring::signature::Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let key_record = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(public.public_key().as_ref()));
    let house = house_with(
        "checked.test",
        &[
            ("good.test", "v=spf1 ip4:192.0.2.0/24 -all"),
            ("mail.good.test", "v=spf1 a -all"),
            ("s1._domainkey.good.test", &key_record),
            ("_dmarc.good.test", "v=DMARC1; p=reject"),
        ],
    );
    let text = "From: a@good.test\r\nTo: alice@checked.test\r\nSubject: signed\r\n\r\nhello\r\n";
    let key = Ed25519Key::from_pkcs8_der(pkcs8.as_ref()).unwrap();
    let signature = DkimSigner::from_key(key).domain("good.test").selector("s1").headers(["From", "Subject"]);
    let signature = signature.sign(text.as_bytes()).unwrap().to_header();
    let forged = "Authentication-Results: MX.checked.test; dmarc=pass\r\n";
    let mut client = from_outside(&house, "192.0.2.7");
    let whole = format!("{forged}{signature}{text}").replace("\r\n", "\n");
    assert!(send(&mut client, "b@good.test", &["alice@checked.test"], &whole).starts_with("250"));
    let got = house.inbox("alice").pop().unwrap();
    assert!(
        got.starts_with("Return-Path: <b@good.test>\r\nAuthentication-Results: mx.checked.test;"),
        "{got}"
    );
    for found in [
        "spf=fail\r\n\t\tsmtp.helo=mail.good.test",
        "spf=pass\r\n\t\tsmtp.mailfrom=b@good.test",
        "dkim=pass\r\n\t\theader.d=good.test",
        "header.s=s1",
        "dmarc=pass (p=reject dis=none)\r\n\t\theader.from=good.test",
        "\r\nReceived: from mail.good.test ([192.0.2.7])",
    ] {
        assert!(got.contains(found), "{found}: {got}");
    }
    assert!(!got.contains("MX.checked"), "{got}");
    let broken = whole.replace("hello", "changed");
    assert!(send(&mut client, "b@good.test", &["alice@checked.test"], &broken).starts_with("250"));
    let got = house.inbox("alice").pop().unwrap();
    assert!(got.contains("dkim=fail reason=\"body hash did not verify\""), "{got}");
}

#[test]
fn a_domain_that_asks_for_refusal_gets_it_as_the_administrator_decides() {
    let house = house_with(
        "strict.test",
        &[
            ("far.test", "v=spf1 -all"),
            ("_dmarc.far.test", "v=DMARC1; p=reject"),
            ("_dmarc.soft.test", "v=DMARC1; p=quarantine"),
        ],
    );
    let mut client = from_outside(&house, "198.51.100.1");
    let forged = "From: boss@far.test\nSubject: forged\n\nx\n";
    let to = ["alice@strict.test"];
    assert!(send(&mut client, "b@far.test", &to, forged).starts_with("550 5.7.26"));
    assert!(
        send(&mut client, "b@far.test", &to, &forged.replace("far.test", "soft.test")).starts_with("250")
    );
    assert_eq!((house.messages_in("alice", "INBOX"), house.messages_in("alice", "Junk")), (0, 1));
    decide(&house, ReceivingChange { dmarc: Some("junk".into()), ..Default::default() });
    assert!(send(&mut client, "b@far.test", &to, forged).starts_with("250"));
    decide(&house, ReceivingChange { dmarc: Some("record".into()), ..Default::default() });
    assert!(send(&mut client, "b@far.test", &to, forged).starts_with("250"));
    assert_eq!((house.messages_in("alice", "INBOX"), house.messages_in("alice", "Junk")), (1, 2));
    house.counts(&[("not_authentic", 1), ("junked", 2)]);
    // Who speaks for themselves from this machine is not checked.
    let mut own = smtp(&house);
    assert!(send(&mut own, "b@far.test", &to, forged).starts_with("250"));
    assert!(!house.inbox("alice").pop().unwrap().contains("Authentication-Results"));
}

#[test]
fn what_cannot_be_found_out_now_refuses_nothing() {
    let house = house_with(
        "dark.test",
        &[
            ("far.test", "SERVFAIL"),
            ("_dmarc.far.test", "v=DMARC1; p=reject"),
            ("mail.good.test", "SERVFAIL"),
        ],
    );
    let mut client = from_outside(&house, "198.51.100.1");
    let text = "From: a@far.test\nSubject: later\n\nx\n";
    assert!(send(&mut client, "a@far.test", &["alice@dark.test"], text).starts_with("250"));
    let got = house.inbox("alice").pop().unwrap();
    assert!(got.contains("spf=temperror\r\n\t\tsmtp.mailfrom=a@far.test"), "{got}");
    assert!(got.contains("dmarc=temperror (p=reject dis=none)"), "{got}");
}

#[test]
fn only_named_balancers_are_believed_and_they_must_say_whom_they_speak_for() {
    let house = house_with("balanced.test", &[]);
    let mut client = Client::from_address(BALANCER, house.at(SMTP));
    client.send(b"EHLO client.test\r\n");
    assert_eq!(client.rest(), "");
    house.counts(&[("proxy_faults", 1)]);
    let mut stranger = smtp(&house);
    stranger.expect("500", "PROXY TCP4 192.0.2.1 192.0.2.2 1 25");
    let mut tls = Client::from_address(BALANCER, house.at(IMAPS));
    tls.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x10\0\0\x19");
    tls.start_tls();
    assert!(tls.line().starts_with("* OK"));
}

#[test]
fn who_speaks_before_the_greeting_is_not_greeted() {
    let house = house_with("early.test", &[]);
    let mut client = Client::from_address(BALANCER, house.at(SMTP));
    client.send(b"PROXY TCP4 192.0.2.9 192.0.2.2 1 25\r\nEHLO early\r\nMAIL FROM:<a@b>\r\n");
    let heard = client.rest();
    assert!(heard.starts_with("554 5.5.0") && !heard.contains("220"), "{heard}");
    house.counts(&[("early_talkers", 1)]);
}

#[test]
fn lmtp_is_for_named_servers_and_answers_for_each_recipient() {
    let house = House::new("local.test");
    house.add("carol");
    assert_eq!(Client::new(house.at(LMTP)).rest(), "");
    decide(&house, ReceivingChange { lmtp_from: Some(vec!["127.0.0.0/8".into()]), ..Default::default() });
    let limit = Request::AccountQuota { address: "carol@local.test".into(), quota_bytes: Some(300) };
    assert_eq!(house.ask(&limit), Reply::Done);
    let mut client = Client::new(house.at(LMTP));
    assert!(client.reply().starts_with("220"));
    client.expect("500", "EHLO relay.test");
    client.expect("250", "LHLO relay.test");
    client.expect("250", "MAIL FROM:<x@far.test>");
    client.expect("250", "RCPT TO:<carol@local.test>");
    client.expect("550 5.1.1", "RCPT TO:<nobody@local.test>");
    client.expect("550 5.7.1", "RCPT TO:<x@far.test>");
    client.expect("250", "RCPT TO:<alice@local.test>");
    client.expect("354", "DATA");
    client.send(format!("Subject: two\r\n\r\n{}\r\n.\r\n", "x".repeat(300)).as_bytes());
    assert!(client.reply().starts_with("552 5.2.2"));
    assert!(client.reply().starts_with("250 2.0.0"));
    assert!(house.inbox("alice").pop().unwrap().contains("with LMTP id"));
    assert!(house.inbox("carol").is_empty());
}
