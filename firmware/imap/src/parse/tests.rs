//! Tables of commands, good and bad, and the reader cut at every place.

use bytes::Bytes;
use message::{SectionSpec, SectionText};
use proptest::prelude::*;

use super::*;

const LIMITS: ReaderLimits = ReaderLimits { line_max_bytes: 512, literals_max: 8, skip_max_bytes: 4096 };

fn command(text: &str) -> Command {
    match parse(&Bytes::copy_from_slice(text.as_bytes()), Dialect::default()) {
        Ok(tagged) => tagged.command,
        Err(rejected) => panic!("{text:?}: {}", rejected.fault),
    }
}

fn fault(text: &str) -> Fault {
    match parse(&Bytes::copy_from_slice(text.as_bytes()), Dialect::default()) {
        Ok(tagged) => panic!("{text:?} was taken as {:?}", tagged.command),
        Err(rejected) => rejected.fault,
    }
}

fn items(text: &str) -> Vec<FetchItem> {
    match command(&format!("a FETCH 1 {text}\r\n")) {
        Command::Fetch { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

fn key(text: &str) -> SearchKey {
    match command(&format!("a SEARCH {text}\r\n")) {
        Command::Search { key, .. } => key,
        other => panic!("{other:?}"),
    }
}

fn section(part: &[u32], text: SectionText, peek: bool) -> FetchItem {
    FetchItem::Section { peek, section: SectionSpec { part: part.to_vec(), text }, partial: None }
}

#[test]
fn commands_without_arguments_in_any_case() {
    assert_eq!(command("a1 NOOP\r\n"), Command::Noop);
    assert_eq!(command("a1 noop\r\n"), Command::Noop);
    assert_eq!(command("A.1] CapaBility \r\n"), Command::Capability);
    assert_eq!(command("1 EXPUNGE\n"), Command::Expunge { uids: None });
}

#[test]
fn strings_in_all_their_forms() {
    let login = |user: &'static str, password: &'static str| Command::Login {
        user: Bytes::from_static(user.as_bytes()),
        password: Bytes::from_static(password.as_bytes()),
    };
    assert_eq!(command("a LOGIN alice secret\r\n"), login("alice", "secret"));
    assert_eq!(command("a LOGIN \"al\\\"i\\\\ce\" \"\"\r\n"), login("al\"i\\ce", ""));
    assert_eq!(command("a LOGIN {5}\r\nalice {6+}\r\nse\r\net\r\n"), login("alice", "se\r\net"));
    assert_eq!(command("a LOGIN al]ice {0}\r\n\r\n"), login("al]ice", ""));
    assert_eq!(command("a LOGIN alice geheimß\r\n"), login("alice", "geheimß"));
}

#[test]
fn broken_commands_say_what_is_wrong() {
    for (text, reason) in [
        ("\r\n", "a command must start with a tag"),
        (" NOOP\r\n", "a command must start with a tag"),
        ("+1 NOOP\r\n", "a command must start with a tag"),
        ("a\r\n", "a command is missing after the tag"),
        ("a \r\n", "a word is missing"),
        ("a XYZZY\r\n", "no such command: XYZZY"),
        ("a UID NOOP\r\n", "no such command: UID NOOP"),
        ("a NOOP x\r\n", "there is something after the end of the command"),
        ("a LOGIN alice\r\n", "a space is missing before an argument"),
        ("a LOGIN \"alice secret\r\n", "a quoted string does not end on its line"),
        ("a LOGIN \"ali\\ce\" secret\r\n", "only \" and \\ can follow \\ in a quoted string"),
        ("a LOGIN {9}\r\nalice x\r\n", "a literal is broken"),
        ("a FETCH 0 FLAGS\r\n", "a message number cannot be 0"),
        ("a FETCH 4294967296 FLAGS\r\n", "a message number is larger than 32 bits"),
        ("a FETCH 1 ()\r\n", "no such item can be fetched"),
        ("a FETCH 1 BODY[MIME]\r\n", "no such section of a message"),
        ("a FETCH 1 BODY[0]\r\n", "a part number cannot be 0"),
        ("a FETCH 1 BODY[]<0.0>\r\n", "a partial fetch of no bytes is not allowed"),
        ("a FETCH 1 (FLAGS\r\n", "the list of items is not closed"),
        ("a STORE 1 FLAGS (\\Strange)\r\n", "no such system flag"),
        ("a STORE 1 LABELS (x)\r\n", "STORE changes FLAGS or FLAGS.SILENT only"),
        ("a SEARCH\r\n", "a space is missing before an argument"),
        ("a SEARCH BOGUS\r\n", "no such search key"),
        ("a SEARCH ON 31-Feb-2024\r\n", "a date is not of the form d-Mon-yyyy"),
        ("a SELECT \"&Jjo\"\r\n", "the mailbox name is not modified UTF-7"),
        ("a STATUS INBOX ()\r\n", "STATUS asks for nothing"),
        ("a LIST (RECURSIVEMATCH) \"\" *\r\n", "RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE beside it"),
    ] {
        assert_eq!(fault(text).to_string(), reason, "{text:?}");
    }
}

#[test]
fn a_rejected_command_keeps_its_tag() {
    let rejected = parse(&Bytes::from_static(b"x7 FETCH\r\n"), Dialect::default()).unwrap_err();
    assert_eq!(rejected.tag.as_deref(), Some("x7"));
}

#[test]
fn sets_resolve_to_ascending_separate_ranges() {
    let resolve = |text: &str, star| match command(&format!("a FETCH {text} FLAGS\r\n")) {
        Command::Fetch { set, .. } => set.resolve(star),
        other => panic!("{other:?}"),
    };
    assert_eq!(resolve("1", 9), [(1, 1)]);
    assert_eq!(resolve("4:2", 9), [(2, 4)]);
    assert_eq!(resolve("*:7", 9), [(7, 9)]);
    assert_eq!(resolve("12:*", 9), [(9, 12)]);
    assert_eq!(resolve("7,1:3,2:5,6,*", 9), [(1, 7), (9, 9)]);
    assert_eq!(resolve("1:4294967295", 0), [(1, u32::MAX)]);
}

#[test]
fn fetch_items_and_macros() {
    use FetchItem::*;
    assert_eq!(items("ALL"), [Flags, InternalDate, Rfc822Size, Envelope]);
    assert_eq!(items("fast"), [Flags, InternalDate, Rfc822Size]);
    assert_eq!(items("FULL"), [Flags, InternalDate, Rfc822Size, Envelope, Body]);
    assert_eq!(items("(UID RFC822.SIZE modseq)"), [Uid, Rfc822Size, ModSeq]);
    assert_eq!(items("BODY[]"), [section(&[], SectionText::All, false)]);
    assert_eq!(items("BODY.PEEK[1.2.3.MIME]"), [section(&[1, 2, 3], SectionText::Mime, true)]);
    assert_eq!(items("body[2]"), [section(&[2], SectionText::All, false)]);
    assert_eq!(items("BODY[4.HEADER]"), [section(&[4], SectionText::Header, false)]);
    let names = vec![b"Date".to_vec(), b"x y".to_vec()];
    assert_eq!(
        items("(BODY.PEEK[HEADER.FIELDS (Date \"x y\")] FLAGS)"),
        [section(&[], SectionText::HeaderFields(names.clone()), true), Flags]
    );
    assert_eq!(
        items("BODY[1.HEADER.FIELDS.NOT (Date \"x y\")]"),
        [section(&[1], SectionText::HeaderFieldsNot(names), false)]
    );
    assert_eq!(
        items("BODY[TEXT]<10.20>"),
        [Section {
            peek: false,
            section: SectionSpec { part: vec![], text: SectionText::Text },
            partial: Some(Partial { start: 10, count: 20 }),
        }]
    );
}

#[test]
fn search_keys() {
    let has = |flag| SearchKey::Is(Criterion::Has(flag));
    let not = |key| SearchKey::Not(Box::new(key));
    let header = |name: &str, text: &str| {
        SearchKey::Is(Criterion::Header { name: name.into(), text: SearchText(text.into()) })
    };
    assert_eq!(key("ALL"), SearchKey::And(vec![]));
    assert_eq!(key("UNSEEN"), not(has(Flag::Seen)));
    assert_eq!(key("NEW"), SearchKey::And(vec![has(Flag::Recent), not(has(Flag::Seen))]));
    assert_eq!(key("KEYWORD $Junk"), has(Flag::Keyword("$Junk".into())));
    assert_eq!(
        key("OR SEEN NOT (DELETED FROM \"a b\")"),
        SearchKey::Or(
            Box::new(has(Flag::Seen)),
            Box::new(not(SearchKey::And(vec![has(Flag::Deleted), header("FROM", "a b")])))
        )
    );
    assert_eq!(key("HEADER Message-ID {3}\r\n<x>"), header("Message-ID", "<x>"));
    assert_eq!(key("CHARSET UTF-8 SUBJECT {3+}\r\n您"), header("SUBJECT", "您"));
    assert_eq!(key("CHARSET gb18030 SUBJECT \"x\""), header("SUBJECT", "x"));
    assert_eq!(
        key("SINCE 1-Feb-1994"),
        SearchKey::Is(Criterion::Since(DateField::Internal, CalendarDate(8797)))
    );
    assert_eq!(
        key("SENTBEFORE \"01-JAN-1970\""),
        SearchKey::Is(Criterion::Before(DateField::Sent, CalendarDate(0)))
    );
    assert_eq!(key("MODSEQ \"/flags/\\\\draft\" all 620162338"), SearchKey::Is(Criterion::ModSeq(620162338)));
    assert!(matches!(key("2,4:*"), SearchKey::Is(Criterion::Sequence(_))));
    assert_eq!(fault("a SEARCH CHARSET X-NONE ALL\r\n"), Fault::Charset { save: false });
    assert!(matches!(fault("a SEARCH CHARSET UTF-8 TEXT {1}\r\n\u{0}\u{80}\r\n"), Fault::Syntax(_)));
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("a SEARCH {}ALL{}\r\n", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(fault(&deep), Fault::Syntax(_)));
    let nots = format!("a SEARCH {}ALL\r\n", "NOT ".repeat(5000));
    assert!(matches!(fault(&nots), Fault::Syntax(_)));
    assert!(matches!(key(&format!("{}ALL", "NOT ".repeat(100))), SearchKey::Not(_)));
}

#[test]
fn append_with_flags_and_date() {
    let text =
        "a APPEND \"Sent Items\" (\\Seen $Forwarded) \" 7-Jul-1996 02:44:25 -0700\" {4+}\r\nx\r\ny\r\n";
    let Command::Append { mailbox, messages } = command(text) else { panic!() };
    assert_eq!(mailbox, "Sent Items");
    let [message] = messages.as_slice() else { panic!() };
    assert_eq!(message.flags, [Flag::Seen, Flag::Keyword("$Forwarded".into())]);
    let date = message.date.unwrap();
    assert_eq!((date.unix_s, date.offset_s), (836_732_665, -25_200));
    let mut written = Vec::new();
    date.write(&mut written);
    assert_eq!(written, b" 7-Jul-1996 02:44:25 -0700");
    assert_eq!(message.content, AppendContent::Whole(Bytes::from_static(b"x\r\ny")));
}

#[test]
fn appends_of_several_messages_and_of_pieces() {
    let whole = |text: &'static str| AppendContent::Whole(Bytes::from_static(text.as_bytes()));
    let appended = |text: &str| match command(text) {
        Command::Append { messages, .. } => messages,
        other => panic!("{other:?}"),
    };
    let several = appended("a APPEND x {1+}\r\na (\\Seen) ~{1+}\r\nb UTF8 (~{1+}\r\nc) {0+}\r\n\r\n");
    let contents: Vec<AppendContent> = several.iter().map(|message| message.content.clone()).collect();
    assert_eq!(contents, [whole("a"), whole("b"), whole("c"), whole("")]);
    assert_eq!(several[1].flags, [Flag::Seen]);
    let pieces =
        appended("a APPEND x CATENATE (URL /INBOX/;UID=1 TEXT {1+}\r\na) CATENATE (TEXT ~{0+}\r\n)\r\n");
    let AppendContent::Pieces(first) = &pieces[0].content else { panic!() };
    let url = AppendPiece::Url(Bytes::from_static(b"/INBOX/;UID=1"));
    assert_eq!(first, &[url, AppendPiece::Text(Bytes::from_static(b"a"))]);
    let Command::Replace { uid: true, mailbox, message, .. } =
        command("a UID REPLACE 4 Drafts (\\Draft) {1+}\r\na\r\n")
    else {
        panic!()
    };
    assert_eq!((mailbox.as_str(), message.content), ("Drafts", whole("a")));
    for (text, reason) in [
        ("a APPEND x\r\n", "a space is missing before an argument"),
        ("a APPEND x CATENATE ()\r\n", "TEXT or URL is expected in CATENATE"),
        ("a APPEND x UTF8 {1+}\r\na\r\n", "UTF8 takes a literal in parentheses"),
        ("a REPLACE 1:2 x {1+}\r\na\r\n", "REPLACE takes one message"),
        ("a REPLACE 1 x {1+}\r\na {1+}\r\na\r\n", "there is something after the end of the command"),
    ] {
        assert_eq!(fault(text).to_string(), reason, "{text:?}");
    }
}

#[test]
fn an_announced_append_tells_where_it_goes() {
    let told = |text: &'static [u8]| {
        let Announced { tag, mailbox } = announced(&Bytes::from_static(text), Dialect::default());
        (tag, mailbox)
    };
    assert_eq!(told(b"a1 UID REPLACE 7 x ~{10}\r\n"), (Some("a1".into()), Some("x".into())));
    assert_eq!(told(b"a1 APPEND INBOX (\\Seen) {10}\r\n"), (Some("a1".into()), Some("INBOX".into())));
    assert_eq!(told(b"a1 append {3}\r\nfoo {10}\r\n"), (Some("a1".into()), Some("foo".into())));
    assert_eq!(told(b"a1 APPEND {10}\r\n"), (Some("a1".into()), None));
    assert_eq!(told(b"a1 LOGIN {10}\r\n"), (Some("a1".into()), None));
    assert_eq!(told(b"{10}\r\n"), (None, None));
}

#[test]
fn list_in_its_forms() {
    let list = |text: &str| match command(&format!("a LIST {text}\r\n")) {
        Command::List(request) => request,
        other => panic!("{other:?}"),
    };
    let plain = list("\"\" %");
    assert_eq!(
        (plain.reference.as_str(), plain.patterns.as_slice(), plain.extended),
        ("", &["%".to_owned()][..], false)
    );
    assert_eq!(list("\"\" \"\"").patterns, [""]);
    let extended = list(
        "(SUBSCRIBED RECURSIVEMATCH) \"\" (\"INBOX\" Archive/*) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))",
    );
    assert_eq!(extended.selections, [ListSelection::Subscribed, ListSelection::RecursiveMatch]);
    assert_eq!(extended.patterns, ["INBOX", "Archive/*"]);
    assert_eq!(
        extended.returns,
        [ListReturn::Children, ListReturn::Status(vec![StatusItem::Messages, StatusItem::Unseen])]
    );
    assert_eq!(list("() \"\" * RETURN ()").returns, []);
}

#[test]
fn mailbox_names_in_modified_utf7() {
    for (wire, name) in [
        ("INBOX", "INBOX"),
        ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        ("R&-D", "R&D"),
        ("&2D3eCg-", "😊"),
        ("Entw&APw-rfe", "Entwürfe"),
    ] {
        assert_eq!(decode_name(wire.as_bytes()).as_deref(), Some(name));
        assert_eq!(encode_name(name), wire);
    }
    assert_eq!(decode_name("Entwürfe".as_bytes()).as_deref(), Some("Entwürfe"));
    for wrong in [&b"&Jjo"[..], b"&Jjo!-", b"&AGE-", b"&2D0-", b"a\x07", b"\xff", b"&A-", b"&APx-"] {
        assert_eq!(decode_name(wrong), None, "{}", String::from_utf8_lossy(wrong));
    }
    assert_eq!(command("a SELECT inBox\r\n"), command("a SELECT \"INBOX\"\r\n"));
}

/// Everything the reader says about `bytes` when they come in pieces of these lengths. Literals longer
/// than 100 bytes are refused.
fn read_in_pieces(bytes: &[u8], lengths: &[usize]) -> Vec<Incoming> {
    let mut reader = CommandReader::new(LIMITS);
    let mut said = Vec::new();
    let mut rest = bytes;
    let mut lengths = lengths.iter().cycle();
    loop {
        match reader.next_command() {
            Incoming::More if rest.is_empty() => return said,
            Incoming::More => {
                let length = lengths.next().copied().unwrap_or(1).clamp(1, rest.len());
                reader.feed(&rest[..length]);
                rest = &rest[length..];
            }
            Incoming::Flood => {
                said.push(Incoming::Flood);
                return said;
            }
            Incoming::Literal { length, waits } => {
                said.push(Incoming::Literal { length, waits });
                if length > 100 { reader.refuse() } else { reader.accept() }
            }
            other => said.push(other),
        }
    }
}

#[test]
fn the_reader_cuts_lines_and_literals() {
    let wire = b"a LOGIN {5}\r\nalice {3+}\r\na\nb\r\nb NOOP\r\n";
    let said = read_in_pieces(wire, &[1]);
    assert_eq!(
        said,
        [
            Incoming::Literal { length: 5, waits: true },
            Incoming::Literal { length: 3, waits: false },
            Incoming::Command(Bytes::from_static(b"a LOGIN {5}\r\nalice {3+}\r\na\nb\r\n")),
            Incoming::Command(Bytes::from_static(b"b NOOP\r\n")),
        ]
    );
}

#[test]
fn a_refused_literal_is_thrown_away_with_its_command() {
    let mut wire = b"a APPEND x {200+}\r\n".to_vec();
    wire.extend_from_slice(&[b'\n'; 200]);
    wire.extend_from_slice(b" trailing {2+}\r\nxx more\r\nb APPEND x {200}\r\nc NOOP\r\n");
    let said = read_in_pieces(&wire, &[7, 1, 50]);
    assert_eq!(
        said,
        [
            Incoming::Literal { length: 200, waits: false },
            Incoming::Literal { length: 200, waits: true },
            Incoming::Command(Bytes::from_static(b"c NOOP\r\n")),
        ]
    );
}

#[test]
fn long_lines_are_thrown_away_and_floods_end_it() {
    let mut wire = b"a SEARCH ".to_vec();
    wire.extend_from_slice(&[b'x'; 1000]);
    wire.extend_from_slice(b" {3+}\r\nb\r\n\r\nc NOOP\r\n");
    let said = read_in_pieces(&wire, &[13]);
    assert!(matches!(&said[0], Incoming::TooLong { start } if start.starts_with(b"a SEARCH x")));
    assert_eq!(said[1..], [Incoming::Command(Bytes::from_static(b"c NOOP\r\n"))]);
    assert_eq!(read_in_pieces(&[b'x'; 9000], &[100]).last(), Some(&Incoming::Flood));
    assert_eq!(
        read_in_pieces(b"a APPEND x {18446744073709551616+}\r\n", &[100]).last(),
        Some(&Incoming::Flood)
    );
}

/// Texts close to commands, so that random changes reach deep into the grammar.
fn near_commands() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "a1 ",
        "UID ",
        "FETCH ",
        "STORE ",
        "SEARCH ",
        "APPEND ",
        "LIST ",
        "SELECT ",
        "1:*",
        "2,3 ",
        "(",
        ")",
        "[",
        "]",
        "BODY[",
        "HEADER.FIELDS ",
        "BODY.PEEK[1.2",
        "<0.5>",
        "\"",
        "\\",
        "{3+}\r\n",
        "{3}\r\n",
        "{0+}\r\n",
        "abc",
        "\r\n",
        " ",
        "NOT ",
        "OR ",
        "FROM ",
        "RETURN ",
        "STATUS ",
        "CHARSET ",
        "UTF-8 ",
        "+FLAGS ",
        "\\Seen",
        "*",
        "%",
        "&AOQ-",
        "1-Jan-2020",
        "\" 1-Jan-2020 00:00:00 +0000\"",
        "\0",
        "\u{e4}",
        "ID ",
        "ENABLE ",
        "{999999999}\r\n",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&Bytes::from(bytes.clone()), Dialect::default());
        let _ = announced(&Bytes::from(bytes), Dialect::default());
    }

    #[test]
    fn anything_near_commands_is_parsed_without_panic(bytes in near_commands()) {
        let _ = parse(&Bytes::from(bytes), Dialect::default());
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_commands(
        bytes in near_commands(),
        lengths in prop::collection::vec(1_usize..20, 1..10),
    ) {
        prop_assert_eq!(read_in_pieces(&bytes, &lengths), read_in_pieces(&bytes, &[usize::MAX]));
    }

    #[test]
    fn names_survive_the_wire(name in "[ -~äöü台北日本語😊]{0,20}") {
        let wire = encode_name(&name);
        prop_assert!(wire.is_ascii());
        let back = decode_name(wire.as_bytes());
        prop_assert_eq!(back.as_deref(), Some(name.as_str()));
    }

    #[test]
    fn dates_survive_the_wire(unix_s in -2_000_000_000_i64..30_000_000_000, zone_min in -720_i32..840) {
        let time = ZonedTime { unix_s, offset_s: zone_min * 60 };
        let mut wire = b"a APPEND x \"".to_vec();
        time.write(&mut wire);
        wire.extend_from_slice(b"\" {0}\r\n\r\n");
        let Ok(Tagged { command: Command::Append { messages, .. }, .. }) = parse(&Bytes::from(wire), Dialect::default()) else {
            return Err(TestCaseError::fail("the date was not taken"));
        };
        prop_assert_eq!(messages[0].date, Some(time));
    }
}
