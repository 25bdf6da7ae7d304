//! Mail goes out to servers that behave, and to those that do not.
#![allow(missing_docs, clippy::unwrap_used)]

mod far;
mod house;
mod name_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use control::mail::{Reply, Request};
use control::queue::{self, Filter, Queued, Which};
use far::{Act, Far, OFFERS};
use house::*;
use name_server::{Entry, NameServer};

fn order(house: &House, request: queue::Request) -> queue::Reply {
    match house.ask(&Request::Queue(request)) {
        Reply::Queue(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn page(house: &House) -> queue::Page {
    let all = queue::Request::List { filter: Filter::default(), after: 0, limit: 1_000 };
    match order(house, all) {
        queue::Reply::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn waiting(house: &House) -> Vec<Queued> {
    page(house).entries
}

fn retry(house: &House) {
    order(house, queue::Request::Retry(Which::Fitting(Filter::default())));
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}");
}

/// A house whose name server knows these domains, each with one server at the address.
fn house_with(domain: &str, known: &[(&str, &Far)]) -> (House, NameServer) {
    let list = known.iter().map(|(name, far)| ((*name).to_owned(), far.address.ip())).collect();
    let servers = NameServer::start(list);
    let house = House::with(domain, |config| {
        config.name_servers = vec![servers.address];
    });
    (house, servers)
}

fn write(house: &House, to: &[&str], text: &str) {
    let mut client = submission(house, "alice");
    let from = format!("alice@{}", house.domain);
    assert!(send(&mut client, &from, to, text).starts_with("250"));
}

#[test]
fn many_messages_go_over_few_connections() {
    let far = Far::kind(own_address(), SMTP);
    let (house, _servers) = house_with("reuse.test", &[("many.test", &far)]);
    let mut client = submission(&house, "alice");
    for number in 0..60 {
        let to = format!("u{number}@many.test");
        let text = format!("Subject: n{number}\n\nx\n");
        assert!(send(&mut client, "alice@reuse.test", &[&to], &text).starts_with("250"));
    }
    wait_until("all are sent", || far.texts().len() == 60);
    wait_until("the queue is empty", || waiting(&house).is_empty());
    assert!(far.sessions().len() <= 8, "{} sessions", far.sessions().len());
    let mut subjects: Vec<_> = far.texts().iter().map(|text| text.matches("Subject: n").count()).collect();
    subjects.dedup();
    assert_eq!(subjects, [1]);
    // Another message soon after finds the connection of the last; on a starved machine, one of a few.
    let finds = (61..=70).any(|number| {
        let before = far.sessions().len();
        let done = send(&mut client, "alice@reuse.test", &["late@many.test"], "Subject: late\n\nx\n");
        assert!(done.starts_with("250"), "{done}");
        wait_until("it is sent", || far.texts().len() == number);
        far.sessions().len() == before
    });
    assert!(finds, "each message opens a connection");
}

#[test]
fn one_recipient_of_ten_is_put_off_and_gets_it_alone_later() {
    let ready = Arc::new(AtomicBool::new(false));
    let is_ready = Arc::clone(&ready);
    let far = Far::start(own_address(), SMTP, move |_, line| {
        if line.starts_with("RCPT TO:<u3@") && !is_ready.load(Ordering::Relaxed) {
            return Act::Say("450-4.2.0 not now,\r\n450 4.2.0 come later");
        }
        Act::Usual
    });
    let (house, _servers) = house_with("ten.test", &[("mixed.test", &far)]);
    let to: Vec<String> = (0..10).map(|number| format!("u{number}@mixed.test")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    write(&house, &to, "Subject: ten\n\nx\n");
    wait_until("one is left", || waiting(&house).iter().map(|one| one.attempts).collect::<Vec<_>>() == [1]);
    let left = waiting(&house).remove(0);
    assert_eq!(left.recipient, "u3@mixed.test");
    assert!(left.last_error.unwrap().contains("come later"));
    let queue::Reply::Item(item) = order(&house, queue::Request::Show { id: left.id }) else { panic!() };
    assert!(item.header.contains("Subject: ten") && item.tries.len() == 1);
    assert_eq!(item.account.as_deref(), Some("alice@ten.test"));
    ready.store(true, Ordering::Relaxed);
    retry(&house);
    wait_until("the queue is empty", || waiting(&house).is_empty());
    assert_eq!(far.texts().len(), 2);
    let rcpts =
        |name: &str| far.lines().iter().filter(|line| line.starts_with(&format!("RCPT TO:<{name}@"))).count();
    assert_eq!((rcpts("u3"), rcpts("u4")), (2, 1));
}

#[test]
fn a_server_that_gives_up_at_any_point_gets_the_message_later_and_once() {
    let stages = ["", "EHLO", "MAIL", "RCPT", "DATA", "."];
    let healed = Arc::new(AtomicBool::new(false));
    let mut fars = Vec::new();
    for (index, stage) in stages.into_iter().enumerate() {
        for kind in 0..3 {
            let healed = Arc::clone(&healed);
            let far = Far::start(own_address(), SMTP, move |_, line| {
                let here = if stage.is_empty() { line.is_empty() } else { line.starts_with(stage) };
                match (here && !healed.load(Ordering::Relaxed), kind) {
                    (false, _) => Act::Usual,
                    (true, 0) => Act::SayAndClose("421 4.3.2 going down"),
                    (true, 1) => Act::Close,
                    (true, _) => Act::Say("what do you mean"),
                }
            });
            fars.push((format!("s{index}k{kind}.test"), far));
        }
    }
    let known: Vec<(&str, &Far)> = fars.iter().map(|(name, far)| (name.as_str(), far)).collect();
    let (house, _servers) = house_with("stages.test", &known);
    let to: Vec<String> = fars.iter().map(|(name, _)| format!("x@{name}")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    write(&house, &to, "Subject: stages\n\nx\n");
    wait_until("all were tried", || waiting(&house).iter().all(|one| one.last_error.is_some()));
    assert_eq!(waiting(&house).len(), fars.len());
    healed.store(true, Ordering::Relaxed);
    retry(&house);
    wait_until("the queue is empty", || waiting(&house).is_empty());
    for (name, far) in &fars {
        // Only a text that had come to its end unanswered may come twice.
        let at_most = if name.starts_with("s5") { 2 } else { 1 };
        assert!((1..=at_most).contains(&far.texts().len()), "{name} {:?}", far.sessions());
    }
    house.counts(&[("notices", 0)]);
}

#[test]
fn who_hangs_does_not_hold_up_the_others() {
    let hanging = Far::start(own_address(), SMTP, |_, _| Act::Hang);
    let slow = Far::start(
        own_address(),
        SMTP,
        |_, line| {
            if line.starts_with("MAIL") { Act::Hang } else { Act::Usual }
        },
    );
    let well = Far::kind(own_address(), SMTP);
    let known = [("hanging.test", &hanging), ("slow.test", &slow), ("well.test", &well)];
    let list = known.iter().map(|(name, far)| ((*name).to_owned(), far.address.ip())).collect();
    let servers = NameServer::start(list);
    let house = House::with("hold.test", |config| {
        config.name_servers = vec![servers.address];
        config.limits.relay.connect = Duration::from_secs(5);
        config.limits.relay.reply = Duration::from_secs(5);
    });
    let began = Instant::now();
    let mut client = submission(&house, "alice");
    for number in 0..30 {
        for domain in ["hanging.test", "slow.test"] {
            let to = format!("u{number}@{domain}");
            assert!(send(&mut client, "alice@hold.test", &[&to], "Subject: x\n\nx\n").starts_with("250"));
        }
    }
    assert!(
        send(&mut client, "alice@hold.test", &["x@well.test"], "Subject: quick\n\nx\n").starts_with("250")
    );
    wait_until("the other one has it", || well.texts().len() == 1);
    wait_until("it has left the queue", || waiting(&house).len() == 60);
    wait_until("the dead one is left alone", || {
        waiting(&house)
            .iter()
            .filter(|one| one.recipient.ends_with("hanging.test"))
            .all(|one| one.last_error.is_some())
    });
    // Those that began before the first of them had waited in vain, and as many when a minute is over.
    let rounds = 1 + began.elapsed().as_secs() as usize / 60;
    let knocked = hanging.sessions().len();
    assert!(knocked <= 4 * rounds, "{knocked} sessions in {rounds} rounds");
}

#[test]
fn a_server_that_breaks_off_in_the_middle_is_passed_over_for_the_next() {
    let next = Far::kind(own_address(), SMTP);
    let (house, servers) = house_with("next.test", &[]);
    let mut first = Vec::new();
    for (stage, kind) in [("MAIL", 0), ("RCPT", 1), ("DATA", 0), (".", 1)] {
        let name = if stage == "." { "dot" } else { stage }.to_ascii_lowercase();
        let far = Far::start(own_address(), SMTP, move |_, line| match (line.starts_with(stage), kind) {
            (false, _) => Act::Usual,
            (true, 0) => Act::Close,
            (true, _) => Act::SayAndClose("421 4.3.2 going down"),
        });
        servers.add(&format!("{name}.test"), Entry::Mx(10, format!("first.{name}.test")));
        servers.add(&format!("{name}.test"), Entry::Mx(20, "second.test".into()));
        servers.add(&format!("first.{name}.test"), Entry::Address(far.address.ip()));
        first.push((format!("x@{name}.test"), far));
    }
    servers.add("second.test", Entry::Address(next.address.ip()));
    let to: Vec<&str> = first.iter().map(|(to, _)| to.as_str()).collect();
    write(&house, &to, "Subject: next\n\nx\n");
    wait_until("the second took all of them", || next.texts().len() == to.len());
    wait_until("the queue is empty", || waiting(&house).is_empty());
    assert!(first.iter().all(|(_, far)| far.sessions().len() == 1));
}

#[test]
fn servers_are_found_by_every_kind_of_record() {
    let (first, second) = (own_address(), own_address());
    let far = Far::kind(second, SMTP);
    let (house, servers) = house_with("records.test", &[]);
    servers.add("prefer.test", Entry::Mx(20, "backup.prefer.test".into()));
    servers.add("prefer.test", Entry::Mx(10, "dead.prefer.test".into()));
    servers.add("dead.prefer.test", Entry::Address(first));
    servers.add("backup.prefer.test", Entry::Address(second));
    servers.add("plain.test", Entry::Address(second));
    servers.add("alias.test", Entry::Alias("real.test".into()));
    servers.add("real.test", Entry::Mx(5, "backup.prefer.test".into()));
    servers.add("null.test", Entry::Mx(0, String::new()));
    servers.add("empty.test", Entry::Mx(10, "nowhere.empty.test".into()));
    servers.add("loop.test", Entry::Mx(10, "us.loop.test".into()));
    servers.add("loop.test", Entry::Mx(20, "backup.prefer.test".into()));
    servers.add("us.loop.test", Entry::Address(house.address));
    let to = ["a@prefer.test", "b@plain.test", "c@alias.test", "d@null.test", "e@empty.test", "f@loop.test"];
    write(&house, &to, "Subject: found\n\nx\n");
    wait_until("three have it", || far.texts().len() == 3);
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; d@null.test");
    assert!(notice.contains("Status: 5.1.10\r\n"), "{notice}");
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; f@loop.test");
    assert!(notice.contains("Status: 5.4.6\r\n"), "{notice}");
    // Without an address it may be a mistake that is mended.
    wait_until("one is left", || waiting(&house).len() == 1);
    assert_eq!(waiting(&house)[0].recipient, "e@empty.test");
}

#[test]
fn text_and_wishes_go_as_the_server_can_take_them() {
    let seven = Far::start(own_address(), SMTP, |_, line| {
        if line.starts_with("EHLO") { Act::Say("250 seven") } else { Act::Usual }
    });
    let modern = Far::start(own_address(), SMTP, |_, line| {
        if line.starts_with("EHLO") {
            Act::Say("250-modern\r\n250-8BITMIME\r\n250-DSN\r\n250 PIPELINING")
        } else {
            Act::Usual
        }
    });
    let (house, _servers) = house_with("wishes.test", &[("seven.test", &seven), ("modern.test", &modern)]);
    let mut client = submission(&house, "alice");
    client.expect("250", "MAIL FROM:<alice@wishes.test> BODY=8BITMIME RET=HDRS ENVID=q1");
    client.expect("250", "RCPT TO:<a@seven.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@x.test");
    client.expect("250", "RCPT TO:<b@modern.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@x.test");
    client.expect("354", "DATA");
    client.send("From: alice@wishes.test\r\nSubject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\r\n".as_bytes());
    client.expect("250", ".");
    wait_until("both have it", || seven.texts().len() + modern.texts().len() == 2);
    assert!(
        seven.texts()[0].contains("Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n"),
        "{:?}",
        seven.texts()
    );
    assert!(modern.texts()[0].contains("Gr\u{fc}\u{df}e"));
    let told = modern.lines().join("\n");
    assert!(
        told.contains("RET=HDRS ENVID=q1")
            && told.contains("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@x.test"),
        "{told}"
    );
    // Who cannot report is spoken for.
    let notice = house.wait_for("alice", "Action: relayed");
    assert!(notice.contains("Final-Recipient: rfc822; a@seven.test") && !notice.contains("modern.test"));
    assert!(notice.contains("Original-Envelope-Id: q1\r\n"));
}

#[test]
fn the_administrator_holds_releases_pauses_and_drops() {
    let far = Far::kind(own_address(), SMTP);
    let (house, _servers) = house_with("hand.test", &[("there.test", &far)]);
    order(&house, queue::Request::Pause);
    for name in ["one", "two", "three"] {
        write(&house, &[&format!("{name}@there.test")], &format!("Subject: {name}\n\nx\n"));
    }
    assert!(page(&house).paused && waiting(&house).len() == 3);
    let number =
        |name: &str| waiting(&house).into_iter().find(|one| one.recipient.starts_with(name)).unwrap().id;
    let (one, two) = (number("one"), number("two"));
    order(&house, queue::Request::Hold(Which::Numbers(vec![one])));
    let fitting = Filter { recipient: Some("TWO@".into()), ..Filter::default() };
    let dropped = order(&house, queue::Request::Drop { which: Which::Fitting(fitting), tell: false });
    assert_eq!(dropped, queue::Reply::Changed { recipients: 1 });
    order(&house, queue::Request::Resume);
    wait_until("the third is sent", || far.texts().len() == 1);
    // The far side has it before this one has written down that it has.
    wait_until("one is left", || waiting(&house).len() == 1);
    let left = page(&house);
    assert_eq!((left.held, left.entries[0].id), (1, one));
    assert!(matches!(house.ask(&Request::Queue(queue::Request::Show { id: two })), Reply::Refused(_)));
    retry(&house);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(far.texts().len(), 1);
    order(&house, queue::Request::Release(Which::Numbers(vec![one])));
    wait_until("the first is sent", || far.texts().len() == 2);
    house.counts(&[("notices", 0)]);
}

#[test]
fn whoever_serves_next_sends_what_is_left_and_nothing_twice() {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let far = Far::start(own_address(), SMTP, move |_, line| {
        if line.starts_with("RCPT TO:<later") && !is_open.load(Ordering::Relaxed) {
            Act::Say("451 4.3.0 later")
        } else {
            Act::Usual
        }
    });
    let (house, servers) = house_with("next.test", &[("over.test", &far)]);
    write(&house, &["now@over.test", "later@over.test"], "Subject: over\n\nx\n");
    wait_until("one is left", || waiting(&house).iter().map(|one| one.attempts).collect::<Vec<_>>() == [1]);
    let address = house.address;
    let data = house.stop();
    let house = House::open("next.test", address, data, |config| {
        config.epoch = 2;
        config.first = None;
        config.name_servers = vec![servers.address];
    });
    assert_eq!(waiting(&house).len(), 1);
    open.store(true, Ordering::Relaxed);
    retry(&house);
    wait_until("the queue is empty", || waiting(&house).is_empty());
    let now = far.lines().iter().filter(|line| line.starts_with("RCPT TO:<now@")).count();
    assert_eq!((now, far.texts().len()), (1, 2));
}

#[test]
fn forwarded_mail_has_a_sender_of_ours_and_its_notices_come_back() {
    let (away, origin) = (Far::kind(own_address(), SMTP), Far::kind(own_address(), SMTP));
    let (house, _servers) = house_with("srs.test", &[("away.test", &away), ("origin.test", &origin)]);
    let request = Request::AliasAdd { address: "out@srs.test".into(), target: "x@away.test".into() };
    assert_eq!(house.ask(&request), Reply::Done);
    let mut client = smtp(&house);
    assert!(send(&mut client, "bob@origin.test", &["out@srs.test"], "Subject: on\n\nx\n").starts_with("250"));
    wait_until("it is forwarded", || away.texts().len() == 1);
    let mail = away.lines().into_iter().find(|line| line.starts_with("MAIL FROM:<SRS0=")).unwrap();
    let sender = mail.split(['<', '>']).nth(1).unwrap().to_owned();
    assert!(sender.ends_with("=origin.test=bob@srs.test"), "{sender}");
    assert!(away.texts()[0].starts_with("Delivered-To: out@srs.test\n"), "{:?}", away.texts());
    // The notice about it finds its way back; a forged one does not.
    assert!(send(&mut client, "", &[&sender], "Subject: failed\n\nx\n").starts_with("250"));
    wait_until("it is told", || origin.texts().len() == 1);
    assert!(origin.lines().iter().any(|line| line == "RCPT TO:<bob@origin.test>"));
    client.expect("250", "MAIL FROM:<>");
    client.expect("550 5.1.1", &format!("RCPT TO:<{}>", sender.replace("bob", "eve")));
    client.expect("250", "RSET");
    // What comes back to where it was forwarded is in a loop.
    client.expect("250", "MAIL FROM:<bob@origin.test>");
    client.expect("250", "RCPT TO:<out@srs.test>");
    client.expect("354", "DATA");
    client.send(b"Delivered-To: out@srs.test\r\nSubject: again\r\n\r\nx\r\n");
    client.expect("554 5.4.6", ".");
}

/// What another implementation says to the signatures.
async fn verify(text: &str, server: std::net::SocketAddr) -> Vec<&'static str> {
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let provider = hickory_resolver::net::runtime::TokioRuntimeProvider::default();
    let resolver = hickory_resolver::TokioResolver::builder_with_config(config, provider).build().unwrap();
    let authenticator = mail_auth::MessageAuthenticator(resolver);
    let message = mail_auth::AuthenticatedMessage::parse(text.as_bytes()).unwrap();
    let outputs = authenticator.verify_dkim(&message).await;
    let is_pass = |output: &mail_auth::DkimOutput<'_>| *output.result() == mail_auth::DkimResult::Pass;
    outputs.iter().map(|output| if is_pass(output) { "pass" } else { "fail" }).collect()
}

#[test]
fn what_leaves_is_signed_and_the_signature_holds() {
    let far = House::new("verify.test");
    let servers = NameServer::start(vec![("verify.test".into(), far.address)]);
    let address = far.address;
    let data = far.stop();
    let far = House::open("verify.test", address, data, |config| {
        config.first = None;
        config.name_servers = vec![servers.address];
    });
    let house = House::with("signed.test", |config| config.name_servers = vec![servers.address]);
    let dkim = |action| {
        let request = queue::DkimRequest { domain: "Signed.test".into(), action };
        match house.ask(&Request::Dkim(request)) {
            Reply::Dns(records) => records,
            other => panic!("{other:?}"),
        }
    };
    let records = dkim(queue::DkimAction::Show);
    assert_eq!(records.keys.iter().filter(|key| key.state == "active").count(), 2);
    for line in records.records.iter().filter(|line| line.contains("._domainkey.")) {
        let (name, value) = line.split_once(". IN TXT ").unwrap();
        servers.add(name, Entry::Text(value.replace("\" \"", "").trim_matches('"').to_owned()));
    }
    let body = "From: alice@signed.test\nSubject: signed\nContent-Type: text/plain\n\nhello  \n\n\n";
    write(&house, &["alice@verify.test"], body);
    let arrived = far.wait_for("alice", "Subject: signed");
    assert_eq!(arrived.matches("\r\nDKIM-Signature: v=1; a=").count(), 2, "{arrived}");
    let results = house.run(verify(&arrived, servers.address));
    assert_eq!(results, ["pass", "pass"], "{arrived}");
    assert_eq!(house.run(verify(&arrived.replace("hello", "hallo"), servers.address)), ["fail", "fail"]);
    // New keys sign once they are activated.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(dkim(queue::DkimAction::Rotate).keys.iter().filter(|key| key.state == "new").count(), 2);
    let states: Vec<_> = dkim(queue::DkimAction::Activate).keys.into_iter().map(|key| key.state).collect();
    assert_eq!(states, ["old", "old", "active", "active"]);
    let selector = records.keys[0].selector.clone();
    assert_eq!(dkim(queue::DkimAction::Remove { selector }).keys.len(), 3);
}

#[test]
fn mail_that_is_held_for_a_while_arrives_when_its_time_has_come() {
    let far = Far::kind(own_address(), SMTP);
    let (house, _servers) = house_with("future.test", &[("elsewhere.test", &far)]);
    let mut client = submission(&house, "alice");
    // The one that came first waits longer.
    for (seconds, subject) in [(3_600, "far future"), (3, "future")] {
        client.expect("250", &format!("MAIL FROM:<alice@future.test> HOLDFOR={seconds}"));
        client.expect("250", "RCPT TO:<alice@future.test>");
        client.expect("250", "RCPT TO:<x@elsewhere.test>");
        client.expect("354", "DATA");
        client.send(format!("Subject: {subject}\r\n\r\nx\r\n").as_bytes());
        client.expect("250", ".");
    }
    house.wait_for("alice", "Subject: future");
    wait_until("both have it", || far.texts().len() == 1 && waiting(&house).len() == 2);
    assert!(far.texts()[0].contains("Subject: future") && house.inbox("alice").len() == 1);
    assert!(waiting(&house).iter().all(|one| one.attempts == 0));
}

#[test]
fn a_smarthost_gets_the_password_only_over_tls_that_is_proven() {
    let far = House::new("smart.test");
    let certificate = std::fs::read(far.data.path().join("tls/cert.pem")).unwrap();
    let address = own_address();
    let data = tempfile::tempdir().unwrap();
    let house = House::open("user.test", address, data, |_| {});
    let set = |house: &House| {
        let request = Request::SmarthostSet {
            host: Some(far.at(SUBMISSION).to_string()),
            user: Some("alice@smart.test".into()),
            password: Some(PASSWORD.into()),
        };
        assert_eq!(house.ask(&request), Reply::Done);
    };
    set(&house);
    write(&house, &["alice@smart.test"], "Subject: by password\n\nx\n");
    // A certificate that nobody vouches for gets no password.
    wait_until("it was tried", || waiting(&house).iter().any(|one| one.last_error.is_some()));
    far.counts(&[("logins", 0)]);
    let data = house.stop();
    std::fs::write(data.path().join("tls/roots.pem"), certificate).unwrap();
    let house = House::open("user.test", address, data, |config| config.first = None);
    retry(&house);
    wait_until("it was tried again", || {
        far.counter("logins") > 0 || {
            let error = waiting(&house).first().and_then(|one| one.last_error.clone()).unwrap_or_default();
            assert!(error.is_empty() || error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
            false
        }
    });
    // The login works; that server then knows its own users only.
    let notice = house.wait_for("alice", "Final-Recipient: rfc822; alice@smart.test");
    assert!(notice.contains("Diagnostic-Code: smtp; 553 5.7.1"), "{notice}");
    far.counts_at_least("logins", 1);
    assert!(OFFERS.contains("PIPELINING"));
}
