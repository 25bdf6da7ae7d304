//! The texts of the console that the lab knows. All of them are here: when the console's wording
//! changes, this page does.

use crate::parts::{ADMIN_PASSWORD, BoxName, DOMAIN};

/// What the lab calls a box at its set-up.
pub fn box_name(name: BoxName) -> String {
    format!("box-{name}")
}

/// The prompt behind which a command is typed.
pub fn prompt(name: BoxName) -> String {
    format!("\n{}> ", box_name(name))
}

/// Key that leads back to the status screen from anywhere: Ctrl-C.
pub const LEAVE: &[u8] = b"\x03";
/// Key that asks for the prompt.
pub const ASK_FOR_LOGIN: &[u8] = b":";
/// What asks for the administrator's password.
pub const PASSWORD: &str = "Password: ";
/// What the first-boot wizard shows first.
pub const WIZARD: &str = "Language / ";
/// What the status screen shows in its last row.
pub const STATUS: &str = "Ctrl-L redraw";
/// What stands before the box's name on the status screen of a box that has its settings.
pub const THIS_BOX: &str = "This box    box-";
/// What the status screen shows, in its place, before it is known whether the box has settings.
pub const NOTHING_KNOWN: [&str; 2] =
    ["waiting for the cluster service", "The cluster service is not running"];
/// What the wizard shows when the box has its settings.
pub const SET_UP_DONE: &str = "Set-up is complete.";
/// What the wizard shows before it refuses an answer, or could not carry the answers out.
pub const SET_UP_FAILED: &str = "error: ";
/// Key that has the wizard ask its question again: Ctrl-L.
pub const ASK_AGAIN: &[u8] = b"\x0c";

/// One question of the wizard and the keys that answer it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// A part of the question's text that no other text of the wizard has.
    pub question: &'static str,
    /// What is typed.
    pub keys: String,
}

fn answers(table: &[(&'static str, &str)]) -> Vec<Answer> {
    table.iter().map(|(question, keys)| Answer { question, keys: (*keys).to_owned() }).collect()
}

/// Answers of the first box. The LUN is formatted only because the lab says so here.
pub fn first_box() -> Vec<Answer> {
    let name = format!("{}\r", box_name(BoxName::A));
    let password = format!("{ADMIN_PASSWORD}\r");
    let domain = format!("{DOMAIN}\r");
    answers(&[
        (WIZARD, "1"),
        ("[1/6] Box name", &name),
        ("[2/6] Public address", "10.77.0.11/24 fd77::11/64\r"),
        ("[2/6] Gateway", "10.77.0.1\r"),
        ("[2/6] Name server", "10.77.0.1\r"),
        ("[3/6] Virtual address", "10.77.0.10/24 fd77::10/64\r"),
        // Of two that begin alike the longer one comes first. Return looks at the array again.
        ("[4/6] LUN (none usable", "\r"),
        ("[4/6] LUN", "1\r"),
        ("[4/6] Type FORMAT", "FORMAT\r"),
        ("[5/6] Mail domain", &domain),
        ("[6/6] Administrator's password", &password),
        ("[6/6] Password again", &password),
        ("Apply these settings", "yes\r"),
    ])
}

/// Answers of a box that joins: all else it learns over the serial cable.
pub fn joining(name: BoxName) -> Vec<Answer> {
    let called = format!("{}\r", box_name(name));
    let number = 11 + name.index();
    let address = format!("10.77.0.{number}/24 fd77::{number}/64\r");
    answers(&[
        (WIZARD, "1"),
        ("[1/2] Box name", &called),
        ("[2/2] Public address", &address),
        ("Join the pair", "yes\r"),
    ])
}
