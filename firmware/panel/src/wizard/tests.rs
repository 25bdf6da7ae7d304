use super::*;
use control::cluster::LunContent;

fn type_text(wizard: &mut Wizard, text: &str, now_ms: u64) -> String {
    for c in text.chars() {
        wizard.key(if c == '\r' { Key::Enter } else { Key::Char(c) }, now_ms);
    }
    wizard.take_output()
}

fn offer() -> News {
    News::Setup(SetupState::Offered {
        by: "mail-a".into(),
        suggested_name: "mail-b".into(),
        suggested_public: Interface { addresses: vec!["10.77.0.12/24".into()], ..Interface::default() },
    })
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn the_language_is_one_key_and_everything_after_it_speaks_it() {
    let mut wizard = Wizard::new();
    assert_eq!(last_line(&wizard.take_output()), LANGUAGE_PROMPT);
    assert_eq!(last_line(&type_text(&mut wizard, "x", 0)), LANGUAGE_PROMPT);
    let said = type_text(&mut wizard, "2", 0);
    assert_eq!(last_line(&said), "[1/6] 机器名称 [twinmail-a]: ");
    assert_eq!(wizard.language(), Language::Zh);
    wizard.key(Key::Escape, 0);
    assert_eq!(last_line(&wizard.take_output()), LANGUAGE_PROMPT);
}

#[test]
fn an_offer_after_something_was_typed_leaves_the_choice_to_the_administrator() {
    let mut wizard = Wizard::new();
    type_text(&mut wizard, "1mail-x", 0);
    wizard.news(&offer(), 0);
    let said = wizard.take_output();
    assert!(said.contains("Type \"join\" to join it instead.\n[1/6] Box name [twinmail-a]: "), "{said}");
    wizard.news(&offer(), 300);
    assert_eq!(wizard.take_output(), "");
    assert_eq!(last_line(&type_text(&mut wizard, "join\r", 0)), "[1/2] Box name [mail-b]: ");
    assert_eq!(last_line(&type_text(&mut wizard, "first\r", 0)), "[1/6] Box name [twinmail-a]: ");
}

#[test]
fn lost_settings_are_told_before_the_first_question_and_once() {
    let mut wizard = Wizard::new();
    wizard.take_output();
    let damaged = News::Setup(SetupState::Damaged { reason: "no copy is whole".into() });
    wizard.news(&damaged, 0);
    let said = wizard.take_output();
    assert!(said.contains("error: no copy is whole\n"), "{said}");
    assert_eq!(last_line(&said), LANGUAGE_PROMPT);
    wizard.news(&damaged, 300);
    assert_eq!(wizard.take_output(), "");
    type_text(&mut wizard, "1", 400);
    wizard.news(&damaged, 600);
    assert_eq!(wizard.take_output(), "", "nobody is interrupted");
}

#[test]
fn join_without_an_offer_is_explained() {
    let mut wizard = Wizard::new();
    let said = type_text(&mut wizard, "1join\r", 0);
    assert!(said.contains("error: no configured box is on the serial cable now\n[1/6] Box name"), "{said}");
}

#[test]
fn a_lun_of_an_old_pair_is_taken_over_only_on_request() {
    let mut wizard = Wizard::new();
    type_text(&mut wizard, "1\r10.77.0.11/24\r\r\r10.77.0.10\r", 0);
    let lun = Lun {
        id: "naa.5".into(),
        device: "/dev/sda".into(),
        model: "IET".into(),
        size_bytes: 4 << 30,
        content: LunContent::Twinmail { pair: "0badcafe".into() },
    };
    wizard.news(&News::Luns(Ok(vec![lun])), 0);
    wizard.take_output();
    let said = type_text(&mut wizard, "\r", 0);
    assert!(said.contains("of the pair 0badcafe") && said.ends_with("(yes or no) [no]: "), "{said}");
    assert_eq!(last_line(&type_text(&mut wizard, "\r", 0)), "[4/6] LUN [1]: ");
    let said = type_text(&mut wizard, "1\ryes\rexample.test\rtwinmail-admin\rtwinmail-admin\r", 0);
    assert!(said.contains("its mail is kept"), "{said}");
    type_text(&mut wizard, "\r", 0);
    let actions: Vec<_> = std::iter::from_fn(|| wizard.take_action()).collect();
    assert!(matches!(&actions[..], [Action::Luns, Action::First(answers)] if !answers.format));
}

#[test]
fn a_failure_of_the_try_before_is_not_taken_for_this_one() {
    let mut wizard = Wizard::new();
    wizard.news(&offer(), 0);
    type_text(&mut wizard, "1\r\r\r", 0);
    let failed = News::Setup(SetupState::Failed { reason: "no answer on the cable".into() });
    wizard.news(&failed, 100);
    wizard.news(&News::SetupTaken(Ok(())), 200);
    wizard.news(&failed, 300);
    assert_eq!(wizard.take_output(), "");
    wizard.news(&failed, 2_500);
    let said = wizard.take_output();
    assert!(said.starts_with("error: no answer on the cable\n"), "{said}");
    assert!(said.ends_with("Join the pair, or 1 to 2 to change an answer [yes]: "), "{said}");
}

#[test]
fn a_set_up_that_never_begins_or_never_ends_is_given_back() {
    for begun in [false, true] {
        let mut wizard = Wizard::new();
        wizard.news(&offer(), 0);
        type_text(&mut wizard, "1\r\r\r", 0);
        if begun {
            wizard.news(&News::Setup(SetupState::Working { step: "asking".into() }), 100);
        }
        let mut said = String::new();
        for now_ms in (0..700_000).step_by(1_000) {
            wizard.tick(now_ms);
            said.push_str(&wizard.take_output());
        }
        assert!(said.contains("error: ") && said.ends_with("an answer [yes]: "), "{said}");
        assert_eq!(said.contains("Still working after 46 s: asking"), begun, "{said}");
    }
}

#[test]
fn refused_answers_come_back_to_the_summary() {
    let mut wizard = Wizard::new();
    wizard.news(&offer(), 0);
    type_text(&mut wizard, "1\r\r\r", 0);
    wizard.news(&News::SetupTaken(Err("the name is taken\u{1b}[2J".into())), 50);
    let said = wizard.take_output();
    assert!(said.starts_with("error: the name is taken [2J\n"), "{said:?}");
    let said = type_text(&mut wizard, "1\rmail-c\r", 60);
    assert!(said.ends_with("Join the pair, or 1 to 2 to change an answer [yes]: "), "{said}");
}
