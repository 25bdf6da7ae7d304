//! Any bytes have a summary, and the summary is IMAP syntax.

use message::{SectionSpec, SectionText, Structure, Summary, SummaryView, section};
use proptest::prelude::*;

/// Reads one IMAP item; returns what follows it. Panics on anything RFC 3501 does not allow.
fn item(text: &[u8]) -> &[u8] {
    match text[0] {
        b'(' => {
            let mut rest = &text[1..];
            assert_ne!(rest[0], b')', "empty list");
            while rest[0] != b')' {
                rest = item(rest);
                // Lists of addresses and of bodies have no blank between their members.
                if rest[0] == b' ' {
                    rest = &rest[1..];
                    assert!(!matches!(rest[0], b')' | b' '), "stray blank");
                } else {
                    assert!(matches!(rest[0], b')' | b'('), "items run together");
                }
            }
            &rest[1..]
        }
        b'"' => {
            let mut at = 1;
            while text[at] != b'"' {
                assert!(text[at].is_ascii() && !matches!(text[at], b'\r' | b'\n' | 0), "not quotable");
                at += if text[at] == b'\\' { 2 } else { 1 };
            }
            &text[at + 1..]
        }
        b'{' => {
            let close = text.iter().position(|byte| *byte == b'}').expect("a brace");
            let length: usize = String::from_utf8_lossy(&text[1..close]).parse().expect("a length");
            assert_eq!(&text[close + 1..close + 3], b"\r\n");
            let content = &text[close + 3..close + 3 + length];
            assert!(!content.contains(&0), "NUL in a literal");
            &text[close + 3 + length..]
        }
        b'N' => text.strip_prefix(b"NIL").expect("NIL"),
        digit => {
            assert!(digit.is_ascii_digit(), "unexpected {digit}");
            &text[text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())..]
        }
    }
}

fn check(raw: &[u8]) {
    let summary = Summary::of(raw);
    for text in [&summary.envelope, &summary.body_structure, &summary.body()] {
        assert!(item(text).is_empty(), "something after the end: {:?}", String::from_utf8_lossy(text));
    }
    let bytes = summary.encode();
    let view = SummaryView::parse(&bytes).expect("own format");
    assert_eq!(view.structure().as_ref(), Some(&summary.structure));
    assert_eq!(view.sort_keys(), summary.sort);
    assert_eq!(view.thread_keys(), summary.thread);
    // Header and text are the whole message, whatever it is.
    let cut = |text| section(raw, &summary.structure, &SectionSpec { part: Vec::new(), text }).expect("root");
    assert_eq!([cut(SectionText::Header), cut(SectionText::Text)].concat(), raw);
    message::tokens(raw, &summary.structure);
    // A stored structure that does not belong to the bytes must not hurt.
    let other = Structure::of(b"\r\n");
    section(b"", &summary.structure, &SectionSpec { part: vec![1], text: SectionText::All });
    section(raw, &other, &SectionSpec { part: vec![1], text: SectionText::Mime });
}

/// Pieces that hostile mail is made of.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        &b"\r\n"[..],
        b"\n",
        b"\r\n\r\n",
        b"\r",
        b"\0",
        b"--x",
        b"--x--",
        b"--",
        b"x",
        b" ",
        b"\t",
        b";",
        b"\"",
        b"\\",
        b"(",
        b")",
        b"<",
        b">",
        b"@",
        b":",
        b",",
        b"=",
        b"?=",
        b"=?utf-8?B?",
        b"=?x?Q?",
        b"*0*=",
        b"%E4",
        b"{3}",
        b"&#",
        b"From: ",
        b"To: ",
        b"Subject: ",
        b"Date: ",
        b"References: ",
        b"Content-Type: ",
        b"multipart/mixed; boundary=x",
        b"multipart/digest; boundary=\"x\"",
        b"message/rfc822",
        b"text/html; charset=gb2312",
        b"Content-Disposition: ",
        b"Content-Transfer-Encoding: base64",
        b"attachment; filename*0=",
        b"\xff",
        "你".as_bytes(),
        b"<style",
    ]);
    let known = known.prop_map(<[u8]>::to_vec);
    let any = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec(prop_oneof![9 => known, 1 => any], 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_a_valid_summary(raw in pieces()) {
        check(&raw);
    }
}

#[test]
fn bombs_have_a_valid_summary_in_bounded_size() {
    let mut deep = Vec::new();
    for level in 0..1_000 {
        deep.extend(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n").bytes(),
        );
    }
    check(&deep);
    check(&b"Content-Type: message/rfc822\r\n\r\n".repeat(2_000));
    check(&b"X: y\r\n".repeat(100_000));
    let late = [&b"X: y\r\n".repeat(100_000)[..], b"Subject: late\r\n\r\n"].concat();
    assert!(Summary::of(&late).envelope.starts_with(b"(NIL \"late\" "), "the last of many fields counts");
    check(&[b"Subject: ", &b"\xe9".repeat(5_000_000)[..]].concat());
    check(&[b"To: ", &b"(".repeat(1_000_000)[..]].concat());
    check(&[b"To: ", &b"a@b, ".repeat(200_000)[..]].concat());
    let flood: Vec<String> = (0..100_000).map(|number| format!("; name*{number}*=%41")).collect();
    let flood = flood.concat();
    check(format!("Content-Type: text/plain{flood}\r\n\r\n").as_bytes());
    let mut wide = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_vec();
    let parameters: Vec<String> = (0..50).map(|number| format!("; p{number}={}", "v".repeat(200))).collect();
    let parameters = parameters.concat();
    for _ in 0..2_000 {
        wide.extend(format!("--x\r\nContent-Type: text/plain{parameters}\r\n\r\nx\r\n").bytes());
    }
    check(&wide);
    assert!(Summary::of(&wide).body_structure.len() < 1024 * 1024);
}
