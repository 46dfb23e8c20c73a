//! What is wrong with a configuration: the line of the file with a caret, the name of a variable or a flag, and a count;
//! an object for programs.

use std::io::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin as Title, Renderer, Snippet};
use serde_json::{Map, Value, json};

use super::{counted, visible, write_json_pretty};
use crate::args::Output;
use crate::configuration::{Finding, Origin, Place, Rejected};

/// Everything that is wrong.
pub(crate) fn write_rejected(out: &mut impl Write, rejected: &Rejected) -> anyhow::Result<()> {
    match rejected.output {
        Output::Human => {
            let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
            for finding in &rejected.findings {
                writeln!(out, "{}\n", renderer.render(&[group(finding, &rejected.text)]))?;
            }
            writeln!(out, "{}", summary(rejected))?;
        }
        Output::Json => {
            let findings: Vec<_> = rejected.findings.iter().map(object).collect();
            let error = json!({
                "Code": "ConfigurationRejected", "Message": summary(rejected), "Diagnostics": findings,
            });
            write_json_pretty(out, &json!({ "Error": error }))?;
        }
    }
    Ok(())
}

fn summary(rejected: &Rejected) -> String {
    let count = rejected.findings.len() as u64;
    format!("{} in the configuration", counted(count, "mistake", "mistakes"))
}

fn group<'r>(finding: &'r Finding, text: &'r str) -> Group<'r> {
    let mut group = Group::with_title(Level::ERROR.primary_title(visible(&finding.message)));
    group = match &finding.origin {
        Some(Origin::File(Place { path, at: Some((_, span)) })) => {
            let annotation = AnnotationKind::Primary.span(span.clone());
            group.element(Snippet::source(text).path(path.to_string_lossy()).annotation(annotation))
        }
        Some(origin) => group.element(title(origin)),
        None => group,
    };
    for (message, origin) in &finding.related {
        group = group.element(Level::NOTE.message(visible(message))).element(title(origin));
    }
    match &finding.help {
        Some(help) => group.element(Level::HELP.message(visible(help))),
        None => group,
    }
}

fn title(origin: &Origin) -> Title<'_> {
    match origin {
        Origin::File(Place { path, at: Some((position, _)) }) => Title::path(path.to_string_lossy())
            .line(position.line as usize)
            .char_column(position.column as usize),
        Origin::File(Place { path, at: None }) => Title::path(path.to_string_lossy()),
        origin => Title::path(visible(&origin.to_string())),
    }
}

fn object(finding: &Finding) -> Value {
    let named = |message: &str, origin: Option<&Origin>| {
        let mut object = Map::from_iter([("Message".to_owned(), Value::from(message))]);
        if let Some(Value::Object(origin)) = origin.map(Origin::object) {
            object.extend(origin);
        }
        object
    };
    let mut object = named(&finding.message, finding.origin.as_ref());
    if let Some(help) = &finding.help {
        object.insert("Help".to_owned(), Value::from(help.as_str()));
    }
    if !finding.related.is_empty() {
        let related = finding.related.iter().map(|(message, origin)| named(message, Some(origin)).into());
        object.insert("Related".to_owned(), Value::Array(related.collect()));
    }
    Value::Object(object)
}
