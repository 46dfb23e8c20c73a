//! What a setting may be, told from its default and from what the server takes.

use portcullis_server::Config;
use serde_json::{Map, Value};

use super::{LOG, LOG_FORMAT};
use crate::log::Format;

/// A name is meant that is at least this similar.
const SIMILAR: f64 = 0.82;
/// Names that are longer than any setting's are not compared.
const COMPARED_BYTES_MAX: usize = 64;

/// Text as the type that the default has; text that is not of it stays text, and is found to be wrong by [`mistake`].
pub(super) fn of_text(text: &str, default: &Value) -> Value {
    let read = match default {
        Value::Number(_) => text.parse::<u64>().ok().map(Value::from),
        Value::Bool(_) => text.parse::<bool>().ok().map(Value::from),
        Value::Null if text.is_empty() => Some(Value::Null),
        _ => None,
    };
    read.unwrap_or_else(|| Value::from(text))
}

/// What a value must be and is not; none when it is of the setting's type. `value` is none for a kind that no setting has.
pub(super) fn mistake(name: &str, value: Option<&Value>, default: &Value) -> Option<String> {
    match (default, value) {
        (Value::Number(_), Some(number @ Value::Number(_))) => {
            of_server(name, number).map(|_| too_far(number))
        }
        (Value::Number(_), _) => Some(format!("must be a whole number such as {default}")),
        (Value::Bool(_), Some(Value::Bool(_))) | (Value::Null, Some(Value::Null | Value::String(_))) => None,
        (Value::Bool(_), _) => Some("must be true or false".to_owned()),
        (_, Some(Value::String(text))) => of_word(name, text),
        _ => Some("must be text between quotes".to_owned()),
    }
}

fn too_far(number: &Value) -> String {
    let negative = number.as_f64().is_some_and(|number| number < 0.0);
    if negative { "must not be negative".to_owned() } else { "is too large".to_owned() }
}

/// Why a text is not one that the setting takes.
fn of_word(name: &str, text: &str) -> Option<String> {
    match name {
        LOG => {
            let error = tracing_subscriber::EnvFilter::try_new(text).err()?;
            Some(format!("is no filter of the log ({error})"))
        }
        LOG_FORMAT => Format::read(text).err(),
        _ => {
            let error = of_server(name, &Value::from(text))?;
            let expected = error.rsplit_once("expected ").map_or(error.as_str(), |(_, expected)| expected);
            Some(format!("must be {expected}"))
        }
    }
}

/// The server's own word on a value.
fn of_server(name: &str, value: &Value) -> Option<String> {
    let alone = Map::from_iter([(name.to_owned(), value.clone())]);
    serde_json::from_value::<Config>(Value::Object(alone)).err().map(|error| error.to_string())
}

/// The name that was probably meant.
pub(super) fn similar<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if given.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let given = given.to_ascii_lowercase();
    let scored = names.map(|name| (strsim::jaro_winkler(&given, &name.to_ascii_lowercase()), name));
    let (score, name) = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (score >= SIMILAR).then_some(name)
}
