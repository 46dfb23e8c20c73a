//! A world from a directory: `policies/*.json` and `requests.jsonl`, one `{"Request": .., "Expect": ..}` a line.

use std::fs;
use std::path::Path;

use portcullis_engine::Reason;
use serde_json::Value as Json;

use crate::World;
use crate::question::{Question, Value};

/// Reads a world.
///
/// # Errors
/// What could not be read, with its place.
pub fn read(directory: &Path) -> Result<World, String> {
    let policies = directory.join("policies");
    let mut sources = Vec::new();
    for entry in fs::read_dir(&policies).map_err(|error| format!("{}: {error}", policies.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", policies.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            sources.push((path.display().to_string(), text));
        }
    }
    sources.sort();
    let path = directory.join("requests.jsonl");
    let lines = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let questions = lines.lines().enumerate().map(|(index, line)| {
        question(line)
            .ok_or_else(|| format!("{}:{}: not a question with its answer", path.display(), index + 1))
    });
    let name =
        directory.file_name().map_or_else(|| "world".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(World { name, sources, questions: questions.collect::<Result<_, _>>()? })
}

fn question(line: &str) -> Option<Question> {
    let line: Json = serde_json::from_str(line).ok()?;
    let request = line.get("Request")?;
    let text = |member: &str| Some(request.get(member)?.as_str()?.to_owned());
    let context = match request.get("Context") {
        Some(context) => {
            context.as_object()?.iter().map(|(key, value)| Some((key.clone(), context_value(value)?)))
        }
        None => return None,
    };
    Some(Question {
        principal: text("Principal")?,
        action: text("Action")?,
        resource: text("Resource")?,
        context: context.collect::<Option<_>>()?,
        expected: match line.get("Expect")?.get("Reason")?.as_str()? {
            "Allowed" => Reason::Allowed,
            "ExplicitDeny" => Reason::ExplicitDeny,
            "ImplicitDeny" => Reason::ImplicitDeny,
            _ => return None,
        },
    })
}

fn context_value(value: &Json) -> Option<Value> {
    match value {
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Number(number) => Some(Value::Text(number.to_string())),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Array(values) => Some(Value::List(
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        )),
        Json::Null | Json::Object(_) => None,
    }
}
