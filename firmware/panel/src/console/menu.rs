//! The menu and the question before a deed.

use admin::Language;

use crate::canvas::{Canvas, ROWS, Style};
use crate::deed::Deed;
use crate::known::Known;
use crate::text::Text;

/// One line of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// Something to be confirmed and done.
    Deed(Deed),
    /// The log view.
    Log,
    /// The decisions.
    Records,
    /// The command prompt.
    Commands,
    /// The other language.
    Language,
    /// Ends the log-in.
    LogOut,
}

/// The menu's lines, as they make sense now.
pub fn items(known: &Known, logged_in: bool) -> Vec<Item> {
    let maintenance = known.status.as_ref().is_some_and(|status| status.maintenance);
    let mut items = vec![
        Item::Deed(Deed::SwitchOver),
        Item::Deed(Deed::Maintenance(!maintenance)),
        Item::Log,
        Item::Records,
        Item::Commands,
        Item::Language,
        Item::Deed(Deed::PowerOff),
        Item::Deed(Deed::Restart),
    ];
    if logged_in {
        items.push(Item::LogOut);
    }
    items
}

fn label(item: Item, known: &Known, language: Language) -> String {
    let text = match item {
        Item::Deed(Deed::SwitchOver) => return target(Text::MenuSwitchOver, known, language),
        Item::Deed(Deed::Maintenance(true)) => Text::MenuMaintenanceOn,
        Item::Deed(Deed::Maintenance(false)) => Text::MenuMaintenanceOff,
        Item::Deed(Deed::PowerOff) => Text::MenuPowerOff,
        Item::Deed(Deed::Restart) => Text::MenuRestart,
        Item::Log => Text::MenuLog,
        Item::Records => Text::MenuRecords,
        Item::Commands => Text::MenuCommands,
        Item::Language => Text::MenuLanguage,
        Item::LogOut => Text::MenuLogOut,
    };
    text.get(language).to_owned()
}

fn target(text: Text, known: &Known, language: Language) -> String {
    let name = known.switch_over_to().unwrap_or(Text::OtherBoxUnknown.get(language));
    text.fill(language, &[&name])
}

/// Draws the menu.
pub fn draw(known: &Known, selected: usize, logged_in: bool, language: Language) -> Canvas {
    let mut canvas = Canvas::default();
    canvas.bar(0, &format!("Twinmail   {}   {}", known.box_name(), Text::Menu.get(language)));
    for (at, item) in items(known, logged_in).into_iter().enumerate() {
        let style = if at == selected { Style::Inverse } else { Style::Plain };
        canvas.put(at + 2, 3, &format!(" {} {} ", at + 1, label(item, known, language)), style);
    }
    canvas.bar(ROWS - 1, Text::MenuBar.get(language));
    canvas
}

/// Draws the question before a deed.
pub fn draw_confirm(known: &Known, deed: Deed, language: Language) -> Canvas {
    let question = match deed {
        Deed::SwitchOver => target(Text::AskSwitchOver, known, language),
        Deed::Maintenance(true) => Text::AskMaintenanceOn.get(language).to_owned(),
        Deed::Maintenance(false) => Text::AskMaintenanceOff.get(language).to_owned(),
        Deed::PowerOff => Text::AskPowerOff.get(language).to_owned(),
        Deed::Restart => Text::AskRestart.get(language).to_owned(),
    };
    draw_notice(known, &question, Text::ConfirmBar, language)
}

/// Draws one sentence.
pub fn draw_notice(known: &Known, sentence: &str, bar: Text, language: Language) -> Canvas {
    let mut canvas = Canvas::default();
    canvas.bar(0, &format!("Twinmail   {}", known.box_name()));
    for (at, line) in folded(sentence, 74).into_iter().take(ROWS - 4).enumerate() {
        canvas.put(at + 2, 3, &line, Style::Bold);
    }
    canvas.bar(ROWS - 1, bar.get(language));
    canvas
}

/// A sentence on several rows, folded between words, and between any letters of a long word.
fn folded(sentence: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut rest = sentence.trim();
    while !rest.is_empty() {
        let fits = admin::table::cut(rest, columns);
        let at = if fits.len() == rest.len() {
            rest.len()
        } else {
            fits.rfind(' ').filter(|at| *at > 0).unwrap_or(fits.len()).max(1)
        };
        let (row, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        rows.push(row.trim_end().to_owned());
        rest = after.trim_start();
    }
    rows
}
