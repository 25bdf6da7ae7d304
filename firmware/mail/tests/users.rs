//! Users, domains and groups through the command line, against a running service.
#![allow(missing_docs, clippy::unwrap_used)]

mod house;

use std::path::{Path, PathBuf};

use house::{Client, House, IMAP, PASSWORD, POP3S};

/// Runs the command line of a shell: exit code, what it printed, what it complained of.
fn twinmail(house: &House, words: &[&str]) -> (i32, String, String) {
    let data = house.data.path().to_str().unwrap();
    let words: Vec<String> = words.iter().chain(&["--data", data]).map(|word| (*word).to_owned()).collect();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = admin::run_in_shell(&words, &mut out, &mut errors);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

/// A command that must succeed.
fn done(house: &House, words: &str) -> String {
    let (code, out, errors) = twinmail(house, &words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(code, 0, "{words}: {out}{errors}");
    out
}

fn file(house: &House, name: &str, bytes: &[u8]) -> PathBuf {
    let path = house.data.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn import(house: &House, path: &Path, flags: &[&str]) -> (i32, serde_json::Value) {
    let mut words = vec!["user", "import", path.to_str().unwrap(), "--json"];
    words.extend(flags);
    let (code, out, errors) = twinmail(house, &words);
    assert_eq!(errors, "");
    (code, serde_json::from_str(&out).unwrap())
}

/// Whether somebody gets in over POP3.
fn logs_in(house: &House, address: &str, password: &str) -> bool {
    let mut client = Client::secret(house.at(POP3S));
    client.line();
    client.ok(&format!("USER {address}"));
    client.send(format!("PASS {password}\r\n").as_bytes());
    client.line().starts_with("+OK")
}

#[test]
fn users_are_imported_with_a_line_for_each_bad_row() {
    let house = House::new("import.test");
    let text = "\u{feff}address,password,name,space,language\r\n\
                wang@import.test,password-one,王小明,2G,zh\r\n\
                not an address,password-two,,,\r\n\
                li@import.test,short,,,\r\n\
                zhao@elsewhere.test,password-four,,,\r\n\
                qian@import.test,password-five,\"Qian, A.\",much,\r\n\
                sun@import.test,,,,\r\n\
                alice@import.test,password-seven,Alice,,\r\n\
                zhou@import.test,password-eight,\"Zhou, \"\"B.\"\"\",none,en\r\n";
    let path = file(&house, "users.csv", text.as_bytes());
    let (code, dry) = import(&house, &path, &["--dry-run"]);
    assert_eq!(code, 1);
    assert_eq!((&dry["added"], &dry["skipped"], &dry["refused"]), (&2.into(), &1.into(), &5.into()));
    assert!(!logs_in(&house, "wang@import.test", "password-one"));
    let (_, real) = import(&house, &path, &[]);
    for counted in ["added", "skipped", "refused", "updated", "faults"] {
        assert_eq!(real[counted], dry[counted], "{counted}");
    }
    let faults: Vec<(u64, &str)> = real["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["line"].as_u64().unwrap(), fault["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        (3, "mail address"),
        (4, "8 characters"),
        (5, "no domain"),
        (6, "space cannot be much"),
        (7, "needs a password"),
    ];
    let mut sorted = faults.clone();
    sorted.sort_unstable();
    assert_eq!(sorted.len(), expected.len(), "{faults:?}");
    for ((line, reason), (expected_line, word)) in sorted.into_iter().zip(expected) {
        assert!(line == expected_line && reason.contains(word), "{line} {reason}");
    }
    assert!(logs_in(&house, "wang@import.test", "password-one"));
    assert!(logs_in(&house, "alice@import.test", PASSWORD), "who was there keeps the password");
    let (_, again) = import(&house, &path, &["--update"]);
    assert_eq!((&again["updated"], &again["added"]), (&3.into(), &0.into()));
    assert!(logs_in(&house, "alice@import.test", "password-seven"));
    let shown = done(&house, "user show wang@import.test --json");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["name"], &shown["quota_bytes"]), (&"王小明".into(), &(2_u64 << 30).into()));
    house.stop();
}

#[test]
fn what_one_service_exports_another_imports() {
    let house = House::new("export.test");
    let (chinese, _, _) = encoding_rs::GB18030
        .encode("地址,密码,姓名,转发\n张三@export.test,密码密码密码密码,张三,a@b.test;c@d.test\n");
    let path = file(&house, "gb18030.csv", &chinese);
    let (code, report) = import(&house, &path, &[]);
    assert_eq!((code, &report["added"]), (0, &1.into()), "{report}");
    done(
        &house,
        "user set alice@export.test --space 7M --messages none --protocols imap,pop3 --largest-message 1M",
    );
    done(&house, "user set alice@export.test --enabled on --mail-language zh --recipients-day 12");
    let (code, csv, _) = twinmail(&house, &["user", "export"]);
    assert_eq!(code, 0);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(!csv.contains("密码密码"), "no password in clear");
    let other = House::new("other.test");
    done(&other, "domain add export.test");
    let path = file(&other, "export.csv", csv.as_bytes());
    let (code, report) = import(&other, &path, &[]);
    assert_eq!((code, &report["added"]), (0, &2.into()), "{report}");
    let (_, again, _) = twinmail(&other, &["user", "export", "export.test"]);
    assert_eq!(again, csv);
    assert!(logs_in(&other, "alice@export.test", PASSWORD));
    assert!(logs_in(&other, "张三@export.test", "密码密码密码密码"));
    house.stop();
    other.stop();
}

#[test]
fn a_file_without_header_has_the_columns_in_order() {
    let house = House::new("plain.test");
    let mut text = String::new();
    for number in 0..700 {
        text += &format!("user{number}@plain.test,password-{number},,1M\n");
    }
    let path = file(&house, "plain.csv", text.as_bytes());
    let (code, report) = import(&house, &path, &[]);
    assert_eq!((code, &report["added"]), (0, &700.into()), "{report}");
    let listed = done(&house, "user list plain.test --prefix user69 --json");
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 11);
    assert_eq!(listed[0]["address"], "user690@plain.test");
    let listed = done(&house, "user list --after user698@plain.test --limit 1");
    assert!(
        listed.contains("user699@plain.test") && listed.contains("--after user699@plain.test"),
        "{listed}"
    );
    assert!(done(&house, "domain list --json").contains("\"accounts\":701"));
    let (code, _, errors) = twinmail(&house, &["user", "import", "/nonexistent.csv"]);
    assert_eq!(code, 2);
    assert!(errors.contains("/nonexistent.csv"), "{errors}");
    house.stop();
}

#[test]
fn a_user_is_warned_in_the_own_language_and_can_go_on_when_full() {
    let house = House::new("full.test");
    house.add("bob");
    done(&house, "user set bob@full.test --messages 5 --mail-language zh");
    done(&house, "domain set full.test --space 1M");
    let text = "From: <a@elsewhere.test>\nSubject: filler\n\nfiller\n";
    for _ in 0..4 {
        let mut client = house::smtp(&house);
        let reply = house::send(&mut client, "a@elsewhere.test", &["bob@full.test"], text);
        assert!(reply.starts_with("250"), "{reply}");
    }
    let warning = house.wait_for("bob", "Auto-Submitted: auto-generated");
    assert!(warning.contains("=?UTF-8?B?"), "{warning}");
    let text = warning.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "");
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("邮件 4 封，上限 5 封"));
    // 4 and the first warning make 5 of 5: the second one comes although there is no room.
    let begun = std::time::Instant::now();
    while house.inbox("bob").len() < 6 {
        assert!(begun.elapsed() < house::PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut client = house::smtp(&house);
    client.expect("250", "MAIL FROM:<a@elsewhere.test>");
    let refused = client.say("RCPT TO:<bob@full.test>");
    assert!(refused.starts_with("452") || refused.starts_with("552"), "{refused}");
    client.expect("250", "RCPT TO:<alice@full.test>");
    let mut sender = house::submission(&house, "bob");
    let reply = house::send(
        &mut sender,
        "bob@full.test",
        &["alice@full.test"],
        "From: <bob@full.test>\n\nI am full\n",
    );
    assert!(reply.starts_with("250"), "{reply}");
    house.wait_for("alice", "I am full");
    house.stop();
}

#[test]
fn a_domain_that_fills_up_tells_its_postmaster() {
    let house = House::new("domainfull.test");
    house.add("bob");
    done(&house, "domain set domainfull.test --space 4K");
    let text = format!(
        "From: <a@elsewhere.test>\nSubject: filler\n\n{}",
        "filler filler filler filler\n".repeat(110)
    );
    let mut client = house::smtp(&house);
    let reply = house::send(&mut client, "a@elsewhere.test", &["bob@domainfull.test"], &text);
    assert!(reply.starts_with("250"), "{reply}");
    // The account of set-up is the postmaster.
    let warning = house.wait_for("alice", "Auto-Submitted");
    assert!(warning.contains("From: <postmaster@domainfull.test>"), "{warning}");
    house.stop();
}

#[test]
fn a_domain_sends_no_faster_than_all_its_users_may_together() {
    let house = House::new("together.test");
    house.add("bob");
    done(&house, "domain set together.test --messages-hour 2 --recipients-day 50");
    assert!(done(&house, "domain show together.test").contains("Messages an hour, all users"));
    for name in ["alice", "bob"] {
        let mut client = house::submission(&house, name);
        let from = format!("{name}@together.test");
        let reply = house::send(&mut client, &from, &["alice@together.test"], "Subject: fits\n\nx\n");
        assert!(reply.starts_with("250"), "{reply}");
    }
    let mut client = house::submission(&house, "bob");
    client.expect("450 4.7.1", "MAIL FROM:<bob@together.test>");
    done(&house, "domain set together.test --messages-hour none");
    client.expect("250", "MAIL FROM:<bob@together.test>");
    house.stop();
}

#[test]
fn the_words_are_done_and_shown() {
    let house = House::new("words.test");
    house.add("bob");
    done(&house, "domain add 例子.test");
    assert!(done(&house, "domain show 例子.test").contains("xn--fsqu00a.test"));
    done(&house, "domain set words.test --catch-all alice@words.test --users 9 --user-largest-message 5M");
    let shown = done(&house, "domain show words.test");
    for word in ["2 / 9", "alice@words.test", "Largest message per user", "5.0 MiB"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    done(&house, "defaults set --messages-hour 100");
    assert!(done(&house, "defaults show").contains("100"));
    let shown = done(&house, "user show bob@words.test");
    assert!(shown.contains("5.0 MiB (default)") && shown.contains("100 (default)"), "{shown}");
    done(&house, "user forward bob@words.test x@y.test --keep off");
    assert!(done(&house, "user show bob@words.test").contains("x@y.test"));
    done(&house, "user forward bob@words.test");
    assert!(!done(&house, "user show bob@words.test").contains("x@y.test"));
    done(&house, "group add all@words.test bob@words.test alice@words.test --who members");
    done(&house, "group allow all@words.test @partner.test");
    let shown = done(&house, "group show all@words.test");
    for word in ["members", "@partner.test", "bob@words.test"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let password = done(&house, "app-password add bob@words.test phone --json");
    let password: serde_json::Value = serde_json::from_str(&password).unwrap();
    assert_eq!(password["password"].as_str().unwrap().len(), 31);
    assert!(done(&house, "app-password list bob@words.test").contains("never"));
    done(&house, "app-password remove bob@words.test phone");
    let (code, _, errors) = twinmail(&house, &["app-password", "remove", "bob@words.test", "phone"]);
    assert_eq!((code, errors.contains("no app password")), (1, true), "{errors}");
    let (code, _, errors) = twinmail(&house, &["user", "set", "nobody@words.test", "--name", "x"]);
    assert_eq!((code, errors.contains("no such account")), (1, true), "{errors}");
    house.stop();
}

#[test]
fn a_full_user_can_tidy_up_and_write_drafts_over_imap() {
    let house = House::new("tidy.test");
    let text = "From: <a@elsewhere.test>\nSubject: filler\n\nfiller\n";
    for _ in 0..2 {
        let mut client = house::smtp(&house);
        house::send(&mut client, "a@elsewhere.test", &["alice@tidy.test"], text);
    }
    done(&house, "user set alice@tidy.test --messages 2");
    let mut client = Client::new(house.at(IMAP));
    client.line();
    client.send(b"a STARTTLS\r\n");
    client.line();
    client.start_tls();
    let mut say = |command: &str| {
        client.send(format!("x {command}\r\n").as_bytes());
        loop {
            let line = client.line();
            if line.starts_with("x ") || line.starts_with("+ ") {
                return line;
            }
        }
    };
    assert!(say(&format!("LOGIN alice@tidy.test {PASSWORD}")).starts_with("x OK"));
    assert!(say("APPEND Drafts {14+}\r\nSubject: d\r\n\r\n").starts_with("x OK"));
    assert!(say("APPEND Sent {14+}\r\nSubject: s\r\n\r\n").contains("[OVERQUOTA]"));
    assert!(say("SELECT INBOX").starts_with("x OK"));
    assert!(say("COPY 1 Archive").contains("[OVERQUOTA]"));
    assert!(say("COPY 1 Trash").starts_with("x OK"));
    assert!(say("MOVE 2 Trash").starts_with("x OK"));
    assert!(say("STORE 1 +FLAGS (\\Deleted)").starts_with("x OK"));
    assert!(say("EXPUNGE").starts_with("x OK"));
    house.stop();
}
