//! Transcripts from the sending side.

use super::*;

fn hello(tls: TlsUse) -> Hello {
    Hello { host_name: "mx.test".into(), tls, credentials: None, binding: ChannelBinding::default() }
}

fn envelope(recipients: &[&str]) -> Envelope {
    let recipient = |address: &&str| Recipient { address: (*address).to_owned(), ..Recipient::default() };
    Envelope {
        sender: "a@mx.test".into(),
        recipients: recipients.iter().map(recipient).collect(),
        size_bytes: 1000,
        ..Envelope::default()
    }
}

fn say(client: &mut Client, text: &str) -> (String, Step) {
    client.feed(text.as_bytes());
    let step = client.poll();
    (String::from_utf8(client.take_output()).unwrap(), step)
}

/// A session whose server answered EHLO with these lines.
fn ready(offers: &str) -> Client {
    let mut client = Client::new(hello(TlsUse::Offered));
    assert_eq!(say(&mut client, "220-far\r\n220 hi\r\n"), ("EHLO mx.test\r\n".into(), Step::Read));
    let lines = format!("250-far\r\n{offers}250 HELP\r\n");
    assert_eq!(say(&mut client, &lines), (String::new(), Step::Ready));
    client
}

fn begin(client: &mut Client, envelope: Envelope) -> String {
    client.begin(envelope);
    client.poll();
    String::from_utf8(client.take_output()).unwrap()
}

fn classes(client: &mut Client) -> String {
    let letter = |verdict| match verdict {
        Verdict::Delivered(_) => 'd',
        Verdict::Deferred(_) => 'w',
        Verdict::Refused(_) => 'r',
    };
    client.take_verdicts().unwrap().into_iter().map(letter).collect()
}

#[test]
fn everything_at_once_where_it_is_offered_and_the_next_message_on_the_same_session() {
    let mut client = ready("250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n");
    let eight_bit = Envelope { eight_bit: true, ..envelope(&["x@far", "y@far", "z@far"]) };
    let want = "MAIL FROM:<a@mx.test> SIZE=1000 BODY=8BITMIME\r\nRCPT TO:<x@far>\r\nRCPT TO:<y@far>\r\nRCPT TO:<z@far>\r\nDATA\r\n";
    assert_eq!(begin(&mut client, eight_bit), want);
    assert!(!client.was_answered());
    let replies = "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 later\r\n354 go\r\n";
    assert_eq!(say(&mut client, replies).1, Step::SendMessage(Form::Dots));
    client.message_sent();
    assert_eq!(say(&mut client, "250 2.0.0 ok\r\n"), (String::new(), Step::Ready));
    assert_eq!(classes(&mut client), "drw");

    let next = begin(&mut client, envelope(&["x@far"]));
    assert!(next.starts_with("MAIL FROM:<a@mx.test> SIZE=1000\r\n"), "{next}");
    assert_eq!(say(&mut client, "550 5.7.1 no\r\n503 a\r\n503 b\r\n").1, Step::Ready);
    assert_eq!(classes(&mut client), "r");
    // The server may still think of the message that came to nothing.
    assert!(begin(&mut client, envelope(&["x@far"])).starts_with("RSET\r\nMAIL FROM:"));
    assert_eq!(say(&mut client, "250 a\r\n421 bye\r\n"), ("QUIT\r\n".into(), Step::Done));
    assert_eq!(classes(&mut client), "w");
}

#[test]
fn one_by_one_where_it_is_not() {
    let mut client = Client::new(hello(TlsUse::Offered));
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "502 no\r\n").0, "HELO mx.test\r\n");
    assert_eq!(say(&mut client, "250 far\r\n").1, Step::Ready);
    assert_eq!(begin(&mut client, envelope(&["x@far", "y@far"])), "MAIL FROM:<a@mx.test>\r\n");
    assert_eq!(say(&mut client, "250 ok\r\n").0, "RCPT TO:<x@far>\r\n");
    assert_eq!(say(&mut client, "250 ok\r\n").0, "RCPT TO:<y@far>\r\n");
    assert_eq!(say(&mut client, "552 too many\r\n").0, "DATA\r\n");
    assert_eq!(say(&mut client, "354 go\r\n").1, Step::SendMessage(Form::Dots));
    client.message_sent();
    client.lost("timed out");
    assert_eq!(classes(&mut client), "ww");
}

#[test]
fn octets_above_127_go_as_a_chunk_where_that_is_offered() {
    let mut client = ready("250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-BINARYMIME\r\n");
    let eight_bit = Envelope { eight_bit: true, ..envelope(&["x@far"]) };
    let sent = begin(&mut client, eight_bit);
    assert_eq!(sent, "MAIL FROM:<a@mx.test> BODY=8BITMIME\r\nRCPT TO:<x@far>\r\n");
    assert_eq!(
        say(&mut client, "250 a\r\n250 b\r\n"),
        ("BDAT 1000 LAST\r\n".into(), Step::SendMessage(Form::Chunk))
    );
    client.message_sent();
    assert_eq!(say(&mut client, "250 ok\r\n").1, Step::Ready);
    assert_eq!(classes(&mut client), "d");
    let binary = Envelope { binary: true, ..envelope(&["x@far"]) };
    assert!(begin(&mut client, binary).contains(" BODY=BINARYMIME\r\n"));
    assert_eq!(say(&mut client, "250 a\r\n550 b\r\n").1, Step::Ready);
    assert_eq!(classes(&mut client), "r");
}

#[test]
fn wishes_are_passed_on_where_they_are_understood() {
    let asked = || Envelope {
        envelope_id: Some("e+2Bx".into()),
        return_full: Some(false),
        deliver_by: Some(DeliverBy { seconds: 77, return_late: true, trace: true }),
        priority: -4,
        recipients: vec![Recipient {
            address: "x@far".into(),
            notify: Some(3),
            original: Some("rfc822;y@far".into()),
        }],
        ..envelope(&[])
    };
    let mut client = ready("250-PIPELINING\r\n250-DSN\r\n250-DELIVERBY 60\r\n250-MT-PRIORITY STANAG4406\r\n");
    let sent = begin(&mut client, asked());
    assert!(sent.starts_with("MAIL FROM:<a@mx.test> RET=HDRS ENVID=e+2Bx BY=77;RT MT-PRIORITY=-4\r\nRCPT TO:<x@far> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;y@far\r\n"), "{sent}");
    // Who must return what is late gets it only if it knows how.
    let mut client = ready("250-PIPELINING\r\n250-DELIVERBY 240\r\n");
    assert_eq!(begin(&mut client, asked()), "");
    assert_eq!(classes(&mut client), "r");
    let mut client = ready("250-PIPELINING\r\n");
    let told =
        Envelope { deliver_by: Some(DeliverBy { seconds: -5, return_late: false, trace: false }), ..asked() };
    assert!(begin(&mut client, told).starts_with("MAIL FROM:<a@mx.test>\r\nRCPT TO:<x@far>\r\nDATA"));
}

#[test]
fn what_a_server_does_not_carry_it_is_not_given() {
    for (offers, envelope, status) in [
        ("250-SIZE 500\r\n", envelope(&["x@far"]), "5.3.4"),
        ("", Envelope { utf8: true, ..envelope(&["x@far"]) }, "5.6.7"),
        ("", Envelope { eight_bit: true, ..envelope(&["x@far"]) }, "5.6.3"),
        ("250-CHUNKING\r\n", Envelope { binary: true, ..envelope(&["x@far"]) }, "5.6.3"),
        ("", Envelope { require_tls: true, ..envelope(&["x@far"]) }, "5.7.30"),
    ] {
        let mut client = ready(offers);
        assert_eq!(begin(&mut client, envelope), "");
        let verdicts = client.take_verdicts().unwrap();
        assert!(matches!(&verdicts[..], [Verdict::Refused(reply)] if reply.status == status), "{verdicts:?}");
    }
    // One address outside ASCII does not stop the others.
    let mut client = ready("250-PIPELINING\r\n");
    let sent = begin(&mut client, envelope(&["ü@far", "x@far"]));
    assert_eq!(sent, "MAIL FROM:<a@mx.test>\r\nRCPT TO:<x@far>\r\nDATA\r\n");
    let mut client = ready("250-PIPELINING\r\n250-SMTPUTF8\r\n");
    assert!(begin(&mut client, envelope(&["ü@far"])).starts_with("MAIL FROM:<a@mx.test> SMTPUTF8\r\n"));
}

#[test]
fn a_server_that_wants_text_for_nobody_gets_an_empty_one() {
    let mut client = ready("250-PIPELINING\r\n");
    begin(&mut client, envelope(&["x@far"]));
    assert_eq!(say(&mut client, "250 ok\r\n550 no\r\n354 go\r\n"), (".\r\n".into(), Step::Read));
    assert_eq!(say(&mut client, "554 no recipients\r\n"), (String::new(), Step::Ready));
    assert_eq!(classes(&mut client), "r");
}

#[test]
fn tls_is_used_where_offered_and_demanded_for_passwords() {
    let mut client = Client::new(hello(TlsUse::Offered));
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "250-far\r\n250 STARTTLS\r\n").0, "STARTTLS\r\n");
    assert_eq!(say(&mut client, "220 go\r\n250 injected\r\n").1, Step::StartTls);
    client.tls_started(ChannelBinding::default());
    assert_eq!(say(&mut client, "").0, "EHLO mx.test\r\n");
    assert_eq!(say(&mut client, "250 far\r\n").1, Step::Ready);
    assert!(client.is_secret());

    let credentials = Some(Credentials { user: "u".into(), password: "p".into() });
    let with_password = Hello { credentials, ..hello(TlsUse::Required) };
    let mut client = Client::new(with_password.clone());
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "250-far\r\n250 AUTH PLAIN\r\n"), ("QUIT\r\n".into(), Step::Done));
    assert_eq!(client.failure().unwrap().code, 454);

    for (offer, talk) in [
        ("AUTH PLAIN", &[("235 ok\r\n", "")][..]),
        (
            "AUTH LOGIN",
            &[("334 VXNlcm5hbWU6\r\n", "dQ==\r\n"), ("334 UGFzc3dvcmQ6\r\n", "cA==\r\n"), ("235 ok\r\n", "")],
        ),
    ] {
        let mut client = Client::new(Hello { tls: TlsUse::On, ..with_password.clone() });
        say(&mut client, "220 hi\r\n");
        let (auth, _) = say(&mut client, &format!("250-far\r\n250 {offer}\r\n"));
        assert!(auth.starts_with(offer), "{auth}");
        for (reply, want) in talk {
            assert_eq!(say(&mut client, reply).0, *want);
        }
        assert_eq!(client.poll(), Step::Ready);
    }
    let mut client = Client::new(Hello { tls: TlsUse::On, ..with_password });
    say(&mut client, "220 hi\r\n");
    assert!(
        say(&mut client, "250-far\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n").0.starts_with("AUTH SCRAM-SHA-256 ")
    );
    // A success before the server has proved itself is a lie.
    assert_eq!(say(&mut client, "235 welcome\r\n").1, Step::Done);
    assert_eq!(client.failure().unwrap().code, 454);
}

#[test]
fn refusals_at_every_point_reach_the_shell() {
    for (replies, code) in [
        (&["554 no\r\n"][..], 554),
        (&["421 busy\r\n"], 421),
        (&["garbage\r\n"], 451),
        (&["220 hi\r\n", "421 bye\r\n"], 421),
        (&["220 hi\r\n", "550 a\r\n", "550 b\r\n"], 550),
        (&["220 hi\r\n", "250-far\r\n250 STARTTLS\r\n", "421 bye\r\n"], 421),
    ] {
        let mut client = Client::new(hello(TlsUse::Offered));
        let step = replies.iter().map(|reply| say(&mut client, reply).1).last().unwrap();
        assert_eq!((step, client.failure().unwrap().code), (Step::Done, code), "{replies:?}");
    }
    for (replies, want) in [
        ("553 5.7.1 sender\r\n503 x\r\n503 y\r\n", "r"),
        ("250 a\r\n421 bye\r\n", "w"),
        ("250 a\r\n250 b\r\n451 c\r\n", "w"),
        ("250 a\r\n250 b\r\n550 c\r\n", "r"),
        ("250 a\r\n250 b\r\n250 c\r\n", "w"),
        ("250 a\r\nnonsense\r\n", "w"),
    ] {
        let mut client = ready("250-PIPELINING\r\n");
        begin(&mut client, envelope(&["x@far"]));
        say(&mut client, replies);
        assert_eq!(classes(&mut client), want, "{replies:?}");
    }
    // An idle session that died is noticed before mail is trusted to it.
    let mut client = ready("");
    client.probe();
    assert_eq!(say(&mut client, "421 too late\r\n").1, Step::Done);
    assert_eq!(client.failure().unwrap().code, 421);
}

#[test]
fn limits_of_a_server_are_read() {
    let client =
        ready("250-LIMITS MAILMAX=5 RCPTMAX=20 RCPTDOMAINMAX=1\r\n250-AUTH=LOGIN\r\n250-BINARYMIME\r\n");
    let offers = client.offers();
    assert_eq!((offers.messages_max, offers.recipients_max, offers.binary), (Some(5), Some(20), false));
    assert_eq!(offers.auth, ["LOGIN"]);
}
