//! Diagnostics: the source line with a caret for people, an object for programs.

use std::io::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use portcullis_engine::{Diagnostic, Severity};
use serde::Serialize;

use super::{counted, visible};

/// A diagnostic for programs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DiagnosticObject {
    pub(crate) code: String,
    pub(crate) severity: &'static str,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) related: Vec<RelatedObject>,
}

/// A second place of a diagnostic.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RelatedObject {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
}

/// How many of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) errors: u64,
    pub(crate) warnings: u64,
}

impl Tally {
    pub(crate) fn of(diagnostics: &[Diagnostic]) -> Self {
        let count = |severity| diagnostics.iter().filter(|found| found.severity == severity).count() as u64;
        Self { errors: count(Severity::Error), warnings: count(Severity::Warning) }
    }

    /// `2 errors, 1 warning`.
    pub(crate) fn phrase(self) -> String {
        let errors = counted(self.errors, "error", "errors");
        format!("{errors}, {}", counted(self.warnings, "warning", "warnings"))
    }
}

impl DiagnosticObject {
    pub(crate) fn of(diagnostic: &Diagnostic) -> Self {
        let related = diagnostic.related.iter().map(|related| RelatedObject {
            file: related.file.clone(),
            line: related.position.line,
            column: related.position.column,
            message: related.message.clone(),
        });
        Self {
            code: diagnostic.code.as_str().to_owned(),
            severity: diagnostic.severity.as_str(),
            file: diagnostic.file.clone(),
            line: diagnostic.position.line,
            column: diagnostic.position.column,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            related: related.collect(),
        }
    }
}

/// Every diagnostic with its source line, then the summary line.
pub(crate) fn write_diagnostics(out: &mut impl Write, diagnostics: &[Diagnostic]) -> anyhow::Result<()> {
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    for diagnostic in diagnostics {
        writeln!(out, "{}\n", renderer.render(&groups(diagnostic)))?;
    }
    writeln!(out, "{}", Tally::of(diagnostics).phrase())?;
    Ok(())
}

fn groups(diagnostic: &Diagnostic) -> Vec<Group<'_>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let line = diagnostic.position.line as usize;
    let origin =
        Origin::path(diagnostic.file.as_str()).line(line).char_column(diagnostic.position.column as usize);
    let mut group = Group::with_title(title).element(origin);
    if !diagnostic.excerpt.is_empty() {
        let annotation = AnnotationKind::Primary.span(underlined(diagnostic));
        let snippet = Snippet::source(diagnostic.excerpt.as_str()).line_start(line).annotation(annotation);
        group = group.element(snippet);
    }
    for related in &diagnostic.related {
        group = group.element(Level::NOTE.message(visible(&related.message))).element(
            Origin::path(related.file.as_str())
                .line(related.position.line as usize)
                .char_column(related.position.column as usize),
        );
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    vec![group]
}

/// The bytes of the excerpt to underline; the diagnostic counts characters.
fn underlined(diagnostic: &Diagnostic) -> std::ops::Range<usize> {
    let excerpt = &diagnostic.excerpt;
    let byte_of = |column: usize| excerpt.char_indices().nth(column).map_or(excerpt.len(), |(at, _)| at);
    let start = diagnostic.excerpt_column as usize;
    byte_of(start)..byte_of(start + diagnostic.width.max(1) as usize)
}
