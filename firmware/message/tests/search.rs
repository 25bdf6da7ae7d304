//! What tokens and plans say of a message is what a plain look at its texts says.

use message::{Needle, Piece, Structure, TextPlan, Verdict, each_piece, fold, tokens};
use proptest::prelude::*;

/// The rule itself, without an index.
fn holds(raw: &[u8], needle: &Needle, field: Option<&str>, header: bool) -> bool {
    let mut found = false;
    each_piece(raw, &Structure::of(raw), &mut |piece| {
        found |= match (piece, field) {
            (Piece::Field { name, value }, Some(wanted)) => {
                name.eq_ignore_ascii_case(wanted) && needle.is_in(&fold(value))
            }
            (Piece::Field { name, value }, None) => {
                header && needle.is_in(&fold(&format!("{name}: {value}")))
            }
            (Piece::Body(text), None) => needle.is_in(&fold(text)),
            (Piece::Body(_), Some(_)) => false,
        };
        !found
    });
    found
}

fn check(raw: &[u8], text: &str) {
    let needle = Needle::new(text);
    let tokens = tokens(raw, &Structure::of(raw));
    let judge = |plan: TextPlan, is_held: bool, what: &str| {
        let allowed: &[Verdict] =
            if is_held { &[Verdict::Yes, Verdict::Look] } else { &[Verdict::No, Verdict::Look] };
        let verdict = plan.judge(&tokens);
        let raw = String::from_utf8_lossy(raw);
        assert!(allowed.contains(&verdict), "{what} {text:?}: {verdict:?}, held: {is_held}\n{tokens}\n{raw}");
    };
    judge(TextPlan::body(&needle), holds(raw, &needle, None, false), "BODY");
    judge(TextPlan::anywhere(&needle), holds(raw, &needle, None, true), "TEXT");
    for name in ["Subject", "FROM", "cc", "X-Id", "Received"] {
        judge(TextPlan::field(name, &needle), holds(raw, &needle, Some(name), false), name);
    }
}

/// Letters of every class, few of each, so that texts meet often.
fn letters() -> impl Strategy<Value = String> {
    let alphabet = "aAbéE\u{301}ß1２ \t-_.,你好吗ｶがかナ한글하\u{1112}\u{1161}\u{11ab}กข😀👍Ωςǅ";
    proptest::collection::vec(proptest::sample::select(alphabet.chars().collect::<Vec<_>>()), 0..60)
        .prop_map(|letters| letters.into_iter().collect())
}

fn words() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ab]{1,4}( [ab]{1,4}){0,6}|[abc]{20,90}").expect("a pattern")
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![letters(), words(), (letters(), words()).prop_map(|(one, other)| one + &other)]
}

/// A piece of one of the texts, or anything.
fn needle(texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts {
        let letters: Vec<char> = text.chars().collect();
        for (start, length) in [(0, 1), (0, 40), (1, 2), (2, 3), (3, 5), (1, 16), (2, 17), (4, 30), (7, 2)] {
            found.push(letters.iter().skip(start).take(length).collect::<String>());
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn tokens_say_what_a_look_says(
        subject in text(), other in text(), body in text(), html in text(), stray in text(), cut in any::<u8>(),
    ) {
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &body);
        let raw = format!(
            "Subject: {subject}\r\nX-Id: {other}\r\nFrom: {stray} <a@b.test>\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n\
             --q\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n\
             --q\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{html}</p>\r\n\
             --q\r\nContent-Disposition: attachment; filename=\"{other}\"\r\nContent-Type: application/x\r\n\r\nx\r\n\
             --q\r\nContent-Type: message/rfc822\r\n\r\nSubject: {stray}\r\n\r\n{other}\r\n--q--"
        );
        for needle in needle(&[&subject, &other, &body, &html, &stray]) {
            check(raw.as_bytes(), &needle);
        }
        check(raw.as_bytes(), "subject: ");
        check(raw.as_bytes(), "x-id");
        // Charsets that lie: any bytes where UTF-8 is promised.
        let mut broken = raw.into_bytes();
        let at = usize::from(cut) % broken.len();
        broken.remove(at);
        for needle in needle(&[&subject, &body]) {
            check(&broken, &needle);
        }
    }
}
