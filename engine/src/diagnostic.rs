//! What is wrong with a policy text: a value with a code, a place and a sentence.
//!
//! Nothing here prints; whoever shows a diagnostic renders it. Invariant: a diagnostic carries everything a reader
//! needs (the source line included), because the text it was found in is let go of after the build.

mod code;

pub use code::Code;

/// A half-open range of bytes in one source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A place as people count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters (Unicode scalars), from 1.
    pub column: u32,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; never refuses anything.
    Note,
    /// Loads, but probably not what was meant; `--deny-warnings` refuses it.
    Warning,
    /// Does not load.
    Error,
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A second place that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// File name as given to the builder.
    pub file: String,
    /// Where in it.
    pub position: Position,
    /// What is there.
    pub message: String,
}

/// One finding about one place of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name of the kind of finding.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// File name as given to the builder.
    pub file: String,
    /// Where the offending text starts.
    pub position: Position,
    /// How many characters of the excerpt to underline; at least 1.
    pub width: u32,
    /// The source line, cut to at most [`EXCERPT_CHARS_MAX`] characters around the place. Empty when there is no text.
    pub excerpt: String,
    /// Where in `excerpt` (characters, from 0) the offending text starts.
    pub excerpt_column: u32,
    /// One lower-case sentence without a period; the user's own text in backticks.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that matter.
    pub related: Vec<Related>,
}

/// Longest excerpt, in characters.
pub const EXCERPT_CHARS_MAX: usize = 160;

/// One source text with its line starts: turns byte offsets into positions and excerpts.
#[derive(Debug)]
pub struct SourceText {
    name: String,
    text: String,
    line_starts: Vec<u32>,
    /// Characters before each block of [`MARK_BYTES`] bytes, so that a column in a very long line is not counted from
    /// its start. Empty when the text is ASCII.
    marks: Vec<u32>,
}

/// Bytes between two marks.
const MARK_BYTES: usize = 1024;

impl SourceText {
    /// Indexes the lines of `text`.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes());
        let line_starts = std::iter::once(0).chain(newlines.map(|at| at as u32 + 1)).collect();
        let marks = marks(&text);
        Self { name, text, line_starts, marks }
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset; an offset past the end is the end.
    #[must_use]
    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0) as usize;
        let column = self.chars_before(offset as usize).saturating_sub(self.chars_before(start)) + 1;
        Position { line: line as u32, column }
    }

    /// Characters before a byte offset.
    fn chars_before(&self, offset: usize) -> u32 {
        let offset = offset.min(self.text.len());
        let Some(mark) = self.marks.get(offset / MARK_BYTES) else {
            return offset as u32;
        };
        let block = self.text.as_bytes().get(offset - offset % MARK_BYTES..offset).unwrap_or_default();
        mark + starts(block)
    }

    /// A diagnostic about `span` of this text.
    #[must_use]
    pub fn diagnostic(&self, code: Code, severity: Severity, span: Span, message: String) -> Diagnostic {
        let position = self.position(span.start);
        // Only what is shown is looked at: a file may be one line of many megabytes, with many findings.
        let in_line = |char: &char| !matches!(char, '\n' | '\r');
        let (before, after) = self.text.split_at_checked(span.start as usize).unwrap_or((&self.text, ""));
        let following: String = after.chars().take_while(in_line).take(EXCERPT_CHARS_MAX).collect();
        let column = position.column as usize - 1;
        let is_long = column + following.chars().count() > EXCERPT_CHARS_MAX;
        let shown = if is_long { column.min(EXCERPT_CHARS_MAX / 2) } else { column };
        let mut preceding: Vec<char> = before.chars().rev().take_while(in_line).take(shown).collect();
        preceding.reverse();
        let excerpt_column = preceding.len();
        let excerpt: String =
            preceding.into_iter().chain(following.chars()).take(EXCERPT_CHARS_MAX).collect();
        let spanned = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let room = excerpt.chars().count().saturating_sub(excerpt_column).max(1);
        let width = spanned.chars().take_while(in_line).take(EXCERPT_CHARS_MAX).count().clamp(1, room) as u32;
        Diagnostic {
            code,
            severity,
            file: self.name.clone(),
            position,
            width,
            excerpt,
            excerpt_column: excerpt_column as u32,
            message,
            help: None,
            related: Vec::new(),
        }
    }
}

/// Bytes that begin a character.
fn starts(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u32
}

fn marks(text: &str) -> Vec<u32> {
    if text.is_ascii() {
        return Vec::new();
    }
    let counted = text.as_bytes().chunks(MARK_BYTES).scan(0, |count, block| {
        *count += starts(block);
        Some(*count)
    });
    std::iter::once(0).chain(counted).collect()
}

impl Diagnostic {
    /// The same with a help text.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The message with every other place that matters, for where there is one text and no excerpt: logs, statuses, records.
    #[must_use]
    pub fn message_with_places(&self) -> String {
        let related =
            self.related.iter().map(|Related { file, position: Position { line, column }, message }| {
                format!(" ({message}: {file}:{line}:{column})")
            });
        std::iter::once(self.message.clone()).chain(related).collect()
    }

    /// A finding about a file as a whole (unreadable, too large): no position, no excerpt.
    #[must_use]
    pub fn of_file(code: Code, severity: Severity, file: impl Into<String>, message: String) -> Self {
        Self {
            code,
            severity,
            file: file.into(),
            position: Position { line: 1, column: 1 },
            width: 1,
            excerpt: String::new(),
            excerpt_column: 0,
            message,
            help: None,
            related: Vec::new(),
        }
    }
}
