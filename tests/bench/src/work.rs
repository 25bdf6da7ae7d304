//! The work that is timed, in the order it is run: later works read what earlier ones stored.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client::Connection;
use crate::idle;
use crate::server::{ACCOUNTS, ARGON_ACCOUNTS, DOMAIN, PASSWORD, Server};
use crate::table::{Better, Figure};
use crate::text::{LARGE_COUNT, NEEDLE, Texts};

/// Logins where each costs the hash as it is shipped.
pub const ARGON: &str = "LOGIN + LOGOUT, Argon2id";

/// Messages a connection appends when several do.
const APPENDS_EACH: usize = 400;
/// Logins that are timed.
const LOGINS: usize = 2_000;
/// Logins that are timed where each costs real work.
const ARGON_LOGINS: usize = 100;
/// Times a short command is repeated; the median counts.
const REPEATS: usize = 11;
/// How often memory is looked at during SMTP.
const MEMORY_INTERVAL: Duration = Duration::from_millis(250);
/// Longest wait for delivered mail to become readable.
const ARRIVAL_WAIT: Duration = Duration::from_mins(5);

/// How much of it.
pub struct Load {
    /// Messages in the big mailbox, and for SMTP.
    pub messages: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Idle connections.
    pub idle: usize,
    /// Only works whose name contains this.
    pub only: Option<String>,
}

impl Load {
    /// Whether a work is to be run.
    pub fn wants(&self, work: &str) -> bool {
        self.only.as_ref().is_none_or(|only| work.contains(only.as_str()))
    }
}

struct Bench<'a> {
    server: &'a Server,
    load: &'a Load,
    texts: &'a Texts,
    figures: Vec<Figure>,
}

/// Every work on one server.
pub fn all(server: &Server, load: &Load, texts: &Texts) -> Result<Vec<Figure>, String> {
    let mut bench = Bench { server, load, texts, figures: Vec::new() };
    bench.smtp()?;
    bench.append()?;
    bench.logins()?;
    bench.select()?;
    bench.fetch()?;
    bench.change()?;
    bench.search()?;
    bench.pop3()?;
    if load.wants(idle::NAME) && load.idle > 0 {
        eprintln!("  {}", idle::NAME);
        bench.figures.push(idle::measure(server, load.idle)?);
    }
    Ok(bench.figures)
}

/// Logins a second with the hash as it is shipped; it is meant to cost.
pub fn logins_with_argon(server: &Server) -> Result<Figure, String> {
    eprintln!("  {ARGON}");
    let (cpu, begin) = (server.cpu_s(), Instant::now());
    // Each account once: who comes back soon is known without the hash.
    let count = ARGON_LOGINS.min(ARGON_ACCOUNTS);
    spread(count, 4, |index| login_as(server, index % ARGON_ACCOUNTS)?.imap("LOGOUT").map(drop))?;
    let (cpu_s, wall_s) = (server.cpu_s() - cpu, begin.elapsed().as_secs_f64());
    let figure = Figure::plain(ARGON, count as f64 / wall_s, "1/s", Better::More);
    Ok(Figure { cpu_s_per_1000: Some(cpu_s / count as f64 * 1000.0), ..figure })
}

impl Bench<'_> {
    /// Runs one work that is counted in operations a second; it says how many it did.
    fn rate(&mut self, name: &str, work: impl FnOnce(&Self) -> Result<usize, String>) -> Result<(), String> {
        if !self.load.wants(name) {
            return Ok(());
        }
        eprintln!("  {name}");
        let (cpu, begin) = (self.server.cpu_s(), Instant::now());
        let operations = work(self)?.max(1) as f64;
        let (wall_s, cpu_s) = (begin.elapsed().as_secs_f64(), self.server.cpu_s() - cpu);
        let figure = Figure::plain(name, operations / wall_s, "1/s", Better::More);
        self.figures.push(Figure { cpu_s_per_1000: Some(cpu_s / operations * 1000.0), ..figure });
        Ok(())
    }

    /// Runs a short work several times; the median counts, in milliseconds.
    fn duration(
        &mut self,
        name: &str,
        mut work: impl FnMut() -> Result<Duration, String>,
    ) -> Result<(), String> {
        if !self.load.wants(name) {
            return Ok(());
        }
        eprintln!("  {name}");
        let mut times = (0..REPEATS).map(|_| work()).collect::<Result<Vec<_>, _>>()?;
        times.sort();
        let median_ms = times[REPEATS / 2].as_secs_f64() * 1000.0;
        self.figures.push(Figure::plain(name, median_ms, "ms", Better::Less));
        Ok(())
    }

    fn smtp(&mut self) -> Result<(), String> {
        let (peak_kib, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let server = self.server;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    peak_kib.fetch_max(server.memory_kib(), Ordering::Relaxed);
                    std::thread::sleep(MEMORY_INTERVAL);
                }
            });
            let small = self.rate("SMTP in, 4 KiB, until readable", |bench| {
                bench.deliver(bench.load.messages, |index| &bench.texts.small[index])
            });
            let large = self.rate("SMTP in, 64 KiB, until readable", |bench| {
                bench.deliver(bench.load.messages / 4, |index| &bench.texts.large[index % LARGE_COUNT])
            });
            done.store(true, Ordering::Relaxed);
            small.and(large)
        })?;
        let peak_mib = peak_kib.into_inner() as f64 / 1024.0;
        if self.load.wants("SMTP") {
            self.figures.push(Figure::plain("memory with busy SMTP", peak_mib, "MiB", Better::Less));
        }
        Ok(())
    }

    /// One message a connection, as mail exchangers mostly do, until all of them are readable.
    fn deliver<'a>(&'a self, count: usize, text: impl Fn(usize) -> &'a [u8] + Sync) -> Result<usize, String> {
        let watched: Vec<usize> = (0..ACCOUNTS).step_by(ACCOUNTS / 20).collect();
        let before: Vec<usize> =
            watched.iter().map(|user| self.inbox_messages(*user)).collect::<Result<_, _>>()?;
        let per_user = |user: usize| count / ACCOUNTS + usize::from(user < count % ACCOUNTS);
        spread(count, self.load.sessions, |index| {
            Connection::deliver(self.server.smtp, &user(index), text(index))
        })?;
        let end = Instant::now() + ARRIVAL_WAIT;
        for (user, before) in watched.into_iter().zip(before) {
            while self.inbox_messages(user)? < before + per_user(user) {
                if Instant::now() > end {
                    return Err(format!("mail for {user} did not arrive"));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(count)
    }

    fn inbox_messages(&self, user: usize) -> Result<usize, String> {
        let answer = login_as(self.server, user)?.imap("STATUS INBOX (MESSAGES)")?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let digits = text.split("MESSAGES ").nth(1).and_then(|rest| rest.split(')').next());
        digits.and_then(|d| d.trim().parse().ok()).ok_or(format!("STATUS: {text}"))
    }

    fn append(&mut self) -> Result<(), String> {
        // The big mailbox is filled in any case: the works after this one read it.
        eprintln!("  filling a mailbox");
        let mut imap = login_as(self.server, 0)?;
        imap.imap("CREATE Bench")?;
        imap.imap("CREATE Copies")?;
        let timed = self.load.messages / 5;
        for text in &self.texts.small[timed..] {
            imap.append("Bench", text)?;
        }
        let rest = &self.texts.small[..timed];
        let mut fill = || rest.iter().try_for_each(|text| imap.append("Bench", text)).map(|()| timed);
        if self.load.wants("APPEND, 1 connection") {
            self.rate("APPEND, 1 connection", |_| fill())?;
        } else {
            fill()?;
        }
        self.rate("APPEND, 10 connections", |bench| {
            spread(10, 10, |index| {
                let mut imap = login_as(bench.server, index + 10)?;
                let texts = bench.texts.small.iter().cycle().take(APPENDS_EACH);
                texts.map(Vec::as_slice).try_for_each(|text| imap.append("INBOX", text))
            })?;
            Ok(10 * APPENDS_EACH)
        })
    }

    fn logins(&mut self) -> Result<(), String> {
        self.rate("LOGIN + LOGOUT, 10 connections", |bench| {
            let login = |index| login_as(bench.server, index % ACCOUNTS)?.imap("LOGOUT").map(drop);
            spread(LOGINS, 10, login)?;
            Ok(LOGINS)
        })
    }

    fn select(&mut self) -> Result<(), String> {
        let server = self.server;
        self.duration("SELECT, new session", || {
            let mut imap = login_as(server, 0)?;
            timed(|| imap.imap("SELECT Bench").map(drop))
        })?;
        let mut imap = login_as(server, 0)?;
        self.duration("SELECT, same session", || {
            imap.imap("SELECT INBOX")?;
            timed(|| imap.imap("SELECT Bench").map(drop))
        })
    }

    fn fetch(&mut self) -> Result<(), String> {
        let count = self.load.messages;
        let mut imap = login_as(self.server, 0)?;
        imap.imap("SELECT Bench")?;
        for what in ["BODY.PEEK[]", "ENVELOPE", "BODYSTRUCTURE", "(UID FLAGS)"] {
            self.rate(&format!("FETCH 1:* {what}"), |_| {
                imap.imap(&format!("FETCH 1:* {what}")).map(|_| count)
            })?;
        }
        self.rate("FETCH BODY.PEEK[] one by one", |_| {
            (1..=count).try_for_each(|n| imap.imap(&format!("FETCH {n} BODY.PEEK[]")).map(drop))?;
            Ok(count)
        })
    }

    fn change(&mut self) -> Result<(), String> {
        let mut imap = login_as(self.server, 0)?;
        imap.imap("SELECT Bench")?;
        self.duration("STORE +- Flagged on all", || {
            timed(|| {
                imap.imap("STORE 1:* +FLAGS.SILENT (\\Flagged)")?;
                imap.imap("STORE 1:* -FLAGS.SILENT (\\Flagged)").map(drop)
            })
        })?;
        self.duration("COPY of all", || timed(|| imap.imap("COPY 1:* Copies").map(drop)))
    }

    fn search(&mut self) -> Result<(), String> {
        let mut imap = login_as(self.server, 0)?;
        imap.imap("SELECT Bench")?;
        // A part of the word: only a search for substrings finds it.
        let part = &NEEDLE[2..];
        for (name, keys) in [
            ("SEARCH BODY, part of a rare word", format!("BODY {part}")),
            ("SEARCH TEXT, part of a rare word", format!("TEXT {part}")),
        ] {
            self.duration(name, || {
                timed(|| {
                    let answer = imap.imap(&format!("SEARCH {keys}"))?;
                    let text = String::from_utf8_lossy(&answer);
                    let line = text.lines().find(|line| line.starts_with("* SEARCH")).unwrap_or_default();
                    let found = line.split_whitespace().count().saturating_sub(2);
                    if found == 1 { Ok(()) } else { Err(format!("{name}: found {found} instead of 1")) }
                })
            })?;
        }
        self.duration("SEARCH SUBJECT", || timed(|| imap.imap("SEARCH SUBJECT nosuchword").map(drop)))
    }

    fn pop3(&mut self) -> Result<(), String> {
        // A maildrop of its own with a thousand messages.
        let count = self.load.messages.min(5_000);
        let mut imap = login_as(self.server, 0)?;
        imap.imap("SELECT Bench")?;
        imap.imap(&format!("COPY 1:{count} INBOX"))?;
        imap.imap("LOGOUT")?;
        let mut pop3 = Connection::open(self.server.pop3)?;
        pop3.pop3(&format!("USER {}", user(0)))?;
        pop3.pop3(&format!("PASS {PASSWORD}"))?;
        self.rate("POP3 RETR one by one", |_| {
            (1..=count).try_for_each(|number| pop3.pop3_lines(&format!("RETR {number}")))?;
            Ok(count)
        })?;
        pop3.pop3("QUIT")
    }
}

fn user(index: usize) -> String {
    address(index % ACCOUNTS)
}

/// The address of the account with this index.
pub fn address(index: usize) -> String {
    format!("{}u@{DOMAIN}", index + 1)
}

/// An IMAP session of the account with this index, logged in.
pub fn login_as(server: &Server, index: usize) -> Result<Connection, String> {
    let mut imap = Connection::open(server.imap)?;
    imap.imap(&format!("LOGIN {} {PASSWORD}", address(index)))?;
    Ok(imap)
}

/// How long something took.
pub fn timed(work: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed())
}

/// Runs `job` for every number below `count` on so many threads; the first error ends it.
pub fn spread(
    count: usize,
    sessions: usize,
    job: impl Fn(usize) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            job(index)?;
        };
        let threads: Vec<_> = (0..sessions).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a client failed".to_owned())?)
    })
}
