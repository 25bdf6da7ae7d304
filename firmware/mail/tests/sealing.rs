//! What is sent on for others carries what was found out about it when it came (ARC, RFC 8617), and
//! another implementation agrees.
#![allow(missing_docs, clippy::unwrap_used)]

mod far;
mod house;
mod name_server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use control::mail::{ReceivingChange, Reply, Request};
use control::queue;
use far::Far;
use house::*;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use name_server::{Entry, NameServer};

/// Where the load balancer of these tests is.
const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Sets in the chain, and whether it holds.
async fn chain_of(text: &str, server: SocketAddr) -> (usize, bool) {
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let provider = hickory_resolver::net::runtime::TokioRuntimeProvider::default();
    let resolver = hickory_resolver::TokioResolver::builder_with_config(config, provider).build().unwrap();
    let message = AuthenticatedMessage::parse(text.as_bytes()).unwrap();
    let output = MessageAuthenticator(resolver).verify_arc(&message).await;
    (message.as_headers.len(), *output.result() == DkimResult::Pass)
}

/// A house that sends `out@` on, seen from outside, with its keys published.
fn forwarder(domain: &str, target: &str, servers: &NameServer) -> House {
    let house = House::with(domain, |config| config.name_servers = vec![servers.address]);
    let change = ReceivingChange { proxy_from: Some(vec![BALANCER.to_string()]), ..Default::default() };
    assert!(matches!(house.ask(&Request::ReceivingSet(change)), Reply::Receiving(_)));
    let alias = Request::AliasAdd { address: format!("out@{domain}"), target: target.into() };
    assert_eq!(house.ask(&alias), Reply::Done);
    let show = queue::DkimRequest { domain: domain.into(), action: queue::DkimAction::Show };
    let Reply::Dns(records) = house.ask(&Request::Dkim(show)) else { panic!() };
    for line in records.records.iter().filter(|line| line.contains("._domainkey.")) {
        let (name, value) = line.split_once(". IN TXT ").unwrap();
        servers.add(name, Entry::Text(value.replace("\" \"", "").trim_matches('"').to_owned()));
    }
    house
}

fn send_from_outside(house: &House, text: &str) {
    let mut session = Client::from_address(BALANCER, house.at(SMTP));
    session.send(format!("PROXY TCP4 192.0.2.7 {} 4025 25\r\n", house.address).as_bytes());
    assert!(session.reply().starts_with("220"));
    session.expect("250", "EHLO mail.good.test");
    let to = format!("out@{}", house.domain);
    assert!(send(&mut session, "b@good.test", &[&to], text).starts_with("250"));
}

/// The text of the only message that came.
fn arrived(far: &Far) -> String {
    for _ in 0..600 {
        if let Some(text) = far.texts().pop() {
            return text.replace('\n', "\r\n");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came");
}

#[test]
fn a_chain_is_begun_continued_and_not_mended() {
    let (near, end, last) =
        (Far::kind(own_address(), SMTP), Far::kind(own_address(), SMTP), Far::kind(own_address(), SMTP));
    let servers = NameServer::with_texts(
        vec![
            ("near.test".into(), near.address.ip()),
            ("end.test".into(), end.address.ip()),
            ("last.test".into(), last.address.ip()),
        ],
        vec![("good.test".into(), "v=spf1 ip4:192.0.2.0/24 -all".into())],
    );
    let first = forwarder("first.test", "x@near.test", &servers);
    let text = "From: a@good.test\nTo: out@first.test\nSubject: onward\n\n\nhello  world \n\n\n";
    send_from_outside(&first, text);
    let once = arrived(&near);
    assert!(once.starts_with("ARC-Seal: i=1; a=rsa-sha256; cv=none;"), "{once}");
    assert!(once.contains("ARC-Authentication-Results: i=1; mx.first.test;\r\n\tspf="), "{once}");
    assert_eq!(first.run(chain_of(&once, servers.address)), (1, true), "{once}");
    assert_eq!(first.run(chain_of(&once.replace("hello", "hallo"), servers.address)), (1, false));

    let second = forwarder("second.test", "y@end.test", &servers);
    send_from_outside(&second, &once.replace("\r\n", "\n"));
    let twice = arrived(&end);
    assert!(twice.starts_with("ARC-Seal: i=2; a=rsa-sha256; cv=pass;"), "{twice}");
    assert_eq!(second.run(chain_of(&twice, servers.address)), (2, true), "{twice}");

    // A chain that does not hold is sent on as it came.
    let third = forwarder("third.test", "z@last.test", &servers);
    send_from_outside(&third, &twice.replace("hello", "hallo").replace("\r\n", "\n"));
    let broken = arrived(&last);
    assert!(broken.contains("arc=fail") && !broken.contains("i=3;"), "{broken}");
}
