//! Diagnostics: the source line with a caret for people, an object for programs.

use std::io::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use portcullis_engine::{Diagnostic, Position, Severity};
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
        let rendered = renderer.render(&[group(diagnostic)]);
        writeln!(out, "{}\n", with_true_column(rendered, diagnostic))?;
    }
    writeln!(out, "{}", Tally::of(diagnostics).phrase())?;
    Ok(())
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    if diagnostic.excerpt.is_empty() {
        // Without text the finding is about the file as a whole.
        group = group.element(Origin::path(diagnostic.file.as_str()));
    } else {
        let annotation = AnnotationKind::Primary.span(underlined(diagnostic));
        let snippet = Snippet::source(diagnostic.excerpt.as_str()).path(diagnostic.file.as_str());
        group = group.element(snippet.line_start(diagnostic.position.line as usize).annotation(annotation));
    }
    for related in &diagnostic.related {
        let message = Level::NOTE.message(visible(&related.message));
        group = group.element(message).element(origin(&related.file, related.position));
    }
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(visible(help))),
        None => group,
    }
}

fn origin(file: &str, position: Position) -> Origin<'_> {
    Origin::path(file).line(position.line as usize).char_column(position.column as usize)
}

/// The renderer counts columns in the excerpt, which of a long line is only a part.
fn with_true_column(rendered: String, diagnostic: &Diagnostic) -> String {
    let Diagnostic { file, position: Position { line, column }, excerpt_column, .. } = diagnostic;
    let shown = excerpt_column + 1;
    if shown == *column {
        return rendered;
    }
    rendered.replacen(&format!("{file}:{line}:{shown}"), &format!("{file}:{line}:{column}"), 1)
}

/// The bytes of the excerpt to underline; the diagnostic counts characters.
fn underlined(diagnostic: &Diagnostic) -> std::ops::Range<usize> {
    let excerpt = &diagnostic.excerpt;
    let byte_of = |column: usize| excerpt.char_indices().nth(column).map_or(excerpt.len(), |(at, _)| at);
    let start = diagnostic.excerpt_column as usize;
    byte_of(start)..byte_of(start + diagnostic.width.max(1) as usize)
}

#[cfg(test)]
mod tests {
    use portcullis_engine::diagnostic::SourceText;
    use portcullis_engine::{Code, Span};

    use super::*;

    fn rendered(text: &str, start: usize, end: usize) -> String {
        let source = SourceText::new("a.json".to_owned(), text.to_owned());
        let span = Span { start: start as u32, end: end as u32 };
        let found = source.diagnostic(Code::UnknownMember, Severity::Error, span, "wrong `x`".to_owned());
        let mut out = Vec::new();
        write_diagnostics(&mut anstream::StripStream::new(&mut out), &[found.with_help("mend it")]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_caret_stands_under_the_text_it_means() {
        let text = "{\n  \"größe\": 1\n}";
        let start = text.find("1").unwrap();
        let code = Code::UnknownMember.as_str();
        assert_eq!(
            rendered(text, start, start + 1),
            format!(
                "error[{code}]: wrong `x`\n --> a.json:2:12\n  |\n2 |   \"größe\": 1\n  |            ^\n  |\n  = help: mend it\n\n\
                 1 error, 0 warnings\n"
            )
        );
    }

    #[test]
    fn a_place_far_out_on_a_long_line_keeps_its_column() {
        let text = format!("{}\"here\"{}", " ".repeat(5_000), ", 1".repeat(500));
        let rendered = rendered(&text, 5_000, 5_006);
        assert!(rendered.contains(" --> a.json:1:5001\n"), "{rendered}");
        assert!(rendered.contains("^^^^^^\n"), "{rendered}");
    }
}
