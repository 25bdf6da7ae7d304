//! The command line against services that answer on real sockets.

#![allow(clippy::unwrap_used)]

use std::io::BufReader;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use admin::{EXIT_NOT_RUNNING, EXIT_REFUSED, EXIT_USAGE, Language, Sockets};
use control::cluster::{self, Group, Peer, Role, Status, Timing};
use control::{directory, init, mail, wire};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Listens on `socket` and answers every request with what `answer` says.
fn serve<Q: DeserializeOwned, R: Serialize>(socket: &Path, answer: impl Fn(Q) -> R + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Ok(request) = wire::read_line(&mut BufReader::new(&stream)) else { continue };
            let _sent = wire::write_line(&mut stream, &answer(request));
        }
    });
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn run(text: &str, sockets: &Sockets, language: Language, password: Option<&str>) -> (i32, String) {
    let mut out = Vec::new();
    let code = admin::run_as(&words(text), sockets, language, password.map(str::to_owned), &mut out);
    (code, String::from_utf8(out).unwrap())
}

fn status(role: Role, holder: &str) -> Status {
    Status {
        box_name: "mail-a".into(),
        node: "a".into(),
        version: "0.1.0".into(),
        uptime_ms: 65_000,
        maintenance: false,
        peer: Peer { box_name: "mail-b".into(), alive: true, ready: true, not_ready_reason: None },
        groups: vec![Group {
            name: "mail".into(),
            role,
            step: None,
            epoch: 7,
            holder: holder.into(),
            holder_age_ms: Some(300),
            lease_left_ms: None,
            addresses: vec!["192.0.2.10/24".into()],
            addresses_here: role == Role::Active,
            preferred: None,
            fail_back: false,
            last_takeover: None,
        }],
        media: vec![],
        services: vec![],
        alarms: vec![],
        timing: Timing::default(),
        readiness: control::telling::Readiness::default(),
        peer_readiness: None,
    }
}

#[test]
fn the_standby_names_the_box_where_mail_is_administered() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    serve(&sockets.cluster, |_: cluster::Request| {
        cluster::Reply::Status(Box::new(status(Role::Standby, "mail-b")))
    });
    let (code, said) = run("account list", &sockets, Language::En, None);
    assert_eq!(code, EXIT_NOT_RUNNING);
    assert_eq!(said, "error: the mail service runs on mail-b; give the command there\n");
    let (_, said) = run("account list --json", &sockets, Language::En, None);
    assert_eq!(said, "{\"error\":\"the mail service runs on mail-b; give the command there\"}\n");
    let (_, said) = run("account list --language zh", &sockets, Language::En, None);
    assert_eq!(said, "错误：邮件服务运行在 mail-b 上；请在那台机器上执行此命令\n");
}

#[test]
fn with_nobody_holding_the_group_no_box_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    serve(&sockets.cluster, |_: cluster::Request| {
        cluster::Reply::Status(Box::new(status(Role::Standby, "nobody")))
    });
    let (code, said) = run("queue list", &sockets, Language::En, None);
    assert_eq!(
        (code, said.as_str()),
        (EXIT_NOT_RUNNING, "error: no box serves mail now; `status` says why\n")
    );
}

#[test]
fn a_service_that_is_not_there_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    let (code, said) = run("status", &sockets, Language::En, None);
    assert_eq!(code, EXIT_NOT_RUNNING);
    assert!(said.contains("the cluster service is not running"), "{said}");
    let (code, said) = run("power off", &sockets, Language::En, None);
    assert_eq!(code, EXIT_NOT_RUNNING);
    assert!(said.contains("init does not answer"), "{said}");
}

#[test]
fn accounts_are_added_with_the_password_given_beside_the_words() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seen_there = Arc::clone(&seen);
    serve(&sockets.mail, move |request: mail::Request| {
        seen_there.lock().unwrap().push(request);
        mail::Reply::Done
    });
    assert!(admin::wants_password(&words("twinmail account add a@example.test")));
    let (code, said) = run("account add a@example.test --quota 2G", &sockets, Language::En, Some("secret-1"));
    assert_eq!((code, said.as_str()), (0, "done\n"));
    let (code, said) =
        run("account password a@example.test --json", &sockets, Language::En, Some("secret-2"));
    assert_eq!((code, said.as_str()), (0, "{\"done\":true}\n"));
    let (code, said) = run("account add b@example.test", &sockets, Language::En, None);
    assert_eq!(code, EXIT_USAGE);
    assert!(said.starts_with("error: a password is needed"), "{said}");
    let address = "a@example.test".to_owned();
    let limits = directory::Limits::from([(directory::LimitName::Space, directory::Limit::AtMost(2 << 30))]);
    let added = mail::Request::Directory(directory::Request::UserAdd {
        address: address.clone(),
        password: "secret-1".into(),
        settings: directory::UserChange { limits, ..directory::UserChange::default() },
    });
    let changed = mail::Request::AccountPassword { address, password: "secret-2".into() };
    assert_eq!(*seen.lock().unwrap(), [added, changed]);
}

/// What the words ask of the mail service.
fn asked(text: &str) -> directory::Request {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seen_there = Arc::clone(&seen);
    serve(&sockets.mail, move |request: mail::Request| {
        seen_there.lock().unwrap().push(request);
        mail::Reply::Done
    });
    run(text, &sockets, Language::En, None);
    let mut seen = seen.lock().unwrap();
    match seen.pop() {
        Some(mail::Request::Directory(request)) => request,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_words_about_users_and_domains_say_what_changes_and_nothing_else() {
    use directory::{
        DomainChange, GroupChange, Limit, LimitName, Page, Protocol, Request, UserChange, WhoMaySend,
    };
    let words = "domain set b.test --space 500G --users none --protocols imap,pop3 --plus off --catch-all none \
                 --user-space 1G --user-messages-day 200 --messages-hour 5000 --mail-language zh --enabled on";
    let change = DomainChange {
        enabled: Some(true),
        space: Some(Limit::AtMost(500 << 30)),
        users: Some(Limit::None),
        protocols: Some(vec![Protocol::Imap, Protocol::Pop3]),
        plus_addressing: Some(false),
        language: Some("zh".into()),
        catch_all: Some(String::new()),
        defaults: [(LimitName::Space, Limit::AtMost(1 << 30)), (LimitName::MessagesDay, Limit::AtMost(200))]
            .into(),
        sending: [(LimitName::MessagesHour, Limit::AtMost(5_000))].into(),
    };
    assert_eq!(asked(words), Request::DomainSet { domain: "b.test".into(), change });
    let address = || "a@b.test".to_owned();
    let change = UserChange {
        name: Some("Wang".into()),
        limits: [(LimitName::RecipientsHour, Limit::Default)].into(),
        ..UserChange::default()
    };
    assert_eq!(
        asked("account set a@b.test --name Wang --recipients-hour default"),
        Request::UserSet { address: address(), change }
    );
    let change = UserChange {
        forward_to: Some(vec!["x@y.test".into()]),
        keep_copy: Some(false),
        ..UserChange::default()
    };
    assert_eq!(
        asked("user forward a@b.test x@y.test --keep off"),
        Request::UserSet { address: address(), change }
    );
    let change = GroupChange {
        who: Some(WhoMaySend::Members),
        add_members: vec!["x@y.test".into(), "z@y.test".into()],
        ..GroupChange::default()
    };
    assert_eq!(
        asked("group add a@b.test x@y.test z@y.test --who members"),
        Request::GroupAdd { address: address(), change }
    );
    let change = GroupChange { remove_senders: vec!["@y.test".into()], ..GroupChange::default() };
    assert_eq!(asked("group forbid a@b.test @y.test"), Request::GroupSet { address: address(), change });
    let page =
        Page { domain: Some("b.test".into()), prefix: "wa".into(), after: "a@b.test".into(), limit: 10 };
    assert_eq!(asked("user list b.test --prefix wa --after a@b.test --limit 10"), Request::Users(page));
    assert_eq!(
        asked("app-password remove a@b.test phone"),
        Request::AppPasswordRemove { address: address(), name: "phone".into() }
    );
}

#[test]
fn a_long_list_says_where_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    serve(&sockets.mail, |_: mail::Request| {
        let alias = |name: &str| directory::Alias {
            address: format!("{name}@b.test"),
            targets: vec!["x@y.test".into()],
        };
        mail::Reply::Directory(directory::Reply::Aliases(vec![alias("a"), alias("b")]))
    });
    let (_, said) = run("alias list --limit 2", &sockets, Language::En, None);
    assert_eq!(said.lines().last(), Some("There may be more: add --after b@b.test"));
    let (_, said) = run("alias list --limit 3", &sockets, Language::En, None);
    assert_eq!(said.lines().last(), Some("b@b.test  x@y.test"));
    let (_, said) = run("alias list --limit 2 --json", &sockets, Language::En, None);
    assert_eq!(said.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Vec<directory::Alias>>(&said).unwrap().len(), 2);
    let (code, said) = run("user import x.csv", &sockets, Language::En, None);
    assert_eq!(code, EXIT_USAGE);
    assert!(said.contains("from a shell"), "{said}");
}

#[test]
fn machine_output_is_the_control_types_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    serve(&sockets.cluster, |_: cluster::Request| {
        cluster::Reply::Status(Box::new(status(Role::Active, "mail-a")))
    });
    serve(&sockets.init, |_: init::Request| {
        init::Reply::Log(vec![init::LogLine {
            number: 1,
            at_ms: 1_234,
            service: "mail".into(),
            text: "x\u{1b}[2Jy".into(),
        }])
    });
    let (code, said) = run("status --json", &sockets, Language::En, None);
    let read: Status = serde_json::from_str(&said).unwrap();
    assert_eq!((code, read), (0, status(Role::Active, "mail-a")));
    assert_eq!(said.lines().count(), 1);
    let (_, said) = run("log", &sockets, Language::En, None);
    assert_eq!(said, "     1      1.234 mail     x [2Jy\n");
}

#[test]
fn a_refusal_is_the_last_line_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    serve(&sockets.mail, |request: mail::Request| match request {
        mail::Request::StoreCheck => mail::Reply::Check(mail::CheckReport {
            messages: 3,
            bodies: 2,
            faults: vec!["message 7 has no body".into()],
        }),
        mail::Request::Directory(_) => mail::Reply::Done,
        _ => mail::Reply::Refused("the domain has accounts".into()),
    });
    let (code, said) = run("domain remove example.test", &sockets, Language::En, None);
    assert_eq!((code, said.as_str()), (EXIT_REFUSED, "error: the domain has accounts\n"));
    let (code, said) = run("store check", &sockets, Language::En, None);
    assert_eq!(code, EXIT_REFUSED);
    assert_eq!(said.lines().last(), Some("error: the store check found 1 faults"));
    let (code, said) = run("domain list", &sockets, Language::En, None);
    assert_eq!(code, EXIT_REFUSED);
    assert!(said.contains("another kind"), "{said}");
}

#[test]
fn the_clock_is_shown_and_set_to_the_moment_that_was_typed() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seen_there = Arc::clone(&seen);
    serve(&sockets.init, move |request: init::Request| {
        seen_there.lock().unwrap().push(request);
        init::Reply::Done
    });
    let (code, said) = run("clock set 2026-03-01T12:00:00Z", &sockets, Language::En, None);
    assert_eq!((code, said.as_str()), (0, "done\n"));
    assert_eq!(*seen.lock().unwrap(), [init::Request::SetClock { unix_ms: 1_772_366_400_000 }]);
    for wrong in ["2026-13-01T12:00:00Z", "tomorrow", "1772366400"] {
        let (code, said) = run(&format!("clock set {wrong}"), &sockets, Language::En, None);
        assert_eq!(code, EXIT_USAGE, "{said}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
    let (code, said) = run("clock show --json", &sockets, Language::En, None);
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, shown["utc"].as_str().map(str::len)), (0, Some("2026-03-01T12:00:00.000Z".len())));
}

#[test]
fn status_for_people_lines_up_in_both_languages() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = Sockets::in_dir(dir.path());
    serve(&sockets.cluster, |_: cluster::Request| {
        cluster::Reply::Status(Box::new(status(Role::Active, "mail-a")))
    });
    let (_, said) = run("status", &sockets, Language::En, None);
    assert!(said.contains("Group      mail: active, epoch 7\n"), "{said}");
    assert!(said.contains("Addresses  192.0.2.10/24 (answered here)\n"), "{said}");
    let (_, said) = run("status", &sockets, Language::Zh, None);
    assert!(said.contains("服务组    mail: 主用, 纪元 7\n"), "{said}");
}

#[test]
fn words_that_are_not_understood_never_reach_a_service() {
    let sockets = Sockets::in_dir(Path::new("/nonexistent"));
    for text in
        ["", "acount list", "account", "maintenance maybe", "queue drop x", "status --socket /x", "\u{1b}[A"]
    {
        let (code, said) = run(text, &sockets, Language::En, None);
        assert_eq!(code, EXIT_USAGE, "{text}: {said}");
        assert!(said.lines().last().unwrap().starts_with("error: "), "{text}: {said}");
        let (_, said) = run(&format!("{text} --json"), &sockets, Language::En, None);
        assert!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["error"].is_string(), "{said}");
    }
    let (code, said) = run("help account", &sockets, Language::En, None);
    assert_eq!(code, 0);
    assert!(said.contains("quota"), "{said}");
}
