//! Asking the index.

use std::collections::HashSet;

use message::{Fit, Place, TextPart, TextPlan, Verdict, WIDE};
use rusqlite::{Connection, params};

use super::database::indexed_below;
use super::intake::Intake;
use super::vocabulary;
use crate::{BodyId, StoreError};

/// Rows of the index read for one text, beside so many for each body that is asked about: reading the
/// bodies would cost as much.
const ROWS_MIN: usize = 100_000;
const ROWS_PER_BODY: usize = 200;
/// Words one text may stand in, at least, at most, and one for so many bodies.
const WORDS_MIN: usize = 64;
const WORDS_MAX: usize = 2_048;
const BODIES_PER_WORD: usize = 8;

/// What an index can say about one plan.
enum Answer {
    /// Nothing.
    Unknown,
    /// Only these meet it, and those that are wide may.
    These(HashSet<i64>),
}

/// A verdict on each body for each plan, in order. The connection reads one moment.
pub(super) fn judge(
    database: &Connection,
    intake: &Intake,
    plans: &[TextPlan],
    bodies: &[BodyId],
) -> Result<Vec<Vec<Verdict>>, StoreError> {
    // The index first: what goes into it meanwhile is still unknown here, or still waiting there.
    let below = indexed_below(database)?;
    let waiting = intake.waiting();
    let indexed = || bodies.iter().map(|body| body.0).filter(|body| *body < below);
    let question = match (indexed().min(), indexed().max()) {
        (Some(first), Some(last)) => Some(Question {
            database,
            first: first as i64,
            last: last as i64,
            rows_max: ROWS_MIN + bodies.len() * ROWS_PER_BODY,
            words_max: (bodies.len() / BODIES_PER_WORD).clamp(WORDS_MIN, WORDS_MAX),
        }),
        _ => None,
    };
    let wide = match &question {
        Some(question) => question.postings(&format!("\"{WIDE}\""))?,
        None => Some(Vec::new()),
    };
    let mut verdicts = Vec::with_capacity(plans.len());
    for plan in plans {
        let answer = match (&question, &wide) {
            (Some(question), Some(_)) => question.answer(plan)?,
            _ => Answer::Unknown,
        };
        let is_wide = |body: i64| wide.as_ref().is_none_or(|wide| wide.binary_search(&body).is_ok());
        let judge_one = |body: &BodyId| {
            if body.0 >= below {
                return waiting.get(&body.0).map_or(Verdict::Look, |tokens| plan.judge(tokens));
            }
            let body = body.0 as i64;
            match &answer {
                Answer::Unknown => Verdict::Look,
                Answer::These(found) if found.contains(&body) => {
                    if plan.certain {
                        Verdict::Yes
                    } else {
                        Verdict::Look
                    }
                }
                Answer::These(_) if is_wide(body) => Verdict::Look,
                Answer::These(_) => Verdict::No,
            }
        };
        verdicts.push(bodies.iter().map(judge_one).collect());
    }
    Ok(verdicts)
}

/// What bodies are asked about, and what it may cost.
struct Question<'a> {
    database: &'a Connection,
    first: i64,
    last: i64,
    rows_max: usize,
    words_max: usize,
}

impl Question<'_> {
    fn answer(&self, plan: &TextPlan) -> Result<Answer, StoreError> {
        let mut so_far: Option<HashSet<i64>> = None;
        for part in &plan.parts {
            let Some(found) = self.bodies_with(part)? else { continue };
            so_far = Some(match so_far {
                None => found.into_iter().collect(),
                Some(known) => found.into_iter().filter(|body| known.contains(body)).collect(),
            });
            if so_far.as_ref().is_some_and(HashSet::is_empty) {
                break;
            }
        }
        Ok(so_far.map_or(Answer::Unknown, Answer::These))
    }

    /// Bodies that have the part; `None` if finding them costs more than it is worth.
    fn bodies_with(&self, part: &TextPart) -> Result<Option<Vec<i64>>, StoreError> {
        if part.fit == Fit::Whole {
            return self.postings(&term(&part.text, part.places));
        }
        let words = vocabulary::find(self.database, &part.text, part.fit, self.words_max)?;
        let Some(words) = words else { return Ok(None) };
        let mut all = Vec::new();
        for word in words {
            let Some(found) = self.postings(&term(&word, part.places))? else { return Ok(None) };
            all.extend(found);
            if all.len() > self.rows_max {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    /// Bodies that match, ascending; `None` if they are too many.
    fn postings(&self, matching: &str) -> Result<Option<Vec<i64>>, StoreError> {
        let mut statement = self.database.prepare_cached(
            "SELECT rowid FROM postings WHERE postings MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4",
        )?;
        let range = params![matching, self.first, self.last, self.rows_max as i64 + 1];
        let found: Vec<i64> = statement.query_map(range, |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Some(found).filter(|found| found.len() <= self.rows_max))
    }
}

/// A word in one of these places, as FTS5 asks for it.
fn term(word: &str, places: &[Place]) -> String {
    let mut out = String::new();
    for place in places {
        if !out.is_empty() {
            out.push_str(" OR ");
        }
        out.push('"');
        out.push(char::from(place.letter()));
        out.push_str(word);
        out.push('"');
    }
    out
}
