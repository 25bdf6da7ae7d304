//! The vectors of the standards, both sides against each other, and what must be refused.

use std::num::NonZeroU32;

use proptest::prelude::*;

use crate::*;

const SALT: &[u8] =
    &[0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];

fn iterations(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn bound() -> Context {
    let binding = ChannelBinding { tls_exporter: Some([7; 32]), tls_server_end_point: Some(vec![9; 48]) };
    Context { binding }
}

/// RFC 7677 section 3.
#[test]
fn the_exchange_of_the_standard() {
    let stored = Stored::derive("pencil", SALT, iterations(4096));
    let (mut server, step) = Exchange::begin(
        Mechanism::ScramSha256,
        Context::default(),
        Some(&encode(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")),
    );
    assert_eq!(step, Step::Lookup { user: "user".into() });
    let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(
        server.stored_with(stored, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
        Step::Challenge(challenge.as_bytes().to_vec())
    );
    let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(
        server.line(encode(proof.as_bytes()).as_bytes()),
        Step::Verify(Claim::Proof { user: "user".into(), pair: Some(0) })
    );
    let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(server.accept(7), Step::Challenge(signature.to_vec()));
    assert_eq!(server.line(b""), Step::Done(7));

    let mut client = Client::with_nonce(
        Mechanism::ScramSha256,
        "user",
        "pencil",
        &ChannelBinding::default(),
        "rOprNGfwEbeRWgbNEkqO".into(),
    );
    assert_eq!(client.initial().unwrap(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(client.challenge(&encode(challenge.as_bytes())).unwrap(), proof.as_bytes());
    assert!(!client.is_done());
    assert_eq!(client.challenge(&encode(signature)).unwrap(), b"");
    assert!(client.is_done());
}

/// How an exchange of both our sides ended.
fn run(
    mechanism: Mechanism,
    server: Context,
    client: &ChannelBinding,
    stored: &Stored,
    user: &str,
    password: &str,
) -> Result<u32, String> {
    let mut client = Client::new(mechanism, user, password, client).unwrap();
    let initial = client.initial().map(|text| encode(&text));
    let (mut exchange, mut step) = Exchange::begin(mechanism, server, initial.as_deref());
    loop {
        step = match step {
            Step::Challenge(challenge) => {
                let line = client.challenge(&encode(&challenge)).map_err(|error| error.to_string())?;
                exchange.line(encode(&line).as_bytes())
            }
            Step::Lookup { .. } => exchange.stored(stored.clone()),
            Step::Verify(Claim::Password { user: u, password: p }) => {
                if (u.as_str(), p.as_str()) == (user, "p w") {
                    exchange.accept(1)
                } else {
                    return Err("wrong".into());
                }
            }
            Step::Verify(Claim::Proof { pair: Some(pair), .. }) => exchange.accept(pair as u32 + 1),
            Step::Verify(Claim::Proof { pair: None, .. }) => return Err("wrong".into()),
            Step::Done(account) => {
                assert!(client.is_done());
                return Ok(account);
            }
            Step::Failed(failure) => return Err(failure.to_string()),
        };
    }
}

#[test]
fn both_sides_of_every_mechanism() {
    let stored = Stored::derive("p w", SALT, iterations(10));
    for mechanism in Mechanism::ALL {
        let run = |server: Context, password| {
            // A client that can bind and is asked not to has found out about a downgrade.
            let none = ChannelBinding::default();
            let plus = mechanism == Mechanism::ScramSha256Plus;
            let seen = if plus { server.binding.clone() } else { none };
            run(mechanism, server, &seen, &stored, "a,b=c@x.test", password)
        };
        assert_eq!(run(bound(), "p w"), Ok(1), "{mechanism:?}");
        assert_eq!(run(bound(), "p v"), Err("wrong".into()), "{mechanism:?}");
        let end_point =
            ChannelBinding { tls_server_end_point: Some(vec![1; 32]), ..ChannelBinding::default() };
        assert_eq!(run(Context { binding: end_point }, "p w"), Ok(1), "{mechanism:?}");
    }
}

#[test]
fn who_stands_in_between_is_found() {
    let stored = Stored::derive("p w", SALT, iterations(10));
    let other = ChannelBinding { tls_exporter: Some([8; 32]), tls_server_end_point: None };
    let not_bound = Err(Failure::Binding.to_string());
    assert_eq!(run(Mechanism::ScramSha256Plus, bound(), &other, &stored, "u", "p w"), not_bound);
    // -PLUS was struck out of the list on its way.
    assert_eq!(run(Mechanism::ScramSha256, bound(), &other, &stored, "u", "p w"), not_bound);
    assert_eq!(run(Mechanism::ScramSha256, bound(), &ChannelBinding::default(), &stored, "u", "p w"), Ok(1));
    // A server without a binding cannot tell, and does not have to.
    assert_eq!(run(Mechanism::ScramSha256, Context::default(), &other, &stored, "u", "p w"), Ok(1));
}

#[test]
fn several_passwords_under_one_salt() {
    let mut stored = Stored::derive("first", SALT, iterations(10));
    stored.pairs.push(KeyPair::derive("second", SALT, iterations(10)));
    let none = ChannelBinding::default();
    let run = |password| run(Mechanism::ScramSha256, Context::default(), &none, &stored, "u", password);
    assert_eq!(run("first"), Ok(1));
    assert_eq!(run("second"), Ok(2));
    assert_eq!(run("third"), Err("wrong".into()));
    assert_eq!(Stored::parse(&stored.to_string()).unwrap(), stored);
}

#[test]
fn an_unknown_user_looks_like_a_known_one() {
    let one = Stored::simulated(b"secret", "Nobody@x.test", 4096);
    assert_eq!(one, Stored::simulated(b"secret", "nobody@x.test", 4096));
    assert_ne!(one.salt, Stored::simulated(b"secret", "other@x.test", 4096).salt);
    assert_ne!(one.salt, Stored::simulated(b"another", "nobody@x.test", 4096).salt);
    let none = ChannelBinding::default();
    assert_eq!(
        run(Mechanism::ScramSha256, Context::default(), &none, &one, "nobody@x.test", "guess"),
        Err("wrong".into())
    );
}

#[test]
fn the_shell_cannot_accept_a_wrong_proof() {
    let (mut exchange, _) =
        Exchange::begin(Mechanism::ScramSha256, Context::default(), Some(&encode(b"n,,n=u,r=abc")));
    exchange.stored_with(Stored::simulated(b"s", "u", 4096), "def");
    let proof = format!("c=biws,r=abcdef,p={}", encode(&[0; 32]));
    let step = exchange.line(encode(proof.as_bytes()).as_bytes());
    assert_eq!(step, Step::Verify(Claim::Proof { user: "u".into(), pair: None }));
    assert_eq!(exchange.accept(1), Step::Failed(Failure::Malformed));
}

#[test]
fn what_is_refused_at_once() {
    let plus = Mechanism::ScramSha256Plus;
    let scram = Mechanism::ScramSha256;
    for (mechanism, response, want) in [
        (Mechanism::Plain, "bob\0alice\0secret", Failure::ActsForAnother),
        (Mechanism::Plain, "alice\0secret", Failure::Malformed),
        (Mechanism::Plain, "\0a\0b\0c", Failure::Malformed),
        (Mechanism::Plain, "\0\0c", Failure::Malformed),
        (Mechanism::Plain, "\0a\0", Failure::Malformed),
        (Mechanism::Plain, "", Failure::Malformed),
        (Mechanism::Login, "", Failure::Malformed),
        (scram, "n,a=bob,n=alice,r=abc", Failure::ActsForAnother),
        (scram, "n,,m=x,n=alice,r=abc", Failure::Malformed),
        (scram, "n,,n=al=ice,r=abc", Failure::Malformed),
        (scram, "n,,n=,r=abc", Failure::Malformed),
        (scram, "n,,n=u", Failure::Malformed),
        (scram, "n,,n=u,r=", Failure::Malformed),
        (scram, "n,,n=u,r=a b", Failure::Malformed),
        (scram, "p=tls-exporter,,n=u,r=abc", Failure::Malformed),
        (scram, "y,,n=u,r=abc", Failure::Binding),
        (plus, "n,,n=u,r=abc", Failure::Malformed),
        (plus, "y,,n=u,r=abc", Failure::Malformed),
        (plus, "p=tls-unique,,n=u,r=abc", Failure::Binding),
    ] {
        let (_, step) = Exchange::<()>::begin(mechanism, bound(), Some(&encode(response.as_bytes())));
        assert_eq!(step, Step::Failed(want), "{mechanism:?} {response:?}");
    }
    for (line, want) in [
        ("*".to_owned(), Failure::Cancelled),
        ("!!!".to_owned(), Failure::NotBase64),
        ("A".repeat(LINE_MAX_BYTES + 1), Failure::NotBase64),
        (encode(&[0xff, 0, b'u', 0, b'p']), Failure::Malformed),
        (String::new(), Failure::Malformed),
    ] {
        let (mut exchange, step) = Exchange::<()>::begin(Mechanism::Plain, bound(), None);
        assert_eq!(step, Step::Challenge(Vec::new()));
        assert_eq!(exchange.line(line.as_bytes()), Step::Failed(want));
        assert_eq!(exchange.line(b""), Step::Failed(Failure::Malformed));
    }
    let (_, step) = Exchange::<()>::begin(Mechanism::Plain, bound(), Some("="));
    assert_eq!(step, Step::Failed(Failure::Malformed));
}

#[test]
fn login_asks_twice() {
    let (mut exchange, step) = Exchange::begin(Mechanism::Login, Context::default(), None);
    assert_eq!(step, Step::Challenge(b"Username:".to_vec()));
    assert_eq!(exchange.line(encode(b"u").as_bytes()), Step::Challenge(b"Password:".to_vec()));
    let claim = Claim::Password { user: "u".into(), password: "p".into() };
    assert_eq!(exchange.line(encode(b"p").as_bytes()), Step::Verify(claim));
    assert_eq!(exchange.accept(3), Step::Done(3));
}

#[test]
fn only_what_works_is_offered() {
    assert_eq!(Offer::all(&bound()).to_string(), "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
    let plain = Offer::all(&Context::default());
    assert_eq!(plain.find("scram-sha-256-plus"), None);
    assert_eq!(plain.find("Scram-Sha-256"), Some(Mechanism::ScramSha256));
    let choose = |offered: &str, binding: &ChannelBinding| Client::choose(offered.split(' '), binding);
    assert_eq!(choose("LOGIN plain", &bound().binding), Some(Mechanism::Plain));
    let all = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN";
    assert_eq!(choose(all, &bound().binding), Some(Mechanism::ScramSha256Plus));
    assert_eq!(choose(all, &ChannelBinding::default()), Some(Mechanism::ScramSha256));
    assert_eq!(choose("CRAM-MD5", &bound().binding), None);
}

#[test]
fn a_client_does_not_trust_its_server() {
    let start = || {
        let mut client =
            Client::with_nonce(Mechanism::ScramSha256, "u", "p", &ChannelBinding::default(), "abc".into());
        client.initial();
        client
    };
    for (challenge, want) in [
        ("r=abc,s=AAAA,i=4096", ClientError::Malformed),
        ("r=xbcdef,s=AAAA,i=4096", ClientError::Malformed),
        ("r=abcdef,s=AAAA,i=0", ClientError::Malformed),
        ("r=abcdef,s=AAAA,i=4000000000", ClientError::TooMuchWork),
        ("", ClientError::Malformed),
    ] {
        assert_eq!(start().challenge(&encode(challenge.as_bytes())), Err(want), "{challenge}");
    }
    let mut client = start();
    client.challenge(&encode(b"r=abcdef,s=AAAA,i=10")).unwrap();
    let lie = format!("v={}", encode(&[0; 32]));
    assert_eq!(client.challenge(&encode(lie.as_bytes())), Err(ClientError::WrongServer));
    assert!(!client.is_done());
}

#[test]
fn passwords_have_one_spelling() {
    // RFC 4013 section 3, and what it forbids.
    assert_eq!(prepare_password("I\u{ad}X"), "IX");
    assert_eq!(prepare_password("\u{2168}"), "IX");
    assert_eq!(prepare_password("a\u{a0}b"), "a b");
    assert_eq!(prepare_password("\u{1f600}pass"), "\u{1f600}pass");
    assert_eq!(prepare_password("\u{ad}"), "\u{ad}");
}

#[test]
fn damaged_records_are_no_records() {
    for text in ["", "0$AAAA$AA$AA", "10$AAAA", "10$AAAA$AAAA$AAAA", "x$AAAA$$", "10$$$"] {
        assert_eq!(Stored::parse(text), Err(StoredFormatError), "{text}");
    }
}

proptest! {
    #[test]
    fn no_line_is_too_strange(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6), which in 0_usize..4) {
        let mechanism = Mechanism::ALL[which];
        let (mut exchange, mut step) = Exchange::<u8>::begin(mechanism, bound(), None);
        for line in lines {
            step = match step {
                Step::Lookup { user } => exchange.stored(Stored::simulated(b"s", &user, 1)),
                Step::Verify(Claim::Password { .. }) => exchange.accept(1),
                Step::Verify(Claim::Proof { pair, .. }) => {
                    prop_assert_eq!(pair, None);
                    exchange.accept(1)
                }
                _ => exchange.line(encode(&line).as_bytes()),
            };
        }
    }

    #[test]
    fn any_user_and_password_work(user in "[^\0]{1,40}", password in "[^\0]{1,40}") {
        let stored = Stored::derive(&password, SALT, iterations(2));
        let none = ChannelBinding::default();
        prop_assert_eq!(
            run(Mechanism::ScramSha256, Context::default(), &none, &stored, &user, &password),
            Ok(1)
        );
    }
}
