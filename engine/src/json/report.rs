//! Collects the findings about one text, and knows how severe the load mode makes them.
//!
//! Places are found by counting on from the last one, so that a file of one long line does not cost a walk over the line
//! for each finding. Invariant: when an error is left out because there are too many, an error has been recorded.

use super::{Fault, Node};
use crate::LoadMode;
use crate::diagnostic::{Code, Diagnostic, EXCERPT_CHARS_MAX, Position, Related, Severity, SourceText, Span};

/// Errors of one text, and warnings and notes of one text, that are kept.
const FINDINGS_MAX: usize = 500;
/// Characters of the user's text that a message repeats.
const QUOTED_CHARS_MAX: usize = 80;

/// The findings about one text.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) text: &'a SourceText,
    pub(crate) mode: LoadMode,
    findings: &'a mut Vec<Diagnostic>,
    errors: usize,
    others: usize,
    left_out: usize,
    /// Whether the last finding was kept.
    kept: bool,
    /// Where the document in hand stands when its own offsets mean nothing in this text.
    embedded: Option<Span>,
    /// The last place counted: offset and position.
    last: (usize, Position),
}

impl<'a> Report<'a> {
    pub(crate) fn new(text: &'a SourceText, mode: LoadMode, findings: &'a mut Vec<Diagnostic>) -> Self {
        let last = (0, Position { line: 1, column: 1 });
        Self { text, mode, findings, errors: 0, others: 0, left_out: 0, kept: false, embedded: None, last }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.mode == LoadMode::Strict
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Refused in both modes.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: String) {
        self.add(code, Severity::Error, span, message, None);
    }

    /// Refused in both modes, with advice.
    pub(crate) fn error_with(&mut self, code: Code, span: Span, message: String, help: impl Into<String>) {
        self.add(code, Severity::Error, span, message, Some(help.into()));
    }

    /// Refused in strict mode, a warning in lenient mode.
    pub(crate) fn strict(&mut self, code: Code, span: Span, message: String) {
        self.add(code, self.strict_severity(), span, message, None);
    }

    /// Refused in strict mode, a warning in lenient mode, with advice.
    pub(crate) fn strict_with(&mut self, code: Code, span: Span, message: String, help: impl Into<String>) {
        self.add(code, self.strict_severity(), span, message, Some(help.into()));
    }

    pub(crate) fn warning(&mut self, code: Code, span: Span, message: String) {
        self.add(code, Severity::Warning, span, message, None);
    }

    pub(crate) fn warning_with(&mut self, code: Code, span: Span, message: String, help: impl Into<String>) {
        self.add(code, Severity::Warning, span, message, Some(help.into()));
    }

    pub(crate) fn note(&mut self, code: Code, span: Span, message: String) {
        self.add(code, Severity::Note, span, message, None);
    }

    fn strict_severity(&self) -> Severity {
        if self.is_strict() { Severity::Error } else { Severity::Warning }
    }

    /// A fault of the JSON text.
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.add(fault.code, Severity::Error, fault.span, fault.message, fault.help.map(str::to_owned));
        if let Some(first) = fault.first {
            self.relate(first, "first given here");
        }
    }

    /// `node` has the wrong JSON type.
    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, what: &str, expected: &str) {
        let code = if node.value == super::Value::Null { Code::NullValue } else { Code::WrongType };
        self.error(code, node.span, format!("`{what}` must be {expected}, not {}", node.value.kind()));
    }

    /// `name` is none of `known`.
    pub(crate) fn unknown(&mut self, code: Code, span: Span, name: &str, place: &str, known: &[&str]) {
        let message = format!("{} is not a member of {place}", quoted(name));
        // To look for the closest name costs far more than all else about a finding, and nobody sees it of one left out.
        let help = (self.errors < FINDINGS_MAX).then(|| match closest(name, known) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None => format!("the members are {}", known.join(", ")),
        });
        self.add(code, Severity::Error, span, message, help);
    }

    /// Runs `inner` with every place replaced by `span`.
    pub(crate) fn embedded<T>(&mut self, span: Span, inner: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.embedded.replace(self.embedded.unwrap_or(span));
        let result = inner(self);
        self.embedded = outer;
        result
    }

    /// Runs `inner` as if in lenient mode: for what AWS itself wrote.
    pub(crate) fn leniently<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        let mode = std::mem::replace(&mut self.mode, LoadMode::Lenient);
        let result = inner(self);
        self.mode = mode;
        result
    }

    /// Adds a second place to the finding recorded last.
    pub(crate) fn relate(&mut self, span: Span, message: &str) {
        if !self.kept {
            return;
        }
        let position = self.position(self.embedded.unwrap_or(span).start as usize);
        let file = self.text.name().to_owned();
        if let Some(last) = self.findings.last_mut() {
            last.related.push(Related { file, position, message: message.to_owned() });
        }
    }

    /// Says how many findings are not shown.
    pub(crate) fn finish(mut self) {
        if self.left_out == 0 {
            return;
        }
        let message = format!("{} more findings in this file are not shown", self.left_out);
        let span = Span::default();
        let note = self.diagnostic(Code::TooManyFindings, Severity::Note, span, message);
        self.findings.push(note);
    }

    fn add(&mut self, code: Code, severity: Severity, span: Span, message: String, help: Option<String>) {
        let count = if severity == Severity::Error { &mut self.errors } else { &mut self.others };
        *count += 1;
        self.kept = *count <= FINDINGS_MAX;
        if !self.kept {
            self.left_out += 1;
            return;
        }
        let mut diagnostic = self.diagnostic(code, severity, self.embedded.unwrap_or(span), message);
        diagnostic.help = help;
        self.findings.push(diagnostic);
    }

    fn diagnostic(&mut self, code: Code, severity: Severity, span: Span, message: String) -> Diagnostic {
        let position = self.position(span.start as usize);
        let text = self.text.text();
        let (before, after) = text.split_at_checked(span.start as usize).unwrap_or((text, ""));
        let is_break = |char: &char| !matches!(char, '\n' | '\r');
        let following: String = after.chars().take_while(is_break).take(EXCERPT_CHARS_MAX).collect();
        let room = EXCERPT_CHARS_MAX - (following.chars().count()).min(EXCERPT_CHARS_MAX / 2);
        let mut preceding: Vec<char> = before.chars().rev().take_while(is_break).take(room).collect();
        preceding.reverse();
        let excerpt_column = preceding.len() as u32;
        let excerpt: String =
            preceding.into_iter().chain(following.chars()).take(EXCERPT_CHARS_MAX).collect();
        let spanned = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let visible = (excerpt.chars().count() as u32).saturating_sub(excerpt_column).max(1);
        let width = spanned.chars().take(EXCERPT_CHARS_MAX).take_while(is_break).count() as u32;
        Diagnostic {
            code,
            severity,
            file: self.text.name().to_owned(),
            position,
            width: width.clamp(1, visible),
            excerpt,
            excerpt_column,
            message,
            help: None,
            related: Vec::new(),
        }
    }

    /// Line and column of an offset, counted on from the last one where that is shorter.
    fn position(&mut self, offset: usize) -> Position {
        let (from, start) = self.last;
        let (from, start) = if offset >= from { (from, start) } else { (0, Position { line: 1, column: 1 }) };
        let passed = self.text.text().get(from..offset).unwrap_or_default();
        let breaks = memchr::memchr_iter(b'\n', passed.as_bytes()).count() as u32;
        let position = match memchr::memrchr(b'\n', passed.as_bytes()) {
            None => Position { line: start.line, column: start.column + passed.chars().count() as u32 },
            Some(at) => {
                let tail = passed.get(at + 1..).unwrap_or_default();
                Position { line: start.line + breaks, column: tail.chars().count() as u32 + 1 }
            }
        };
        self.last = (offset, position);
        position
    }
}

/// The user's text in backticks, cut and with control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().min(QUOTED_CHARS_MAX) + 5);
    quoted.push('`');
    for (index, char) in text.chars().enumerate() {
        if index == QUOTED_CHARS_MAX {
            quoted.push_str("...");
            break;
        }
        if char.is_control() {
            quoted.extend(char.escape_debug());
        } else {
            quoted.push(char);
        }
    }
    quoted.push('`');
    quoted
}

/// The candidate that was probably meant.
pub(crate) fn closest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_ascii_lowercase();
    let scored = candidates.iter().map(|candidate| {
        let other = candidate.to_ascii_lowercase();
        let score = strsim::jaro_winkler(&folded, &other);
        (if folded == other { 2.0 } else { score }, *candidate)
    });
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 >= 0.82).then_some(best.1)
}
