//! The saved result of a search, which `$` stands for (RFC 5182).

use store::Uid;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Session;
use crate::parse::{Command, SearchReturn, SequenceSet, SetRange};
use crate::search::Numbered;

/// Numbers in ascending order as ranges.
fn runs(numbers: impl IntoIterator<Item = Uid>) -> Vec<(Uid, Uid)> {
    let mut runs: Vec<(Uid, Uid)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

fn set(runs: &[(Uid, Uid)]) -> SequenceSet {
    let range = |(from, to): &(Uid, Uid)| SetRange { from: Some(*from), to: Some(*to) };
    SequenceSet { ranges: runs.iter().map(range).collect() }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Keeps what SAVE asks to keep of a result: with MIN, MAX and PARTIAL alone only the messages these
    /// name (RFC 5182 section 2.4, RFC 9394 section 3.1).
    pub(super) fn save_result(&mut self, returns: &[SearchReturn], found: &[Numbered]) {
        if !returns.contains(&SearchReturn::Save) {
            return;
        }
        let uids = |found: &[Numbered]| found.iter().map(|message| message.entry.uid).collect::<Vec<Uid>>();
        let narrow = |option: &SearchReturn| {
            matches!(option, SearchReturn::Min | SearchReturn::Max | SearchReturn::Partial(_))
        };
        let wide = |option: &SearchReturn| matches!(option, SearchReturn::All | SearchReturn::Count);
        let mut saved = Vec::new();
        if returns.iter().any(narrow) && !returns.iter().any(wide) {
            for option in returns {
                match option {
                    SearchReturn::Min => saved.extend(found.first().map(|message| message.entry.uid)),
                    SearchReturn::Max => saved.extend(found.last().map(|message| message.entry.uid)),
                    SearchReturn::Partial(page) => {
                        saved.extend(uids(found.get(page.of(found.len())).unwrap_or_default()));
                    }
                    _ => {}
                }
            }
        } else {
            saved = uids(found);
        }
        saved.sort_unstable();
        saved.dedup();
        self.saved = runs(saved);
    }

    /// A search that was to be saved and failed leaves an empty result (RFC 5182 section 2.1).
    pub(super) fn save_nothing(&mut self, returns: &[SearchReturn]) {
        if returns.contains(&SearchReturn::Save) {
            self.saved = Vec::new();
        }
    }

    /// The command with the saved result in the place of `$`.
    pub(super) fn with_saved(&self, mut command: Command) -> Command {
        match &mut command {
            Command::Fetch { uid, set, .. }
            | Command::Store { uid, set, .. }
            | Command::Replace { uid, set, .. }
            | Command::Copy { uid, set, .. } => self.put_saved(*uid, set),
            Command::Expunge { uids: Some(set) } => self.put_saved(true, set),
            Command::Search { key, .. } | Command::Sort { key, .. } | Command::Thread { key, .. } => {
                key.put_saved(&self.saved_uids());
            }
            _ => {}
        }
        command
    }

    /// The saved result as UIDs.
    pub(super) fn saved_uids(&self) -> SequenceSet {
        set(&self.saved)
    }

    fn put_saved(&self, uid: bool, named: &mut SequenceSet) {
        if !named.is_saved() {
            return;
        }
        if uid {
            *named = set(&self.saved);
            return;
        }
        // What was expunged since is not in the result any more.
        let Some(selected) = &self.selected else { return };
        let saved = set(&self.saved);
        let places = selected.view.places(&saved, true).unwrap_or_default();
        *named = set(&runs(places.into_iter().flatten().map(|place| place as u32 + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_ranges() {
        assert_eq!(runs([1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
        assert_eq!(runs([Uid::MAX]), [(Uid::MAX, Uid::MAX)]);
        assert!(set(&[]).is_saved());
    }
}
