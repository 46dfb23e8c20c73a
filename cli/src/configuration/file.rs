//! The configuration file: TOML with the place of each value.
//!
//! Invariant: everything that is wrong with the file is found, not the first; a value that is no TOML hides no other line.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use portcullis_engine::diagnostic::SourceText;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::finding::Finding;
use super::origin::{Origin, Place};

/// Bytes of a configuration file; one with every setting has a few thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Characters of a value that a sentence quotes.
const SHOWN_CHARS_MAX: usize = 80;

/// A file as it was read.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) text: String,
    /// Names at the top level, what they are set to, and where name and value stand.
    pub(super) members: Vec<Member>,
    pub(super) findings: Vec<Finding>,
}

/// One name and its value.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// None when it is of a kind that no setting has.
    pub(super) value: Option<Value>,
    /// As it stands in the file, cut when it is long.
    pub(super) shown: String,
    pub(super) name_at: Origin,
    pub(super) value_at: Origin,
    /// The line is no TOML, and what was made of it is a guess.
    pub(super) doubtful: bool,
}

impl ConfigFile {
    /// Reads the file that `named_by` names.
    pub(super) fn read(path: &Path, named_by: Origin) -> Self {
        match text(path) {
            Ok(text) => Self::parse(path, text),
            Err(error) => {
                let message = format!("cannot read the configuration file `{}`: {error}", path.display());
                Self { findings: vec![Finding::new(message, Some(named_by))], ..Self::default() }
            }
        }
    }

    /// Reads its text.
    pub(super) fn parse(path: &Path, text: String) -> Self {
        let source = Source { path: path.to_owned(), lines: SourceText::new(String::new(), text.clone()) };
        let (table, errors) = DeTable::parse_recoverable(&text);
        let broken: Vec<_> =
            errors.iter().filter_map(|error| error.span()).map(|at| source.line(&at)).collect();
        let members = table.get_ref().iter().map(|(name, value)| Member {
            name: name.get_ref().to_string(),
            value: value_of(value.get_ref()),
            shown: shown(text.get(value.span()).unwrap_or_default()),
            name_at: source.origin(name.span()),
            value_at: source.origin(value.span()),
            doubtful: broken.contains(&source.line(&name.span())),
        });
        let members = members.collect();
        let findings = errors.iter().map(|error| {
            let at = error.span().map(|span| source.origin(span));
            let at = at.unwrap_or(Origin::File(Place { path: path.to_owned(), at: None }));
            Finding::new(format!("this is not TOML: {}", error.message()), Some(at))
        });
        let findings = findings.collect();
        Self { text, members, findings }
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        std::io::Error::other(format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}

/// A value as JSON, when it is of a kind that settings have.
fn value_of(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(value) => Some(Value::from(*value)),
        DeValue::Integer(number) => {
            let (digits, radix) = (number.as_str(), number.radix());
            let whole = u64::from_str_radix(digits, radix).map(Value::from);
            let whole = whole.or_else(|_| i64::from_str_radix(digits, radix).map(Value::from));
            // What is beyond any whole number is a number still, and too large for every setting.
            Some(
                whole.unwrap_or_else(|_| {
                    Value::from(if digits.starts_with('-') { f64::MIN } else { f64::MAX })
                }),
            )
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

struct Source {
    path: PathBuf,
    lines: SourceText,
}

impl Source {
    fn origin(&self, span: Range<usize>) -> Origin {
        let position = self.lines.position(u32::try_from(span.start).unwrap_or(u32::MAX));
        Origin::File(Place { path: self.path.clone(), at: Some((position, span)) })
    }

    fn line(&self, span: &Range<usize>) -> u32 {
        self.lines.position(u32::try_from(span.start).unwrap_or(u32::MAX)).line
    }
}
