//! Decisions and queue entries rendered without a queue, for the fuzz targets; not part of the library.

use super::capture::{self, Decided};
use super::mask::Mask;
use super::render::{GENESIS, Renderer};

/// Lines of one process.
#[derive(Debug)]
pub struct Lines {
    renderer: Renderer,
    sequence: u64,
    text: Vec<u8>,
}

impl Lines {
    /// None so far; `hide` are patterns of context keys as in `audit_hide`.
    #[must_use]
    pub fn new(chained: bool, hide: &str) -> Self {
        let mut renderer = Renderer::new(Mask::new("*", hide), ".amazonaws.com".to_owned(), 1, "boot");
        renderer.previous = chained.then_some(GENESIS);
        Self { renderer, sequence: 0, text: Vec::new() }
    }

    /// Captures a decision and renders it; false when what was captured could not be read.
    pub fn decision(&mut self, decided: &Decided<'_, '_>) -> bool {
        let mut entry = Vec::new();
        capture::decision(&mut entry, decided);
        self.entry(&entry)
    }

    /// Renders bytes as if they came out of the queue; false when they are no entry.
    pub fn entry(&mut self, entry: &[u8]) -> bool {
        self.sequence += 1;
        self.renderer.line(&mut self.text, self.sequence, entry).is_some()
    }

    /// All lines.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}
