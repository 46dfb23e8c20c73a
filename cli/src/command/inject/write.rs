//! A value as YAML text in block style, to stand inside another text, and as JSON.
//!
//! Invariant: a string is read back as that string by YAML 1.1 and 1.2 alike.

use serde_json::Value;

/// Words that some version of YAML takes for something else than a string.
const RESERVED: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"];

/// `"key": value`.
pub(super) fn flow_entry(key: &str, value: &Value) -> String {
    format!("{}: {value}", Value::from(key))
}

/// The lines of an entry, of which the first goes on in the line where it is put.
pub(super) fn block_entry(key: &str, value: &Value, indent: usize) -> String {
    let key = scalar(&Value::from(key));
    match value {
        Value::Object(map) if !map.is_empty() => {
            let inner = indent + 2;
            let entries = map.iter().map(|(key, value)| " ".repeat(inner) + &block_entry(key, value, inner));
            format!("{key}:\n{}", entries.collect::<String>())
        }
        Value::Array(list) if !list.is_empty() && list.iter().all(is_scalar) => {
            let items: Vec<_> = list.iter().map(scalar).collect();
            format!("{key}: [{}]\n", items.join(", "))
        }
        Value::Array(list) if !list.is_empty() => {
            let inner = indent + 2;
            let items = list.iter().map(|item| " ".repeat(inner) + &block_item(item, inner));
            format!("{key}:\n{}", items.collect::<String>())
        }
        value => format!("{key}: {}\n", scalar(value)),
    }
}

/// The lines of an item, of which the first goes on in the line where it is put.
pub(super) fn block_item(item: &Value, indent: usize) -> String {
    let inner = indent + 2;
    match item {
        Value::Object(map) if !map.is_empty() => {
            let entries: Vec<_> = map.iter().map(|(key, value)| block_entry(key, value, inner)).collect();
            format!("- {}", entries.join(&" ".repeat(inner)))
        }
        item => format!("- {}\n", scalar(item)),
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// Without quotes only what is a string without a doubt.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        value => value.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(plain)
        && !text.ends_with(':')
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}
