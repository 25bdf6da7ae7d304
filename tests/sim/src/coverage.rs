//! What the runs did: a table of everything that happened at least once, and how often.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(&'static str, String), u64>);

impl Coverage {
    /// One more of `what`, in part `part` of the table.
    pub fn count(&mut self, part: &'static str, what: impl Into<String>) {
        *self.0.entry((part, what.into())).or_default() += 1;
    }

    /// How often `what` happened.
    pub fn of(&self, part: &'static str, what: &str) -> u64 {
        self.0.get(&(part, what.to_owned())).copied().unwrap_or_default()
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((part, what), count) in &self.0 {
            if *part != last {
                writeln!(f, "{part}")?;
                last = part;
            }
            writeln!(f, "  {count:>10}  {what}")?;
        }
        Ok(())
    }
}
