//! A password from standard input, or typed on a terminal without echo.

use std::io::{BufRead, BufReader, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use crate::failure::Failure;
use crate::language::Language;
use crate::text::Text;
use crate::words::PasswordSource;

/// Longest password read.
pub const PASSWORD_MAX_BYTES: u64 = 1024;

/// The password `source` leads to, asking on the terminal where it names none.
pub fn read(source: &PasswordSource, language: Language) -> Result<String, Failure> {
    if let Some(password) = &source.password {
        return Ok(password.clone());
    }
    let stdin = std::io::stdin();
    if source.password_stdin {
        return line(&mut stdin.lock(), language);
    }
    if !isatty(&stdin) {
        return Err(Failure::NoPassword);
    }
    let mut terminal = BufReader::new(stdin.lock());
    let _silence = Silence::on().map_err(unreadable)?;
    let first = ask(&mut terminal, Text::PasswordPrompt, language)?;
    let second = ask(&mut terminal, Text::PasswordAgain, language)?;
    if first == second { Ok(first) } else { Err(Failure::PasswordsDiffer) }
}

fn ask(terminal: &mut impl BufRead, prompt: Text, language: Language) -> Result<String, Failure> {
    let mut out = std::io::stderr();
    let asked = write!(out, "{}", prompt.get(language)).and_then(|()| out.flush());
    asked.map_err(unreadable)?;
    let password = line(terminal, language);
    writeln!(out).map_err(unreadable)?;
    password
}

fn line(input: &mut impl BufRead, language: Language) -> Result<String, Failure> {
    let mut text = String::new();
    input.take(PASSWORD_MAX_BYTES).read_line(&mut text).map_err(unreadable)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::PasswordUnreadable(Text::EmptyPassword.get(language).to_owned()));
    }
    Ok(password.to_owned())
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::PasswordUnreadable(error.to_string())
}

/// The terminal without echo, until dropped.
struct Silence(Termios);

impl Silence {
    fn on() -> rustix::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _restored = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
