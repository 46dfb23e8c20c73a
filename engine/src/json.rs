//! A strict JSON tree with exact byte spans.
//!
//! Stricter than most readers on purpose: a member that is there twice is reported at every depth (G-4), and nothing may
//! stand before or after the one value (G-7). Numbers keep their text. Invariant: every span lies inside the text on
//! character boundaries, and no input makes the parser recurse deeper than [`JSON_DEPTH_MAX`](crate::limit::JSON_DEPTH_MAX).

mod parser;
pub(crate) mod report;
#[cfg(test)]
mod tests;

use crate::LoadMode;
use crate::diagnostic::{Code, Diagnostic, Severity, SourceText, Span};
use crate::limit::SOURCE_BYTES_MAX;
use crate::policy::Spanned;
use std::borrow::Cow;

pub(crate) use parser::{Fault, parse_str};
use report::Report;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'t> {
    /// The value.
    pub value: Value<'t>,
    /// Its bytes, quotes and brackets included.
    pub span: Span,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'t> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(&'t str),
    /// A string, escapes resolved.
    String(Cow<'t, str>),
    /// A list.
    Array(Vec<Node<'t>>),
    /// An object, members in the order of the text; a repeated member is there each time.
    Object(Vec<Member<'t>>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<'t> {
    /// Its name, escapes resolved; the span includes the quotes.
    pub name: Spanned<Cow<'t, str>>,
    /// Its value.
    pub node: Node<'t>,
}

impl Value<'_> {
    /// What it is, in words for a sentence.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Parses the whole text. Repeated members are findings but still yield a tree; anything else wrong yields none.
#[must_use]
pub fn parse<'t>(text: &'t SourceText, findings: &mut Vec<Diagnostic>) -> Option<Node<'t>> {
    let (node, faults) = parse_str(text.text());
    let mut report = Report::new(text, LoadMode::Strict, findings);
    for fault in faults {
        report.fault(fault);
    }
    node
}

/// Makes a source text of bytes, or says why they are not one.
#[expect(clippy::result_large_err, reason = "once for each file, and the finding is what the caller wants")]
pub fn decode_text(file: &str, bytes: Vec<u8>) -> Result<SourceText, Diagnostic> {
    let refuse = |code, message: String| Diagnostic::of_file(code, Severity::Error, file, message);
    if bytes.len() > SOURCE_BYTES_MAX {
        let message =
            format!("the file has {} bytes, more than the limit of {SOURCE_BYTES_MAX}", bytes.len());
        return Err(refuse(Code::FileTooLarge, message));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refuse(Code::EmptyFile, "the file is empty".to_owned())
            .with_help("an empty policy set is written `{}`"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(refuse(Code::ByteOrderMark, "the file begins with a UTF-8 byte order mark".to_owned())
            .with_help("save the file as UTF-8 without a byte order mark"));
    }
    if is_utf16(&bytes) {
        return Err(refuse(Code::Utf16, "the file is encoded as UTF-16".to_owned())
            .with_help("save the file as UTF-8 without a byte order mark"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceText::new(file.to_owned(), text)),
        Err(error) => Err(not_utf8(file, &error)),
    }
}

/// A byte order mark, or the zero bytes that ASCII punctuation has in UTF-16.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..]
    )
}

fn not_utf8(file: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let valid = error.utf8_error().valid_up_to();
    let bad = error.as_bytes().get(valid).copied().unwrap_or_default();
    let before = error.as_bytes().get(..valid).unwrap_or_default();
    let text = SourceText::new(file.to_owned(), String::from_utf8_lossy(before).into_owned());
    let at = Span { start: valid as u32, end: valid as u32 };
    let message = format!("the byte 0x{bad:02x} at offset {valid} is not UTF-8");
    text.diagnostic(Code::NotUtf8, Severity::Error, at, message).with_help("save the file as UTF-8")
}
