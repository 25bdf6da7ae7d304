//! The talk of one probe: a message over SMTP into the probes' mailbox, read back over IMAP. Pure: lines in,
//! lines out.
//!
//! A full disk is no illness: the message is refused as it should be (452, RFC 5321 4.2.3), and the rest
//! of the talk shows that people can still log in and read.

use control::mail::PROBE_MAILBOX;

/// Most lines of one answer.
const LINES_MAX: u32 = 2_000;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Wait for the next line.
    Wait,
    /// Send this, and wait.
    Send(String),
    /// This part of the talk is over.
    Done,
    /// It is too busy to do it now; a sentence with its own words.
    Busy(String),
    /// It did not answer as it should; a sentence with its own words.
    Wrong(String),
}

/// The first part: a message is brought.
#[derive(Debug)]
pub struct Bringing {
    mark: String,
    step: usize,
    /// The disk was full, in the service's own words.
    pub full: Option<String>,
    /// So full that there is no mailbox yet.
    pub no_mailbox: bool,
}

/// Commands of SMTP, each with the class of its good answer; the first is the greeting's.
const SMTP: [(&str, &str); 6] = [
    ("its greeting", "220"),
    ("EHLO", "250"),
    ("MAIL", "250"),
    ("RCPT", "250"),
    ("DATA", "354"),
    ("the text", "250"),
];

/// Where RCPT is among them.
const RCPT: usize = 3;

impl Bringing {
    /// Brings a message with this mark.
    pub fn new(mark: &str) -> Self {
        Self { mark: mark.to_owned(), step: 0, full: None, no_mailbox: false }
    }

    /// Takes a line without its end.
    pub fn hear(&mut self, line: &str) -> Next {
        let Some((what, code)) = SMTP.get(self.step) else { return Next::Done };
        // RFC 5321 4.2.1: a hyphen says that more lines follow.
        if line.as_bytes().get(3) == Some(&b'-') && line.starts_with(code) {
            return Next::Wait;
        }
        if line.starts_with("452 4.3.1") && self.step > 1 {
            self.full = Some(shortened(line));
            self.no_mailbox = self.step == RCPT;
            return Next::Done;
        }
        // Congestion (RFC 3463 3.5): slow is not ill.
        if line.starts_with("452 4.4.5") {
            return Next::Busy(format!("SMTP answered {what} with: {}", shortened(line)));
        }
        if !line.starts_with(code) {
            return Next::Wrong(format!("SMTP answered {what} with: {}", shortened(line)));
        }
        self.step += 1;
        match self.step {
            1 => send("EHLO probe.invalid"),
            2 => send("MAIL FROM:<>"),
            3 => send(&format!("RCPT TO:<{PROBE_MAILBOX}>")),
            4 => send("DATA"),
            5 => send(&format!(
                "From: <{PROBE_MAILBOX}>\r\nTo: <{PROBE_MAILBOX}>\r\nSubject: {}\r\n\r\nprobe\r\n.",
                self.mark
            )),
            _ => Next::Done,
        }
    }
}

/// The second part: the message is read and removed.
#[derive(Debug)]
pub struct Reading {
    mark: String,
    token: String,
    step: usize,
    lines: u32,
    found: bool,
    /// The message was brought, and must be there.
    brought: bool,
}

/// Commands of IMAP.
const IMAP: [&str; 7] = ["its greeting", "LOGIN", "SELECT", "FETCH", "STORE", "EXPUNGE", "LOGOUT"];

impl Reading {
    /// Reads the message with this mark; without one that was `brought` it only looks into the mailbox.
    pub fn new(mark: &str, token: &str, brought: bool) -> Self {
        let (mark, token) = (mark.to_owned(), token.to_owned());
        Self { mark, token, step: 0, lines: 0, found: false, brought }
    }

    /// Takes a line without its end.
    pub fn hear(&mut self, line: &str) -> Next {
        let Some(what) = IMAP.get(self.step) else { return Next::Done };
        self.lines += 1;
        if self.lines > LINES_MAX {
            return Next::Wrong(format!("IMAP does not come to the end of its answer to {what}"));
        }
        let good = if self.step == 0 { "* OK".to_owned() } else { format!("p{} OK", self.step) };
        if !line.starts_with(&good) {
            self.found |= self.step == 3 && line == format!("Subject: {}", self.mark);
            let refused = line.starts_with(&format!("p{} ", self.step));
            let bye = line.starts_with("* BYE") && what != &"LOGOUT";
            // What changes the mailbox and cannot be done now (RFC 5530 3).
            let busy = self.step > 3 && line.starts_with(&format!("p{} NO [UNAVAILABLE]", self.step));
            return if busy {
                Next::Busy(format!("IMAP answered {what} with: {}", shortened(line)))
            } else if self.step == 0 || refused || bye {
                Next::Wrong(format!("IMAP answered {what} with: {}", shortened(line)))
            } else {
                Next::Wait
            };
        }
        if self.step == 3 && self.brought && !self.found {
            return Next::Wrong("a message that was confirmed over SMTP is not found over IMAP".to_owned());
        }
        self.step += 1;
        self.lines = 0;
        match self.step {
            1 => send(&format!("p1 LOGIN \"{PROBE_MAILBOX}\" \"{}\"", self.token)),
            2 => send("p2 SELECT INBOX"),
            // Without a message SELECT is as much as there is to see.
            3 if !self.brought => {
                self.step = 6;
                send("p6 LOGOUT")
            }
            3 => send("p3 UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"),
            4 => send("p4 UID STORE 1:* +FLAGS.SILENT (\\Deleted)"),
            5 => send("p5 EXPUNGE"),
            6 => send("p6 LOGOUT"),
            _ => Next::Done,
        }
    }
}

fn send(line: &str) -> Next {
    Next::Send(format!("{line}\r\n"))
}

/// As much of a line as fits a sentence.
fn shortened(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(next: Next) -> String {
        match next {
            Next::Send(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Feeds lines; gives all that was sent, and how it ended.
    fn talk(mut hear: impl FnMut(&str) -> Next, lines: &[&str]) -> (Vec<String>, Next) {
        let mut said = Vec::new();
        for line in lines {
            match hear(line) {
                Next::Send(text) => said.push(text),
                Next::Wait => {}
                end => return (said, end),
            }
        }
        (said, Next::Wait)
    }

    const BROUGHT: [&str; 8] = [
        "220 mail ESMTP",
        "250-mail",
        "250-SIZE 5",
        "250 HELP",
        "250 2.1.0 ok",
        "250 2.1.5 ok",
        "354 go",
        "250 2.0.0 stored",
    ];

    #[test]
    fn a_message_is_brought_line_by_line() {
        let mut bringing = Bringing::new("m-7");
        let (said, end) = talk(|line| bringing.hear(line), &BROUGHT);
        assert_eq!(end, Next::Done);
        assert_eq!(said.len(), 5);
        assert_eq!(said[2], "RCPT TO:<probe@probe.invalid>\r\n");
        assert!(said[4].contains("Subject: m-7\r\n") && said[4].ends_with("\r\n.\r\n"), "{}", said[4]);
        assert_eq!(bringing.full, None);
    }

    #[test]
    fn a_wrong_answer_is_told_in_its_own_words() {
        for (at, line) in
            [(0, "554 no"), (4, "451 4.3.0 later"), (6, "250 what?"), (7, "554 5.3.0 no"), (1, "rubbish")]
        {
            let mut lines = BROUGHT;
            lines[at] = line;
            let mut bringing = Bringing::new("m-7");
            let (_, end) = talk(|line| bringing.hear(line), &lines);
            let Next::Wrong(words) = end else { panic!("{line}: {end:?}") };
            assert!(words.ends_with(line), "{words}");
        }
    }

    #[test]
    fn a_full_disk_is_no_wrong_answer_and_no_room_for_another_reason_is_one() {
        for at in [4, 5, 7] {
            let mut lines = BROUGHT;
            lines[at] = "452 4.3.1 The server has no room left";
            let mut bringing = Bringing::new("m-7");
            assert_eq!(talk(|line| bringing.hear(line), &lines).1, Next::Done);
            assert!(bringing.full.is_some());
            lines[at] = "452 4.2.2 The mailbox is full";
            assert!(matches!(talk(|line| Bringing::new("m-7").hear(line), &lines[..1]).1, Next::Wait));
            let mut bringing = Bringing::new("m-7");
            assert!(matches!(talk(|line| bringing.hear(line), &lines).1, Next::Wrong(_)));
        }
    }

    const READ: [&str; 14] = [
        "* OK ready",
        "p1 OK [CAPABILITY IMAP4rev2] in",
        "* 2 EXISTS",
        "p2 OK [READ-WRITE] open",
        "* 1 FETCH (UID 4 BODY[HEADER.FIELDS (SUBJECT)] {16}",
        "Subject: m-6",
        "",
        ")",
        "* 2 FETCH (UID 5 BODY[HEADER.FIELDS (SUBJECT)] {16}",
        "Subject: m-7",
        "p3 OK done",
        "p4 OK done",
        "p5 OK done",
        "p6 OK bye",
    ];

    #[test]
    fn the_message_is_found_and_everything_removed() {
        let mut reading = Reading::new("m-7", "secret", true);
        let (said, end) = talk(|line| reading.hear(line), &READ);
        assert_eq!(end, Next::Done);
        assert_eq!(said[0], "p1 LOGIN \"probe@probe.invalid\" \"secret\"\r\n");
        assert!(said[3].contains("+FLAGS.SILENT (\\Deleted)"), "{}", said[3]);
        assert_eq!(said.len(), 6);
    }

    #[test]
    fn a_message_that_is_not_there_a_refusal_and_a_good_bye_are_wrong() {
        let wrong = |lines: &[&str]| {
            let mut reading = Reading::new("m-7", "secret", true);
            match talk(|line| reading.hear(line), lines) {
                (_, Next::Wrong(words)) => words,
                other => panic!("{other:?}"),
            }
        };
        let without: Vec<&str> = READ.iter().copied().filter(|line| *line != "Subject: m-7").collect();
        assert!(wrong(&without).contains("is not found over IMAP"));
        assert!(wrong(&["* OK ready", "p1 NO [AUTHENTICATIONFAILED] no"]).ends_with("FAILED] no"));
        assert!(wrong(&["* BYE too many"]).contains("its greeting"));
        assert!(wrong(&["* OK ready", "* BYE stopping"]).contains("LOGIN"));
        let endless = ["* OK ready"].into_iter().chain(std::iter::repeat_n("* 1 EXISTS", 3_000));
        assert!(wrong(&endless.collect::<Vec<_>>()).contains("does not come to the end"));
    }

    #[test]
    fn with_a_full_disk_the_mailbox_is_opened_and_nothing_more() {
        let mut reading = Reading::new("m-7", "secret", false);
        let lines = ["* OK ready", "p1 OK in", "* 0 EXISTS", "p2 OK open", "* BYE", "p6 OK bye"];
        let (said, end) = talk(|line| reading.hear(line), &lines);
        assert_eq!((end, said.len()), (Next::Done, 3));
        assert_eq!(sent(Bringing::new("x").hear("220 hi")), "EHLO probe.invalid\r\n");
    }

    #[test]
    fn a_busy_service_is_not_a_wrong_one() {
        let mut bringing = Bringing::new("m");
        let (_, end) =
            talk(|line| bringing.hear(line), &["220 x", "250 x", "250 x", "250 x", "452 4.4.5 busy"]);
        assert_eq!(end, Next::Busy("SMTP answered DATA with: 452 4.4.5 busy".to_owned()));
        let opened = ["* OK x", "p1 OK x", "p2 OK x", "Subject: m", "p3 OK x"];
        for (answer, is_busy) in
            [("p4 NO [UNAVAILABLE] later", true), ("p4 NO no", false), ("p4 BAD x", false)]
        {
            let mut reading = Reading::new("m", "t", true);
            let lines: Vec<&str> = opened.into_iter().chain([answer]).collect();
            let (_, end) = talk(|line| reading.hear(line), &lines);
            assert_eq!(matches!(end, Next::Busy(_)), is_busy, "{end:?}");
            assert_eq!(matches!(end, Next::Wrong(_)), !is_busy, "{end:?}");
        }
    }

    #[test]
    fn a_disk_too_full_for_the_mailbox_itself_is_full_and_no_illness() {
        let mut bringing = Bringing::new("m");
        let (_, end) = talk(|line| bringing.hear(line), &["220 x", "250 x", "250 x", "452 4.3.1 full"]);
        assert_eq!(end, Next::Done);
        assert!(bringing.full.is_some() && bringing.no_mailbox);
        let mut bringing = Bringing::new("m");
        let lines = ["220 x", "250 x", "250 x", "250 x", "354 x", "452 4.3.1 full"];
        assert_eq!(talk(|line| bringing.hear(line), &lines).1, Next::Done);
        assert!(bringing.full.is_some() && !bringing.no_mailbox);
    }
}
