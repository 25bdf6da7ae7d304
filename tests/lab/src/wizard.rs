//! Answers the console's first-boot wizard as an administrator would.

use std::time::{Duration, Instant};

use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::parts::BoxName;
use crate::phrases::{self, Answer};

/// How long the wizard may take between two questions; formatting the LUN is one of the steps.
const QUESTION_MAX: Duration = Duration::from_mins(1);
/// How long a whole set-up may take.
const SET_UP_MAX: Duration = Duration::from_mins(3);
/// So many refusals of the wizard are too many.
const REFUSALS_MAX: u32 = 8;

/// The six questions of the first box.
pub fn set_up_first(lab: &Lab) -> Result<()> {
    answer(lab, BoxName::A, &phrases::first_box())
}

/// A blank box that joins the other one: what it cannot learn over the serial cable.
pub fn join(lab: &Lab, name: BoxName) -> Result<()> {
    answer(lab, name, &phrases::joining(name))
}

/// Answers whatever is asked, in whatever order, until the wizard says it is done.
fn answer(lab: &Lab, name: BoxName, answers: &[Answer]) -> Result<()> {
    let console = lab.console(name);
    let began = Instant::now();
    let mut wanted: Vec<&str> = answers.iter().map(|answer| answer.question).collect();
    wanted.push(phrases::SET_UP_DONE);
    wanted.push(phrases::SET_UP_FAILED);
    // The question on the screen now was asked before we came.
    let mut from = console.tape().end();
    console.type_keys(phrases::ASK_AGAIN);
    let mut refusals = 0;
    let mut chosen = false;
    while began.elapsed() < SET_UP_MAX && refusals < REFUSALS_MAX {
        let found = console.expect(from, &wanted, QUESTION_MAX)?;
        from = found.end;
        match answers.get(found.which) {
            // On a slow box the question that was asked again comes behind its answer; the key would be
            // taken for an answer to the next one.
            Some(answer) if answer.question == phrases::WIZARD && chosen => {}
            Some(answer) => {
                chosen |= answer.question == phrases::WIZARD;
                let (keys, last) = answer.keys.as_bytes().split_at(answer.keys.len() - 1);
                console.type_keys(keys);
                // Only what comes after the answer's last key counts as the next question.
                from = from.max(console.tape().end());
                console.type_keys(last);
            }
            None if found.which == answers.len() => return Ok(()),
            // The wizard asks again after a refusal; a box that is still busy may have caused it.
            None => {
                refusals += 1;
                chosen = false;
            }
        }
    }
    let hint = format!(": its console ends with\n{}", console.tape().last_lines(8));
    Err(LabError::TooLate {
        what: format!("the set-up of box {name}"),
        seconds: began.elapsed().as_secs(),
        hint,
    })
}
