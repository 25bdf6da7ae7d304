//! Notes of bodies whose tokens shall leave the full-text index (see `text_index`).

use super::Ledger;
use crate::{BodyId, StoreError};

/// Notes removed in one transaction.
const NOTES_PER_STEP: usize = 2_000;

impl Ledger {
    /// Notes a body that goes in this transaction.
    pub(super) fn note_unwanted_text(&mut self, body: BodyId) -> Result<(), StoreError> {
        self.run("INSERT OR IGNORE INTO unwanted_texts (body) VALUES (?1)", [body.0 as i64])?;
        self.texts.removed();
        Ok(())
    }

    /// Removes notes of bodies that the index has durably forgotten; whether there were any.
    pub(super) fn forget_unwanted_texts(&mut self) -> Result<bool, StoreError> {
        let settled = self.texts.take_settled(NOTES_PER_STEP);
        for body in &settled {
            self.run("DELETE FROM unwanted_texts WHERE body = ?1", [body])?;
        }
        Ok(!settled.is_empty())
    }
}
