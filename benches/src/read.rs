//! A world as a directory: `policies/*.json` and `requests.jsonl`, one `{"Request": .., "Expect": ..}` a line.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use portcullis_engine::condition::key::facts;
use portcullis_engine::{OwnedKeys, Reason};
use serde_json::{Map, Value as Json, json};

use crate::World;
use crate::question::{NOW_SECONDS, Question, Value};
use crate::scan::seconds;

/// Reads a world.
///
/// # Errors
/// What could not be read, with its place.
pub fn read(directory: &Path) -> Result<World, String> {
    let name = directory.file_name().map_or("world".into(), |name| name.to_string_lossy());
    let path = directory.join("requests.jsonl");
    let lines = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let questions = lines.lines().enumerate().map(|(index, line)| {
        question(line)
            .ok_or_else(|| format!("{}:{}: not a question with its answer", path.display(), index + 1))
    });
    Ok(World {
        sources: sources(&directory.join("policies"))?,
        questions: questions.collect::<Result<_, _>>()?,
        name: name.into_owned(),
    })
}

/// The names and texts of the `*.json` files of a directory, in the order of their names.
///
/// # Errors
/// What could not be read.
pub fn sources(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let place = |error| format!("{}: {error}", directory.display());
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory).map_err(place)? {
        let path = entry.map_err(place)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            sources.push((name, text));
        }
    }
    sources.sort();
    Ok(sources)
}

/// Writes a world so that [`read`] reads it back.
///
/// # Errors
/// What could not be written.
pub fn write(world: &World, directory: &Path) -> std::io::Result<()> {
    write_sources(&world.sources, &directory.join("policies"))?;
    let mut lines = std::io::BufWriter::new(fs::File::create(directory.join("requests.jsonl"))?);
    for question in &world.questions {
        writeln!(lines, "{}", line(question))?;
    }
    lines.flush()
}

/// Writes the files of a policy directory.
///
/// # Errors
/// What could not be written.
pub fn write_sources(sources: &[(String, Vec<u8>)], directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    sources.iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
}

fn question(line: &str) -> Option<Question> {
    let line: Json = serde_json::from_str(line).ok()?;
    let request = line.get("Request")?;
    let text = |member: &str| Some(request.get(member)?.as_str()?.to_owned());
    let mut question = Question {
        principal: text("Principal")?,
        action: text("Action")?,
        resource: text("Resource")?,
        context: Vec::new(),
        mfa: false,
        now: NOW_SECONDS,
        owned_keys: OwnedKeys::Refuse,
        expected: match line.get("Expect")?.get("Reason")?.as_str()? {
            "Allowed" => Reason::Allowed,
            "ExplicitDeny" => Reason::ExplicitDeny,
            "ImplicitDeny" => Reason::ImplicitDeny,
            _ => return None,
        },
    };
    for (key, value) in request.get("Context")?.as_object()? {
        say(&mut question, key, value)?;
    }
    Some(question)
}

/// Takes a context entry as the caller of a live decision says it: the engine's own keys become clock and session.
fn say(question: &mut Question, key: &str, value: &Json) -> Option<()> {
    let folded = key.to_ascii_lowercase();
    match (folded.as_str(), value) {
        ("aws:multifactorauthpresent", Json::Bool(mfa)) => question.mfa = *mfa,
        ("aws:currenttime", Json::String(text)) => question.now = seconds(text)?,
        ("aws:username", Json::String(name)) if question.principal.rsplit('/').next() == Some(name) => {}
        _ => {
            if facts(&folded).is_some_and(|facts| facts.engine_owned) {
                question.owned_keys = OwnedKeys::Override;
            }
            question.context.push((key.to_owned(), context_value(value)?));
        }
    }
    Some(())
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

fn line(question: &Question) -> Json {
    let mut context = Map::new();
    for (key, value) in &question.context {
        let value = match value {
            Value::Text(text) => json!(text),
            Value::List(list) => json!(list),
            Value::Bool(flag) => json!(flag),
        };
        context.insert(key.clone(), value);
    }
    context.insert("aws:MultiFactorAuthPresent".to_owned(), json!(question.mfa));
    let now = portcullis_engine::Instant::new(question.now, 0).to_string();
    context.insert("aws:CurrentTime".to_owned(), json!(now));
    let decision = if question.expected == Reason::Allowed { "Allow" } else { "Deny" };
    json!({
        "Request": {"Principal": question.principal, "Action": question.action, "Resource": question.resource,
                    "Context": context},
        "Expect": {"Decision": decision, "Reason": question.expected.as_str()},
    })
}

#[cfg(test)]
mod tests {
    use super::{World, read, write};
    use crate::generate::Shape;

    #[test]
    fn a_world_reads_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let world = Shape::named("W6").unwrap().world(5);
        write(&world, directory.path()).unwrap();
        let again = read(directory.path()).unwrap();
        assert_eq!(again.sources.len(), world.sources.len());
        let first = |world: &World| {
            let mut question = world.questions.first().unwrap().clone();
            question.context.sort_by(|one, other| one.0.cmp(&other.0));
            format!("{question:?}")
        };
        assert_eq!(first(&again), first(&world));
        let policy_set = again.build().unwrap();
        assert_eq!(again.check(&policy_set), Ok(()));
    }
}
