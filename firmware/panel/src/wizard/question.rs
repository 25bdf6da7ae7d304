//! The questions: how each is asked, and what an answer leads to.

use admin::table::{Table, size};
use control::cluster::{Lun, LunContent};

use super::answers::{self, FIRST_NAME};
use super::text::{LANGUAGE_PROMPT, Text};
use super::{Step, Wizard};
use crate::action::Action;
use crate::line::Line;

impl Wizard {
    /// Goes to a question: its explanation, then its prompt.
    pub(super) fn go(&mut self, step: Step) {
        self.step = step;
        match &self.step {
            Step::LunSearch => {
                self.output.push('\n');
                self.say(Text::LunHelp);
                self.say(Text::LunSearching);
                self.actions.push_back(Action::Luns);
            }
            Step::Apply | Step::JoinApply => {
                self.correcting = false;
                self.summary();
            }
            Step::Format(lun) => {
                let values: [&dyn std::fmt::Display; 3] =
                    [&self.lun_number(lun), &lun.model.trim(), &size(lun.size_bytes)];
                let help = Text::FormatHelp.fill(self.language, &values);
                self.print(&[&help, "\n"]);
            }
            Step::Keep(lun) => {
                let LunContent::Twinmail { pair } = &lun.content else { return };
                let help = Text::KeepHelp.fill(self.language, &[&self.lun_number(lun), pair]);
                self.print(&[&help, "\n"]);
            }
            step => {
                if let Some(help) = explanation(step) {
                    if !matches!(step, Step::Gateway | Step::NameServer) {
                        self.output.push('\n');
                    }
                    self.say(help);
                }
            }
        }
        self.ask();
    }

    /// Prints the prompt of the question.
    pub(super) fn ask(&mut self) {
        let secret = matches!(self.step, Step::Password | Step::PasswordAgain(_));
        self.line = if secret { Line::secret() } else { Line::new() };
        let prompt = match &self.step {
            Step::Language => {
                self.output.push_str(LANGUAGE_PROMPT);
                return;
            }
            Step::LunSearch | Step::Working(_) | Step::Finished { .. } => return,
            Step::Name => Text::NamePrompt,
            Step::Public => Text::PublicPrompt,
            Step::Gateway => Text::GatewayPrompt,
            Step::NameServer => Text::NameServerPrompt,
            Step::Virtual => Text::VirtualPrompt,
            Step::Lun if self.usable_luns() == 0 => Text::LunNonePrompt,
            Step::Lun => Text::LunPrompt,
            Step::Format(_) => Text::FormatPrompt,
            Step::Keep(_) => Text::KeepPrompt,
            Step::Domain => Text::DomainPrompt,
            Step::Password => Text::PasswordPrompt,
            Step::PasswordAgain(_) => Text::PasswordAgainPrompt,
            Step::Apply => Text::ApplyPrompt,
            Step::JoinName => Text::JoinNamePrompt,
            Step::JoinPublic => Text::JoinPublicPrompt,
            Step::JoinApply => Text::JoinApplyPrompt,
        };
        let prompt = prompt.get(self.language);
        match self.suggestion() {
            Some(suggestion) => self.print(&[prompt, " [", &suggestion, "]: "]),
            None => self.print(&[prompt, ": "]),
        }
    }

    /// The answer that Return alone gives.
    fn suggestion(&self) -> Option<String> {
        let joined = |list: &[String]| (!list.is_empty()).then(|| list.join(" "));
        let given = &self.answers;
        match &self.step {
            Step::Name => Some(given.box_name.clone().unwrap_or_else(|| FIRST_NAME.to_owned())),
            Step::JoinName => {
                given.box_name.clone().or_else(|| self.offer.as_ref().map(|offer| offer.name.clone()))
            }
            Step::Public | Step::JoinPublic => joined(&given.public.addresses),
            Step::Gateway if given.routed && given.public.gateways.is_empty() => Some("none".to_owned()),
            Step::Gateway => {
                Some(given.suggested_gateway().map_or_else(|| "none".to_owned(), |host| host.to_string()))
            }
            Step::NameServer => {
                let host = given.public.name_servers.first().or(given.public.gateways.first());
                Some(host.map_or_else(|| "none".to_owned(), ToString::to_string))
            }
            Step::Virtual => joined(&given.virtual_addresses),
            Step::Lun => {
                let mut usable = self.luns.iter().enumerate().filter(|(_, lun)| usable(lun));
                match (usable.next(), usable.next()) {
                    (Some((at, _)), None) => Some((at + 1).to_string()),
                    _ => None,
                }
            }
            Step::Keep(_) => Some("no".to_owned()),
            Step::Domain => given.domain.clone(),
            Step::Apply | Step::JoinApply => Some("yes".to_owned()),
            Step::Language
            | Step::LunSearch
            | Step::Format(_)
            | Step::Password
            | Step::PasswordAgain(_)
            | Step::Working(_)
            | Step::Finished { .. } => None,
        }
    }

    /// Takes the answer to the question.
    pub(super) fn answered(&mut self, typed: &str, now_ms: u64) {
        let secret = matches!(self.step, Step::Password | Step::PasswordAgain(_));
        let typed = if secret { typed } else { typed.trim() };
        if !secret {
            match typed {
                "back" | "<" => return self.back(),
                "join" => return self.join(),
                "first" if matches!(self.step, Step::JoinName | Step::JoinPublic | Step::JoinApply) => {
                    self.answers.box_name = None;
                    self.answers.public = control::cluster::Interface::default();
                    return self.first();
                }
                _ => {}
            }
        }
        let suggestion = if typed.is_empty() { self.suggestion() } else { None };
        let answer = suggestion.as_deref().unwrap_or(typed);
        if let Err(reason) = self.take(answer, now_ms) {
            self.complain(&reason);
            self.ask();
        }
    }

    fn take(&mut self, answer: &str, now_ms: u64) -> Result<(), String> {
        let language = self.language;
        match self.step.clone() {
            Step::Name => {
                self.answers.box_name = Some(answers::box_name(answer, None, language)?);
                self.next(Step::Public);
            }
            Step::JoinName => {
                let peer = self.offer.as_ref().map(|offer| offer.by.as_str());
                self.answers.box_name = Some(answers::box_name(answer, peer, language)?);
                let next = if self.correcting { Step::JoinApply } else { Step::JoinPublic };
                self.go(next);
            }
            Step::Public => {
                let addresses = answers::interface_addresses(answer, language)?;
                if addresses != self.answers.public.addresses {
                    self.answers.public = control::cluster::Interface { addresses, ..Default::default() };
                    self.answers.routed = false;
                }
                self.go(Step::Gateway);
            }
            Step::JoinPublic => {
                self.answers.public.addresses = answers::interface_addresses(answer, language)?;
                self.go(Step::JoinApply);
            }
            Step::Gateway => {
                self.answers.public.gateways = answers::hosts(answer, language)?;
                self.answers.routed = true;
                self.go(Step::NameServer);
            }
            Step::NameServer => {
                self.answers.public.name_servers = answers::hosts(answer, language)?;
                self.next(Step::Virtual);
            }
            Step::Virtual => {
                let own = &self.answers.public.addresses;
                self.answers.virtual_addresses = answers::virtual_addresses(answer, own, language)?;
                self.next(Step::LunSearch);
            }
            Step::Lun if answer.is_empty() => self.go(Step::LunSearch),
            Step::Lun => self.lun_chosen(answer)?,
            Step::Format(lun) if answer == "FORMAT" => self.lun_settled(lun, true),
            Step::Format(_) => {
                let reason = Text::NotFormatted.get(language);
                self.complain(reason);
                self.go(Step::Lun);
            }
            Step::Keep(lun) => match yes(answer) {
                Some(true) => self.lun_settled(lun, false),
                Some(false) => self.go(Step::Lun),
                None => return Err(Text::NotAnAnswer.fill(language, &[&answer])),
            },
            Step::Domain => {
                self.answers.domain = Some(answers::domain(answer, language)?);
                self.next(Step::Password);
            }
            Step::Password if answer.chars().count() < 8 => {
                return Err(Text::ShortPassword.get(language).to_owned());
            }
            Step::Password => self.go(Step::PasswordAgain(answer.to_owned())),
            Step::PasswordAgain(first) if first == answer => {
                self.answers.password = Some(first);
                self.go(Step::Apply);
            }
            Step::PasswordAgain(_) => {
                self.step = Step::Password;
                return Err(Text::PasswordsDiffer.get(language).to_owned());
            }
            Step::Apply => self.decided(answer, false, now_ms)?,
            Step::JoinApply => self.decided(answer, true, now_ms)?,
            Step::Language | Step::LunSearch | Step::Working(_) | Step::Finished { .. } => {}
        }
        Ok(())
    }

    /// The next question, or the summary where only one answer was to be changed.
    fn next(&mut self, step: Step) {
        let step = if self.correcting { Step::Apply } else { step };
        self.go(step);
    }

    fn decided(&mut self, answer: &str, join: bool, now_ms: u64) -> Result<(), String> {
        let question = match (answer, join) {
            (_, _) if yes(answer) == Some(true) => {
                self.apply(join, now_ms);
                return Ok(());
            }
            ("1", false) => Step::Name,
            ("2", false) => Step::Public,
            ("3", false) => Step::Virtual,
            ("4", false) => Step::LunSearch,
            ("5", false) => Step::Domain,
            ("6", false) => Step::Password,
            ("1", true) => Step::JoinName,
            ("2", true) => Step::JoinPublic,
            _ if yes(answer) == Some(false) => {
                self.begin();
                return Ok(());
            }
            _ => return Err(Text::NotAnAnswer.fill(self.language, &[&answer])),
        };
        self.correcting = true;
        self.go(question);
        Ok(())
    }

    fn back(&mut self) {
        self.correcting = false;
        let before = match &self.step {
            Step::Name | Step::JoinName => return self.begin(),
            Step::Public => Step::Name,
            Step::Gateway => Step::Public,
            Step::NameServer => Step::Gateway,
            Step::Virtual => Step::NameServer,
            Step::Lun | Step::LunSearch => Step::Virtual,
            Step::Format(_) | Step::Keep(_) => Step::Lun,
            Step::Domain => Step::Lun,
            Step::Password | Step::PasswordAgain(_) => Step::Domain,
            Step::Apply => Step::Password,
            Step::JoinPublic => Step::JoinName,
            Step::JoinApply => Step::JoinPublic,
            Step::Language | Step::Working(_) | Step::Finished { .. } => return,
        };
        self.go(before);
    }

    pub(super) fn luns_found(&mut self, found: &Result<Vec<Lun>, String>) {
        self.step = Step::Lun;
        match found {
            Ok(luns) if luns.is_empty() => {
                self.luns.clear();
                self.complain(Text::LunNone.get(self.language));
            }
            Ok(luns) => {
                self.luns.clone_from(luns);
                self.list_luns();
            }
            Err(reason) => {
                self.luns.clear();
                self.complain(reason);
            }
        }
        self.ask();
    }

    fn list_luns(&mut self) {
        let language = self.language;
        let headings = [Text::Column, Text::Model, Text::Size, Text::Content].map(|text| text.get(language));
        let mut table = Table::new(&headings);
        for (at, lun) in self.luns.iter().enumerate() {
            let content = match &lun.content {
                LunContent::Blank => Text::ContentBlank.get(language).to_owned(),
                LunContent::Twinmail { pair } => Text::ContentTwinmail.fill(language, &[pair]),
                LunContent::Foreign { what } => Text::ContentForeign.fill(language, &[what]),
                LunContent::Unreadable { reason } => Text::ContentUnreadable.fill(language, &[reason]),
            };
            table.row([(at + 1).to_string(), lun.model.trim().to_owned(), size(lun.size_bytes), content]);
        }
        self.output.push_str(&table.lines());
    }

    fn lun_chosen(&mut self, answer: &str) -> Result<(), String> {
        let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let by_number = number.and_then(|at| self.luns.get(at));
        let lun = by_number.or_else(|| self.luns.iter().find(|lun| lun.id == answer)).cloned();
        let lun = lun.ok_or_else(|| Text::NotAnAnswer.fill(self.language, &[&answer]))?;
        let number = self.lun_number(&lun);
        match &lun.content {
            LunContent::Blank => self.go(Step::Format(lun)),
            LunContent::Twinmail { .. } => self.go(Step::Keep(lun)),
            LunContent::Foreign { what } => {
                return Err(Text::LunForeign.fill(self.language, &[&number, what]));
            }
            LunContent::Unreadable { reason } => {
                return Err(Text::LunUnreadable.fill(self.language, &[&number, reason]));
            }
        }
        Ok(())
    }

    fn lun_settled(&mut self, lun: Lun, format: bool) {
        self.answers.lun = Some((lun, format));
        self.next(Step::Domain);
    }

    fn lun_number(&self, lun: &Lun) -> usize {
        self.luns.iter().position(|other| other.id == lun.id).map_or(0, |at| at + 1)
    }

    fn usable_luns(&self) -> usize {
        self.luns.iter().filter(|lun| usable(lun)).count()
    }

    fn summary(&mut self) {
        let language = self.language;
        let given = &self.answers;
        let hosts = |list: &[std::net::IpAddr]| {
            let texts: Vec<_> = list.iter().map(ToString::to_string).collect();
            if texts.is_empty() { "none".to_owned() } else { texts.join(" ") }
        };
        let mut table = Table::plain();
        let mut row = |text: Text, value: String| table.row([format!("  {}", text.get(language)), value]);
        row(Text::SummaryName, given.box_name.clone().unwrap_or_default());
        row(Text::SummaryPublic, given.public.addresses.join(" "));
        row(Text::SummaryGateway, hosts(&given.public.gateways));
        row(Text::SummaryNameServer, hosts(&given.public.name_servers));
        if self.step == Step::JoinApply {
            row(Text::SummaryPeer, self.offer.as_ref().map(|offer| offer.by.clone()).unwrap_or_default());
        } else {
            row(Text::SummaryVirtual, given.virtual_addresses.join(" "));
            if let Some((lun, format)) = &given.lun {
                let what = format!("{} {} ({})", lun.model.trim(), size(lun.size_bytes), lun.id);
                let fate = if *format { Text::WillFormat } else { Text::WillKeep };
                row(Text::SummaryLun, fate.fill(language, &[&what]));
            }
            row(Text::SummaryDomain, given.domain.clone().unwrap_or_default());
            row(Text::SummaryPassword, Text::Hidden.get(language).to_owned());
        }
        self.output.push('\n');
        self.say(Text::Summary);
        self.output.push_str(&table.lines());
    }
}

fn explanation(step: &Step) -> Option<Text> {
    Some(match step {
        Step::Name => Text::NameHelp,
        Step::Public => Text::PublicHelp,
        Step::Gateway => Text::GatewayHelp,
        Step::NameServer => Text::NameServerHelp,
        Step::Virtual => Text::VirtualHelp,
        Step::Domain => Text::DomainHelp,
        Step::Password => Text::PasswordHelp,
        _ => return None,
    })
}

fn usable(lun: &Lun) -> bool {
    matches!(lun.content, LunContent::Blank | LunContent::Twinmail { .. })
}

fn yes(answer: &str) -> Option<bool> {
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" | "是" => Some(true),
        "n" | "no" | "否" => Some(false),
        _ => None,
    }
}
