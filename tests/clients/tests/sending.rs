//! Clients that send: swaks, curl, msmtp, mutt, Python's smtplib.
#![allow(missing_docs, clippy::unwrap_used)]

use clients::{ACCOUNT, PASSWORD, Server, run, try_run};

/// Everything in the INBOX, by curl over IMAP.
fn inbox(server: &Server, number: usize) -> String {
    let url = format!("imaps://{}:{}/INBOX;MAILINDEX={number}", server.address, server.port(993));
    let user = format!("{ACCOUNT}:{PASSWORD}");
    run(
        "curl",
        "curl",
        &["--silent", "--show-error", "--cacert", &server.certificate(), "--user", &user, &url],
        "",
    )
}

fn swaks(server: &Server, arguments: &[&str]) -> String {
    let address = server.address.to_string();
    let mut all = vec!["--server", &address, "--to", ACCOUNT];
    all.extend(arguments);
    run("swaks", "swaks", &all, "")
}

#[test]
fn swaks_sends_in_clear_with_tls_and_with_a_login() {
    let server = Server::start();
    let certificate = server.certificate();
    let login = ["--auth-user", ACCOUNT, "--auth-password", PASSWORD, "--from", ACCOUNT];
    let verify = ["--tls-verify", "--tls-ca-path", &certificate];
    swaks(&server, &["--port", &server.port(25), "--from", "x@far.test", "--header", "Subject: clear"]);
    let starttls =
        ["--port", &server.port(25), "--from", "x@far.test", "--tls", "--header", "Subject: starttls"];
    swaks(&server, &[&starttls[..], &verify].concat());
    for (port, tls, auth) in
        [(587, "--tls", "PLAIN"), (587, "--tls", "LOGIN"), (465, "--tls-on-connect", "PLAIN")]
    {
        let port = server.port(port);
        let how = ["--port", &port, tls, "--auth", auth, "--header", "Subject: login"];
        swaks(&server, &[&how[..], &login, &verify].concat());
    }
    assert!(inbox(&server, 1).contains("Subject: clear"));
    assert!(inbox(&server, 2).contains("with ESMTPS"));
    assert!(inbox(&server, 5).contains("with ESMTPSA"));
}

#[test]
fn swaks_is_refused_what_it_may_not_do() {
    let server = Server::start();
    let address = server.address.to_string();
    let port = server.port(587);
    for (arguments, code) in [
        (&["--port", &server.port(25), "--to", "x@elsewhere.test"][..], "550 5.7.1"),
        (&["--port", &server.port(25), "--to", "nobody@example.test"], "550 5.1.1"),
        (&["--port", &port, "--to", ACCOUNT, "--from", ACCOUNT], "530 5.7.0"),
        (
            &[
                "--port",
                &port,
                "--to",
                ACCOUNT,
                "--tls",
                "--auth-user",
                ACCOUNT,
                "--auth-password",
                "wrong-password",
            ],
            "535 5.7.8",
        ),
    ] {
        let output = try_run("swaks", "swaks", &[&["--server", &address], arguments].concat(), "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && text.contains(code), "{code} is not in:\n{text}");
    }
}

#[test]
fn curl_sends_with_a_login() {
    let server = Server::start();
    let user = format!("{ACCOUNT}:{PASSWORD}");
    let letter = server.write("letter", "Subject: by curl\r\n\r\nhello\r\n");
    for (scheme, port) in [("smtp", 587), ("smtps", 465)] {
        let url = format!("{scheme}://{}:{}/client.test", server.address, server.port(port));
        let arguments = [
            "--silent",
            "--show-error",
            "--ssl-reqd",
            "--cacert",
            &server.certificate(),
            "--user",
            &user,
            "--mail-from",
            ACCOUNT,
            "--mail-rcpt",
            ACCOUNT,
            "--upload-file",
            &letter,
            &url,
        ];
        run("curl", "curl", &arguments, "");
    }
    assert!(inbox(&server, 2).contains("Subject: by curl\r\n\r\nhello\r\n"));
}

#[test]
fn msmtp_sends_with_starttls() {
    let server = Server::start();
    let settings = server.write(
        "msmtprc",
        "defaults\nauth on\ntls on\ntls_trust_file CERT\naccount default\nhost ADDRESS\nport 2587\n\
         from ACCOUNT\nuser ACCOUNT\npassword PASSWORD\n",
    );
    let letter = "From: demo@example.test\nSubject: by msmtp\n\nhello\n.dot\n";
    run("msmtp", "msmtp", &["--file", &settings, ACCOUNT], letter);
    assert!(inbox(&server, 1).contains("Subject: by msmtp\r\n"));
    assert!(inbox(&server, 1).ends_with("hello\r\n.dot\r\n"));
}

#[test]
fn mutt_sends_in_batch_mode() {
    let server = Server::start();
    let settings = server.write(
        "muttrc",
        "set from=ACCOUNT\nset smtp_url=\"smtp://ACCOUNT@ADDRESS:2587/\"\nset smtp_pass=PASSWORD\n\
         set ssl_force_tls=yes\nset certificate_file=CERT\nset ssl_verify_host=no\nset copy=no\n\
         set record=\"\"\n",
    );
    run("mutt", "mutt", &["-F", &settings, "-s", "by mutt", "--", ACCOUNT], "hello\n");
    assert!(inbox(&server, 1).contains("Subject: by mutt\r\n"));
}

#[test]
fn pythons_smtplib_sends_and_is_limited() {
    let server = Server::start();
    let script = server.write(
        "send.py",
        r#"
import smtplib, ssl
context = ssl.create_default_context(cafile="CERT")
with smtplib.SMTP("ADDRESS", 2587) as s:
    s.ehlo()
    assert "auth" not in s.esmtp_features and "starttls" in s.esmtp_features
    s.starttls(context=context)
    s.login("ACCOUNT", "PASSWORD")
    assert s.esmtp_features["size"] == str(50 * 1024 * 1024)
    s.sendmail("ACCOUNT", ["ACCOUNT"], "Subject: by smtplib\r\n\r\nhello\r\n..dots\r\n")
    refused = s.sendmail("ACCOUNT", ["ACCOUNT", "nobody@example.test"], "Subject: two\r\n\r\nx\r\n")
    assert refused["nobody@example.test"][0] == 550, refused
    try:
        s.sendmail("somebody@example.test", ["ACCOUNT"], "Subject: forged\r\n\r\nx\r\n")
        raise SystemExit("a forged sender was accepted")
    except smtplib.SMTPSenderRefused as e:
        assert e.smtp_code == 553, e
with smtplib.SMTP_SSL("ADDRESS", 2465, context=context) as s:
    s.login("ACCOUNT", "PASSWORD")
    s.sendmail("ACCOUNT", ["ACCOUNT"], b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" * 100000)
"#,
    );
    run("python3", "python3", &[&script], "");
    assert!(inbox(&server, 1).ends_with("hello\r\n..dots\r\n"));
    assert!(inbox(&server, 3).contains("Subject: large"));
}
