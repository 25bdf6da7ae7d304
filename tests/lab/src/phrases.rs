//! The texts of the console that the lab knows. All of them are here: when the console's wording
//! changes, this page does.

use crate::parts::BoxName;

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
pub const PASSWORD: &str = "assword";
/// What the first-boot wizard shows.
pub const WIZARD: &str = "Set-up";
/// What the status screen shows.
pub const STATUS: &str = "Status";
/// What the wizard shows when the box has its settings.
pub const SET_UP_DONE: &str = "is set up";
/// What the wizard shows when an answer could not be carried out.
pub const SET_UP_FAILED: &str = "could not";
/// The screen of the wizard is no longer than this.
pub const WIZARD_SCREEN_BYTES: usize = 2000;

/// One question of the wizard and the keys that answer it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// A part of the question's text that no other text of the wizard has.
    pub question: &'static str,
    /// What is typed.
    pub keys: String,
}

/// Answers of the first box.
pub fn first_box() -> Vec<Answer> {
    Vec::new()
}

/// Answers of the second box.
pub fn second_box() -> Vec<Answer> {
    Vec::new()
}
