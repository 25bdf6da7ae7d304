//! Clients that read: curl, mbsync, mutt, fetchmail, getmail, Python's imaplib and poplib.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use clients::{ACCOUNT, PASSWORD, Server, run};

fn curl(server: &Server, url: &str, arguments: &[&str]) -> String {
    let user = format!("{ACCOUNT}:{PASSWORD}");
    let certificate = server.certificate();
    let fixed = ["--silent", "--show-error", "--ssl-reqd", "--cacert", &certificate, "--user", &user];
    run("curl", "curl", &[&fixed[..], arguments, &[url]].concat(), "")
}

/// Every message in the `new` and `cur` of a Maildir.
fn maildir(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        for entry in std::fs::read_dir(Path::new(folder).join(part)).into_iter().flatten() {
            found.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    found
}

#[test]
fn curl_reads_by_imap_and_pop3() {
    let server = Server::start();
    server.deliver("one");
    server.deliver("two");
    for (scheme, port) in [("imap", 143), ("imaps", 993)] {
        let base = format!("{scheme}://{}:{}/INBOX", server.address, server.port(port));
        assert!(curl(&server, &format!("{base};MAILINDEX=2"), &[]).contains("Subject: two\r\n"));
        assert!(curl(&server, &base, &["--request", "SEARCH SUBJECT one"]).contains("* SEARCH 1"));
        assert!(
            curl(&server, &base, &["--request", "STATUS INBOX (MESSAGES UNSEEN)"]).contains("MESSAGES 2")
        );
    }
    for (scheme, port) in [("pop3", 110), ("pop3s", 995)] {
        let base = format!("{scheme}://{}:{}/", server.address, server.port(port));
        assert!(curl(&server, &format!("{base}1"), &[]).contains("Subject: one\r\n"));
        assert!(curl(&server, &base, &["--request", "UIDL"]).contains("2 "));
    }
}

#[test]
fn mbsync_brings_both_sides_together() {
    let server = Server::start();
    server.deliver("one");
    let settings = server.write(
        "mbsyncrc",
        "IMAPAccount a\nHost ADDRESS\nPort 2993\nUser ACCOUNT\nPass PASSWORD\nSSLType IMAPS\n\
         CertificateFile CERT\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath FOLDER/mail/\n\
         Inbox FOLDER/mail/INBOX\nSubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\n\
         Create Both\nExpunge Both\nSyncState *\n",
    );
    std::fs::create_dir(server.path("mail")).unwrap();
    let sync = || run("mbsync", "isync", &["-c", &settings, "-a"], "");
    sync();
    let folder = server.path("mail/INBOX");
    assert!(maildir(&folder).len() == 1 && maildir(&folder)[0].contains("Subject: one"));

    // A flag and a new message from the near side, a new message from the far side.
    let new = std::fs::read_dir(format!("{folder}/new")).unwrap().next().unwrap().unwrap();
    let seen = format!("{folder}/cur/{}:2,FS", new.file_name().to_string_lossy().split(':').next().unwrap());
    std::fs::rename(new.path(), seen).unwrap();
    std::fs::write(format!("{folder}/new/1.local"), "From: x@y\nSubject: local\n\nhello\n").unwrap();
    server.deliver("two");
    sync();
    assert_eq!(maildir(&folder).len(), 3);
    let base = format!("imaps://{}:{}/INBOX", server.address, server.port(993));
    assert!(curl(&server, &base, &["--request", "SEARCH FLAGGED SEEN SUBJECT one"]).contains("* SEARCH 1"));
    assert!(curl(&server, &base, &["--request", "SEARCH SUBJECT local"]).contains("* SEARCH "));
    sync();
    assert_eq!(maildir(&folder).len(), 3);
}

#[test]
fn mutt_opens_a_mailbox_and_saves_from_it() {
    let server = Server::start();
    server.deliver("for mutt");
    let settings = server.write(
        "muttrc",
        "set imap_user=ACCOUNT\nset imap_pass=PASSWORD\nset certificate_file=CERT\nset ssl_verify_host=no\n\
         set pipe_decode=no\nset quit=yes\nset wait_key=no\nset imap_check_subscribed=no\n",
    );
    let (saved, transcript) = (server.path("saved"), server.path("transcript"));
    let command = format!(
        "mutt -F {settings} -f imaps://{}:{}/INBOX -e 'push \"<pipe-message>cat >{saved}<enter><quit>\"'",
        server.address,
        server.port(993)
    );
    run("script", "bsdutils", &["-q", "-e", "-c", &command, &transcript], "");
    let saved = std::fs::read_to_string(&saved).unwrap_or_default();
    let transcript = String::from_utf8_lossy(&std::fs::read(&transcript).unwrap()).into_owned();
    assert!(saved.contains("Subject: for mutt"), "{transcript}");
}

#[test]
fn fetchmail_empties_a_maildrop() {
    let server = Server::start();
    server.deliver("one");
    server.deliver("two");
    let settings = server.write(
        "fetchmailrc",
        "poll ADDRESS protocol POP3 service 2110 uidl\n  user \"ACCOUNT\" password \"PASSWORD\"\n\
         \x20 sslproto \"TLS1.2+\" sslcertck sslcertfile \"CERT\" sslcommonname mail.example.test\n  fetchall no keep\n\
         \x20 mda \"cat >> FOLDER/fetched\"\n",
    );
    let (ids, pid) = (server.path("ids"), server.path("fetchmail.pid"));
    run("fetchmail", "fetchmail", &["-f", &settings, "-i", &ids, "--pidfile", &pid, "--nosyslog"], "");
    let fetched = std::fs::read_to_string(server.path("fetched")).unwrap();
    assert!(fetched.contains("Subject: one") && fetched.contains("Subject: two"));
    let url = format!("pop3s://{}:{}/", server.address, server.port(995));
    assert!(!curl(&server, &url, &["--request", "UIDL"]).contains("1 "));
}

#[test]
fn getmail_fetches_by_pop3_and_imap() {
    let server = Server::start();
    server.deliver("one");
    for (kind, port, extra) in [("POP3", 2995, ""), ("IMAP", 2993, "mailboxes = (\"INBOX\",)\n")] {
        let settings = server.write(
            &format!("getmailrc-{kind}"),
            &format!(
                "[retriever]\ntype = Simple{kind}SSLRetriever\nserver = ADDRESS\nport = {port}\n\
                 username = ACCOUNT\npassword = PASSWORD\nca_certs = CERT\n{extra}\
                 [destination]\ntype = MDA_external\npath = /usr/bin/tee\n\
                 arguments = (\"-a\", \"FOLDER/{kind}\")\nallow_root_commands = true\n\
                 [options]\nread_all = false\n"
            ),
        );
        let home = server.path("");
        for _ in 0..2 {
            run("getmail", "getmail6", &["--getmaildir", &home, "--rcfile", &settings], "");
            let fetched = std::fs::read_to_string(server.path(kind)).unwrap_or_default();
            assert_eq!(fetched.matches("Subject: one").count(), 1, "{kind}: {fetched}");
        }
    }
}

#[test]
fn pythons_imaplib_and_poplib_do_their_daily_work() {
    let server = Server::start();
    for subject in ["one", "two", "three"] {
        server.deliver(subject);
    }
    let script = server.write(
        "read.py",
        r#"
import imaplib, poplib, ssl
context = ssl.create_default_context(cafile="CERT")

def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]

m = imaplib.IMAP4("ADDRESS", 2143)
try:
    m.login("ACCOUNT", "PASSWORD")
    raise SystemExit("a password in clear was accepted")
except imaplib.IMAP4.error:
    pass
ok(m.starttls(context))
ok(m.login("ACCOUNT", "PASSWORD"))
names = b" ".join(ok(m.list()))
for name in (b"INBOX", b"Sent", b"Drafts", b"Trash"):
    assert name in names, names
assert ok(m.select("INBOX")) == [b"3"]
assert ok(m.search(None, "SUBJECT", "two")) == [b"2"]
data = ok(m.fetch("1:3", "(FLAGS UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
assert b"Subject: three" in b"".join(b"".join(d) for d in data if isinstance(d, tuple))
ok(m.store("1", "+FLAGS", r"(\Seen \Flagged)"))
ok(m.create("Work"))
ok(m.copy("1", "Work"))
ok(m.uid("COPY", "2", "Work"))
ok(m.append("Work", r"(\Draft)", None, b"Subject: appended\r\n\r\nhello\r\n"))
ok(m.store("3", "+FLAGS", r"(\Deleted)"))
assert ok(m.expunge()) == [b"3"]
assert ok(m.select("Work")) == [b"3"]
assert ok(m.search(None, "DRAFT")) == [b"3"]
ok(m.rename("Work", "Done"))
ok(m.close())
ok(m.delete("Done"))
m.logout()

p = poplib.POP3("ADDRESS", 2110)
assert "STLS" in p.capa()
p.stls(context)
p.user("ACCOUNT")
p.pass_("PASSWORD")
assert p.stat()[0] == 2
_, lines, _ = p.retr(1)
assert b"Subject: one" in lines
_, lines, _ = p.top(2, 0)
assert b"Subject: two" in lines and lines[-1] == b""
assert len(p.uidl()[1]) == 2
p.dele(1)
p.quit()
p = poplib.POP3_SSL("ADDRESS", 2995, context=context)
p.user("ACCOUNT")
p.pass_("PASSWORD")
assert p.stat()[0] == 1
p.quit()
"#,
    );
    run("python3", "python3", &[&script], "");
}
