//! How far the box is with what the administrator asked for.

use admin::Language;

use super::text::Text;

/// A failure reported earlier than this may be the one of the try before.
const STALE_MS: u64 = 2_000;
/// The cluster service must have begun within this time.
const BEGIN_MS: u64 = 30_000;
/// Set-up as a whole: formatting and growing a large LUN is the longest part.
const WHOLE_MS: u64 = 600_000;
/// A step that takes long says so this often.
const STILL_MS: u64 = 15_000;

/// A try to set the box up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// It is the second box that joins.
    pub join: bool,
    asked_ms: u64,
    taken_ms: Option<u64>,
    begun: bool,
    step: String,
    said_ms: u64,
}

impl Progress {
    /// The request is on its way.
    pub fn asked(join: bool, now_ms: u64) -> Self {
        Self { join, asked_ms: now_ms, taken_ms: None, begun: false, step: String::new(), said_ms: now_ms }
    }

    /// A try that somebody began before us.
    pub fn resumed(now_ms: u64) -> Self {
        Self { taken_ms: Some(now_ms), begun: true, ..Self::asked(false, now_ms) }
    }

    /// The cluster service took the request.
    pub fn taken(&mut self, now_ms: u64) {
        self.taken_ms = Some(now_ms);
    }

    /// The cluster service is at it.
    pub fn working(&mut self, now_ms: u64) {
        self.begun = true;
        self.taken_ms.get_or_insert(now_ms);
    }

    /// Whether a failure reported now is of this try.
    pub fn believes_failure(&self, now_ms: u64) -> bool {
        self.begun || self.taken_ms.is_some_and(|taken_ms| now_ms >= taken_ms + STALE_MS)
    }

    /// A step: its line, unless it was said already.
    pub fn says(&mut self, step: &str, language: Language, now_ms: u64) -> Option<String> {
        let step = admin::table::printable(step);
        if step == self.step {
            return None;
        }
        self.step = step;
        self.said_ms = now_ms;
        Some(Text::Step.fill(language, &[&self.step]) + "\n")
    }

    /// Lets the time go on: a line where a step takes long, a reason where it takes too long.
    pub fn tick(&mut self, language: Language, now_ms: u64) -> Result<Option<String>, String> {
        if now_ms >= self.asked_ms + WHOLE_MS {
            return Err(Text::TooLong.fill(language, &[&(WHOLE_MS / 1000)]));
        }
        if !self.begun && now_ms >= self.asked_ms + BEGIN_MS {
            return Err(Text::Forgotten.get(language).to_owned());
        }
        if now_ms < self.said_ms + STILL_MS {
            return Ok(None);
        }
        self.said_ms = now_ms;
        let elapsed_s = (now_ms - self.asked_ms) / 1000;
        Ok(Some(Text::Still.fill(language, &[&elapsed_s, &self.step]) + "\n"))
    }
}
