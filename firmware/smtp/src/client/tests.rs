//! Transcripts from the sending side, and both machines talking to each other.

use super::*;

fn plan(recipients: &[&str]) -> Plan {
    Plan {
        host_name: "mx.test".into(),
        sender: "a@mx.test".into(),
        recipients: recipients.iter().map(|r| (*r).to_owned()).collect(),
        size_bytes: 1000,
        eight_bit: true,
        tls: TlsUse::Offered,
        credentials: None,
    }
}

fn say(client: &mut Client, text: &str) -> (String, Step) {
    client.feed(text.as_bytes());
    let step = client.poll();
    (String::from_utf8(client.take_output()).unwrap(), step)
}

fn classes(client: Client) -> String {
    let letter = |verdict| match verdict {
        Verdict::Delivered(_) => 'd',
        Verdict::Deferred(_) => 'w',
        Verdict::Refused(_) => 'r',
    };
    client.into_verdicts().into_iter().map(letter).collect()
}

#[test]
fn everything_at_once_where_it_is_offered() {
    let mut client = Client::new(plan(&["x@far", "y@far", "z@far"]));
    assert_eq!(say(&mut client, "220-far\r\n220 hi\r\n"), ("EHLO mx.test\r\n".into(), Step::Read));
    let (sent, _) = say(&mut client, "250-far\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n");
    let want = "MAIL FROM:<a@mx.test> SIZE=1000 BODY=8BITMIME\r\nRCPT TO:<x@far>\r\nRCPT TO:<y@far>\r\nRCPT TO:<z@far>\r\nDATA\r\n";
    assert_eq!(sent, want);
    let replies = "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 later\r\n354 go\r\n";
    assert_eq!(say(&mut client, replies).1, Step::SendMessage);
    client.message_sent();
    assert_eq!(say(&mut client, "250 2.0.0 ok\r\n"), ("QUIT\r\n".into(), Step::Done));
    assert_eq!(classes(client), "drw");
}

#[test]
fn one_by_one_where_it_is_not() {
    let mut client = Client::new(plan(&["x@far"]));
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "502 no\r\n").0, "HELO mx.test\r\n");
    assert_eq!(say(&mut client, "250 far\r\n").0, "MAIL FROM:<a@mx.test>\r\n");
    assert_eq!(say(&mut client, "250 ok\r\n").0, "RCPT TO:<x@far>\r\n");
    assert_eq!(say(&mut client, "250 ok\r\n").0, "DATA\r\n");
    assert_eq!(say(&mut client, "354 go\r\n").1, Step::SendMessage);
    client.message_sent();
    client.lost("timed out");
    assert_eq!(classes(client), "w");
}

#[test]
fn a_server_that_wants_text_for_nobody_gets_an_empty_one() {
    let mut client = Client::new(plan(&["x@far"]));
    say(&mut client, "220 hi\r\n");
    say(&mut client, "250-far\r\n250 PIPELINING\r\n");
    assert_eq!(say(&mut client, "250 ok\r\n550 no\r\n354 go\r\n"), (".\r\n".into(), Step::Read));
    assert_eq!(say(&mut client, "554 no recipients\r\n"), ("QUIT\r\n".into(), Step::Done));
    assert_eq!(classes(client), "r");
}

#[test]
fn tls_is_used_where_offered_and_demanded_for_passwords() {
    let mut client = Client::new(plan(&["x@far"]));
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "250-far\r\n250 STARTTLS\r\n").0, "STARTTLS\r\n");
    assert_eq!(say(&mut client, "220 go\r\n250 injected\r\n").1, Step::StartTls);
    client.tls_started();
    assert_eq!(say(&mut client, "").0, "EHLO mx.test\r\n");
    assert_eq!(say(&mut client, "250 far\r\n").0, "MAIL FROM:<a@mx.test>\r\n");

    let mut with_password = plan(&["x@far"]);
    with_password.tls = TlsUse::Required;
    with_password.credentials = Some(Credentials { user: "u".into(), password: "p".into() });
    let mut client = Client::new(with_password.clone());
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "250-far\r\n250 AUTH PLAIN\r\n"), ("QUIT\r\n".into(), Step::Done));
    assert_eq!(classes(client), "w");

    with_password.tls = TlsUse::On;
    let mut client = Client::new(with_password);
    say(&mut client, "220 hi\r\n");
    assert_eq!(say(&mut client, "250-far\r\n250 AUTH LOGIN\r\n").0, "AUTH LOGIN\r\n");
    assert_eq!(say(&mut client, "334 VXNlcm5hbWU6\r\n").0, "dQ==\r\n");
    assert_eq!(say(&mut client, "334 UGFzc3dvcmQ6\r\n").0, "cA==\r\n");
    assert_eq!(say(&mut client, "535 5.7.8 wrong\r\n").1, Step::Done);
    assert_eq!(classes(client), "w");
}

#[test]
fn refusals_at_every_point_reach_the_recipients() {
    let ehlo = "250-far\r\n250-PIPELINING\r\n250 SIZE 500\r\n";
    for (replies, want) in [
        (&["554 no\r\n"][..], "r"),
        (&["421 busy\r\n"], "w"),
        (&["garbage\r\n"], "w"),
        (&["220 hi\r\n", ehlo], "r"),
        (&["220 hi\r\n", "250-far\r\n250 PIPELINING\r\n", "553 5.7.1 sender\r\n503 x\r\n503 y\r\n"], "r"),
        (&["220 hi\r\n", "250 far\r\n", "421 bye\r\n"], "w"),
        (&["220 hi\r\n", "250-far\r\n250 PIPELINING\r\n", "250 a\r\n250 b\r\n451 c\r\n"], "w"),
    ] {
        let mut client = Client::new(plan(&["x@far"]));
        let mut step = Step::Read;
        for reply in replies {
            step = say(&mut client, reply).1;
        }
        assert_eq!(step, Step::Done, "{replies:?}");
        assert_eq!(classes(client), want, "{replies:?}");
    }
}
