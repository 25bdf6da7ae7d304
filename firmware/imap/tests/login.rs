//! Getting in and out, and what bad clients get.

mod client;

use std::time::Duration;

use client::Service;
use imap::Limits;
use sasl::{ChannelBinding, Mechanism};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capabilities_follow_the_state() {
    let service = Service::start().await;
    let mut client = service.connect().await;
    let before = client.ok("CAPABILITY").await.untagged.join("");
    assert!(before.contains("IMAP4rev1") && before.contains("AUTH=PLAIN") && !before.contains("UIDPLUS"));
    assert!(!before.contains("STARTTLS"), "TLS is there already: {before}");
    let login = client.ok("LOGIN alice@example.test secret").await;
    assert!(login.tagged.contains("[CAPABILITY ") && login.tagged.contains("UIDPLUS"), "{login:?}");
    client.bad("LOGIN alice@example.test secret").await;
    client.bad("STARTTLS").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_without_tls() {
    let service = Service::start().await;
    let mut context = service.context.clone();
    context.tls = false;
    let mut client = service.connect_with(context).await;
    let capability = client.ok("CAPABILITY").await.untagged.join("");
    assert!(capability.contains("STARTTLS") && capability.contains("LOGINDISABLED"));
    assert!(!capability.contains("AUTH="));
    assert!(client.no("LOGIN alice@example.test secret").await.tagged.contains("PRIVACYREQUIRED"));
    client.no("AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=").await;
    // What is sent in clear behind STARTTLS is never answered.
    client.send("a STARTTLS\r\nb NOOP\r\n").await;
    assert!(client.answer("a").await.tagged.starts_with("OK"));
    assert!(client.is_quiet().await || client.is_closed().await);
    assert!(client.session.await.expect("the session ends"), "the session ended with STARTTLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authenticate_with_and_without_an_initial_response() {
    let service = Service::start().await;
    let mut client = service.connect().await;
    client.no("AUTHENTICATE CRAM-MD5").await;
    assert!(client.no("LOGIN alice@example.test wrong").await.tagged.contains("AUTHENTICATIONFAILED"));
    client.bad("AUTHENTICATE PLAIN !").await;
    client.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.response().await, "+ ");
    client.send("*\r\n").await;
    assert!(client.answer("a").await.tagged.starts_with("BAD"));
    client.send("b AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.response().await, "+ ");
    client.send("AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\n").await;
    assert!(client.answer("b").await.tagged.starts_with("OK"));

    let mut other = service.connect().await;
    other.ok("AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=").await;
    let mut third = service.connect().await;
    third.ok("LOGIN {18+}\r\nalice@example.test {6+}\r\nsecret").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mechanism_bound_and_not() {
    let service = Service::start().await;
    let binding = ChannelBinding { tls_exporter: Some([5; 32]), tls_server_end_point: None };
    for mechanism in Mechanism::ALL {
        for password in ["secret", "wrong"] {
            let mut context = service.context.clone();
            context.channel_binding = binding.clone();
            let mut client = service.connect_with(context).await;
            let told = client.ok("CAPABILITY").await.untagged.join("");
            assert!(told.contains(&format!(" AUTH={}", mechanism.name())), "{told}");
            let seen =
                if mechanism == Mechanism::ScramSha256Plus { &binding } else { &ChannelBinding::default() };
            let mut machine = sasl::Client::new(mechanism, "alice@example.test", password, seen).unwrap();
            let initial =
                machine.initial().map(|text| format!(" {}", sasl::encode(&text))).unwrap_or_default();
            client.send(&format!("a AUTHENTICATE {}{initial}\r\n", mechanism.name())).await;
            let tagged = loop {
                let line = client.response().await;
                match line.strip_prefix("+ ") {
                    Some(challenge) => {
                        let answer = machine.challenge(challenge).unwrap();
                        client.send(&format!("{}\r\n", sasl::encode(&answer))).await;
                    }
                    None => break line,
                }
            };
            if password == "secret" {
                assert!(
                    tagged.starts_with("a OK [CAPABILITY") && machine.is_done(),
                    "{mechanism:?} {tagged}"
                );
            } else {
                assert!(tagged.starts_with("a NO [AUTHENTICATIONFAILED]"), "{mechanism:?} {tagged}");
            }
        }
    }
    // Without TLS data there is nothing to bind to.
    let mut client = service.connect().await;
    assert!(!client.ok("CAPABILITY").await.untagged.join("").contains("-PLUS"));
    client.no("AUTHENTICATE SCRAM-SHA-256-PLUS").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_out_of_place_are_refused_and_the_session_goes_on() {
    let service = Service::start().await;
    let mut client = service.connect().await;
    client.bad("SELECT INBOX").await;
    client.bad("FETCH 1 FLAGS").await;
    client.ok("LOGIN alice@example.test secret").await;
    client.bad("FETCH 1 FLAGS").await;
    client.bad("CLOSE").await;
    client.bad("NONSENSE").await;
    client.bad("LIST").await;
    client.ok("NOOP").await;
    let id = client.ok("ID (\"name\" \"test\" \"version\" NIL)").await;
    assert!(id.untagged[0].starts_with("* ID (\"name\" \"Twinmail\""));
    assert_eq!(
        client.ok("NAMESPACE").await.untagged,
        ["* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL"]
    );
    assert_eq!(client.ok("ENABLE CONDSTORE X-NONE").await.untagged, ["* ENABLED CONDSTORE"]);
    assert!(client.ok("LOGOUT").await.untagged[0].starts_with("* BYE"));
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_and_nonsense_end_the_session() {
    let service = Service::start().await;
    let mut client = service.connect().await;
    for _ in 0..4 {
        client.no("LOGIN alice@example.test wrong").await;
    }
    client.send("a LOGIN alice@example.test wrong\r\n").await;
    assert!(client.response().await.starts_with("* BYE"));
    assert!(client.is_closed().await);

    let mut client = service.connect().await;
    for _ in 0..19 {
        client.bad("NONSENSE").await;
    }
    client.send("NONSENSE\r\n").await;
    let mut last = client.response().await;
    if last.starts_with("NONSENSE BAD") {
        last = client.response().await;
    }
    assert!(last.starts_with("* BYE"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_logged_in_may_be_misunderstood_more_often() {
    let service = Service::start().await;
    let mut client = service.login().await;
    for _ in 0..199 {
        client.bad("NONSENSE").await;
    }
    client.ok("NOOP").await;
    for _ in 0..199 {
        client.bad("NONSENSE").await;
    }
    client.send("n NONSENSE\r\n").await;
    assert!(client.response().await.starts_with("n BAD"));
    assert!(client.response().await.starts_with("* BYE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_before_login_are_cut() {
    let service = Service::start().await;
    let mut client = service.connect().await;
    client.bad("LOGIN {5000}").await;
    client.bad(&format!("LOGIN {{5000+}}\r\n{}", "x".repeat(5000))).await;
    client.bad(&format!("LOGIN {}", "(".repeat(10_000))).await;
    client.ok("NOOP").await;
    client.send("a LOGIN {99999999999+}\r\n").await;
    assert!(client.response().await.starts_with("a BAD"));
    assert!(client.response().await.starts_with("* BYE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_the_end_of_the_service_end_a_session() {
    let service = Service::start().await;
    let mut context = service.context.clone();
    context.limits = Limits { login_timeout: Duration::from_millis(200), ..context.limits };
    let mut silent = service.connect_with(context).await;
    assert!(silent.response().await.starts_with("* BYE"));
    assert!(silent.is_closed().await);

    let mut waiting = service.login().await;
    let mut idling = service.select("INBOX").await;
    idling.send("i IDLE\r\n").await;
    assert!(idling.response().await.starts_with("+ "));
    service.stop.send(true).expect("sessions listen");
    assert!(waiting.response().await.starts_with("* BYE"));
    assert!(idling.response().await.starts_with("* BYE"));
    assert!(idling.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_session_is_small() {
    let service = Service::start().await;
    let (_, there) = tokio::io::duplex(64);
    let session = imap::serve(there, service.context.clone(), true);
    let bytes = size_of_val(&session);
    assert!(bytes < 8 * 1024, "{bytes} bytes");
}
