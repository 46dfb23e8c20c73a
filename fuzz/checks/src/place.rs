//! Whether a finding points into the text it is about.

use portcullis_engine::Diagnostic;
use portcullis_engine::diagnostic::{EXCERPT_CHARS_MAX, Position, SourceText};

/// Line and column of an offset, counted from the start of the text.
pub(crate) fn counted(text: &str, offset: usize) -> Position {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.matches('\n').count() as u32 + 1,
        column: before[line_start..].chars().count() as u32 + 1,
    }
}

/// The place of a finding exists in `text`, and its excerpt shows it.
pub(crate) fn check(text: &str, finding: &Diagnostic) {
    assert!(!finding.message.is_empty(), "a finding without a sentence");
    let Diagnostic { position, width, excerpt, excerpt_column, .. } = finding;
    let lines: Vec<&str> = text.split('\n').collect();
    let line = lines.get(position.line as usize - 1).unwrap_or_else(|| panic!("no such line: {finding:?}"));
    let characters: Vec<char> = line.chars().collect();
    let column = position.column as usize - 1;
    assert!(column <= characters.len(), "beyond the end of its line: {finding:?}");
    let shown: Vec<char> = excerpt.chars().collect();
    assert!(shown.len() <= EXCERPT_CHARS_MAX, "too long an excerpt: {finding:?}");
    assert!(*width >= 1);
    if shown.is_empty() {
        return;
    }
    let at = *excerpt_column as usize;
    assert!(at <= shown.len(), "the excerpt ends before its place: {finding:?}");
    assert!(at + *width as usize <= shown.len().max(at + 1), "underlines more than there is: {finding:?}");
    let first = column.checked_sub(at).unwrap_or_else(|| panic!("before its line: {finding:?}"));
    assert_eq!(characters.get(first..first + shown.len()), Some(&shown[..]), "not of its line: {finding:?}");
    for related in &finding.related {
        assert!((1..=lines.len() as u32).contains(&related.position.line), "no such line: {finding:?}");
    }
}

/// The indexed count is the plain one.
pub(crate) fn check_position(text: &SourceText, offset: u32) {
    assert_eq!(text.position(offset), counted(text.text(), offset as usize), "position of {offset}");
}
