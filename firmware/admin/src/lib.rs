//! The `twinmail` command line: words, what they ask of the services, and how the answer looks.
//!
//! The same words work in a shell ([`main`]) and at the console of a box ([`run`]), for people and,
//! with `--json`, for machines; in English and in Chinese. The types that machines get are those of
//! the `control` crate.
//!
//! Nothing is decided here and nothing is kept: every command is one request to one service over its
//! control socket. It never waits without a time limit, never prints a password, and always says
//! what to do when a service is not there.

mod answer;
mod bulk;
mod csv;
mod directory_answer;
mod directory_words;
mod execute;
mod failure;
mod fence;
mod help;
mod language;
mod password;
mod queue;
mod status;
pub mod table;
mod telling_words;
pub mod text;
mod which_group;
mod words;

use std::io::Write;
use std::process::ExitCode;

pub use answer::{log_line, phases, record_lines};
pub use execute::{CHANGE_TIMEOUT, CHECK_TIMEOUT, QUESTION_TIMEOUT, Sockets};
pub use failure::{EXIT_NOT_RUNNING, EXIT_REFUSED, EXIT_USAGE, Failure};
pub use language::{Language, fill, from_environment, translation_fault};
pub use status::{peer, readiness};
pub use text::sentence;
pub use words::WORDS_MAX;

use answer::Answer;
use directory_words::User;
use words::{Command, Line};

/// Runs one command in English, as [`run_as`] does, for a caller that has no password to give.
pub fn run(words: &[String], sockets: &Sockets, out: &mut dyn Write) -> i32 {
    run_as(words, sockets, Language::En, None, out)
}

/// Runs one command given at a console and writes everything it says to `out`; on failure the last
/// line starts with `error: ` (or is `{"error": ...}` with `--json`). `password` is used where the
/// command needs one and its words have none. Returns the exit code.
pub fn run_as(
    words: &[String],
    sockets: &Sockets,
    language: Language,
    password: Option<String>,
    out: &mut dyn Write,
) -> i32 {
    let words = without_program(words);
    let language = asked_language(words).unwrap_or(language);
    let answer = Line::parse(words, language).and_then(|line| {
        let given = line.password_source().and_then(|source| source.password.clone());
        execute::execute(line, given.or(password), sockets)
    });
    let said = Said::of(&answer, json_asked(words), language);
    let written = out.write_all(said.stdout.as_bytes()).and_then(|()| out.write_all(said.stderr.as_bytes()));
    if written.is_err() { EXIT_REFUSED } else { said.code }
}

/// Whether these words, given at a console, need a password that must still be typed.
pub fn wants_password(words: &[String]) -> bool {
    let line = Line::parse(without_program(words), Language::En);
    line.is_ok_and(|line| line.password_source().is_some_and(|source| source.password.is_none()))
}

/// The command line of a shell. `args` are the words without the program's name.
pub fn main(args: Vec<String>) -> ExitCode {
    let code = run_in_shell(&args, &mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(u8::try_from(code).unwrap_or(EXIT_REFUSED as u8))
}

/// The same with other places to write to.
pub fn run_in_shell(args: &[String], out: &mut dyn Write, errors: &mut dyn Write) -> i32 {
    let asked = asked_language(args).or_else(settings_language);
    let language = asked.or_else(|| from_environment(|name| std::env::var(name).ok())).unwrap_or_default();
    let json = json_asked(args);
    let answer = Line::parse_with_place(args, language).and_then(|(line, place)| {
        let mail = place.socket.or_else(|| place.data.map(|dir| dir.join("mail.sock")));
        let sockets = mail.map_or_else(Sockets::default, Sockets::single);
        let password = line.password_source().map(|source| password::read(source, language)).transpose()?;
        match line.command {
            Command::User(User::Import { file, update, dry_run }) => {
                let options = bulk::Import { file: &file, update, dry_run, json, language };
                bulk::import(&options, &sockets, out, errors).map(|()| None)
            }
            Command::User(User::Export { domain }) => {
                let mut out = std::io::BufWriter::new(&mut *out);
                bulk::export(domain.as_deref(), &sockets, &mut out).map(|()| None)
            }
            command => execute::execute(Line { command, ..line }, password, &sockets).map(Some),
        }
    });
    // What an import has to say it has said already.
    let said = match answer {
        Ok(None) => return 0,
        Err(Failure::BadRows(_)) if json => return EXIT_REFUSED,
        Ok(Some(answer)) => Said::of(&Ok(answer), json, language),
        Err(failure) => Said::of(&Err(failure), json, language),
    };
    let written = out.write_all(said.stdout.as_bytes());
    // A closed pipe on either side leaves nobody to tell.
    let _told = errors.write_all(said.stderr.as_bytes());
    if written.is_err() { EXIT_REFUSED } else { said.code }
}

/// What is printed in the end.
struct Said {
    stdout: String,
    stderr: String,
    code: i32,
}

impl Said {
    fn of(answer: &Result<Answer, Failure>, json: bool, language: Language) -> Self {
        let (stdout, failure) = match answer {
            Ok(answer) => {
                let text = if json { answer.json() + "\n" } else { answer.human(language) };
                let faults = match answer {
                    Answer::Check(report) if !report.faults.is_empty() => report.faults.len(),
                    _ => 0,
                };
                (text, (faults > 0).then_some(Failure::Faults(faults)))
            }
            Err(Failure::Help(text)) => return Self { stdout: text.clone(), stderr: String::new(), code: 0 },
            Err(failure) if json => {
                let text = failure.json(language) + "\n";
                return Self { stdout: text, stderr: String::new(), code: failure.code() };
            }
            Err(Failure::Incomplete(text)) => {
                let stderr = error_line(Text::WrongWords.get(language), language);
                return Self { stdout: text.clone(), stderr, code: EXIT_USAGE };
            }
            Err(failure) => {
                let stderr = error_line(&failure.sentence(language), language);
                return Self { stdout: String::new(), stderr, code: failure.code() };
            }
        };
        let code = failure.as_ref().map_or(0, Failure::code);
        let told = failure.filter(|_| !json).map(|failure| error_line(&failure.sentence(language), language));
        Self { stdout, stderr: told.unwrap_or_default(), code }
    }
}

use text::Text;

fn error_line(sentence: &str, language: Language) -> String {
    format!("{}{}\n", Text::Error.get(language), table::printable(sentence.trim()))
}

fn without_program(words: &[String]) -> &[String] {
    match words.split_first() {
        Some((first, rest)) if first == "twinmail" => rest,
        _ => words,
    }
}

fn json_asked(words: &[String]) -> bool {
    words.iter().any(|word| word == "--json")
}

/// The language named in the words, read before they are parsed: wrong words are explained in it too.
fn asked_language(words: &[String]) -> Option<Language> {
    let after = words.iter().position(|word| word == "--language").and_then(|at| words.get(at + 1));
    let value = words.iter().find_map(|word| word.strip_prefix("--language=")).or(after.map(String::as_str));
    match value? {
        "en" => Some(Language::En),
        "zh" => Some(Language::Zh),
        _ => None,
    }
}

/// The language of the box's settings, where this runs in a box.
fn settings_language() -> Option<Language> {
    let partition = std::env::var_os("TWINMAIL_SYSTEM")?;
    let loaded = settings::SettingsFile::new(partition).load();
    loaded.ok().flatten().map(|settings| settings.language)
}
