//! What the sidecar's container requests and is limited to.

use serde_json::{Map, Value};

use super::pair;
use crate::exit::usage;

const REQUESTS: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "32Mi")];
const LIMITS: [(&str, &str); 2] = [("cpu", "1"), ("memory", "128Mi")];

/// Requests and limits: the usual ones with those that are given, none above its limit.
pub(super) fn of_flags(
    requests: &[String],
    limits: &[String],
) -> anyhow::Result<(Map<String, Value>, Map<String, Value>)> {
    let (requests, limits) = (with("--requests", REQUESTS, requests)?, with("--limits", LIMITS, limits)?);
    for (name, request) in &requests {
        let number = |value: &Value| value.as_str().and_then(number_of);
        let limit = limits.get(name);
        if limit.is_some_and(|limit| number(request) > number(limit)) {
            let (request, limit) = (text_of(Some(request)), text_of(limit));
            return Err(usage(format!("--requests {name}={request} is more than its limit, {limit}")));
        }
    }
    Ok((requests, limits))
}

fn text_of(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn with(flag: &str, usual: [(&str, &str); 2], given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut amounts: Map<_, _> =
        usual.into_iter().map(|(name, amount)| (name.to_owned(), Value::from(amount))).collect();
    for text in given {
        let (name, amount) = pair(text)?;
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.contains('/') {
            return Err(usage(format!("{flag} `{text}`: `{name}` is no resource of a container")));
        }
        if amount.is_empty() {
            amounts.shift_remove(name);
        } else if number_of(amount).is_some() {
            amounts.insert(name.to_owned(), Value::from(amount));
        } else {
            return Err(usage(format!(
                "{flag} `{text}`: `{amount}` is no quantity, such as 500m, 2 or 64Mi"
            )));
        }
    }
    Ok(amounts)
}

/// The number that a quantity of Kubernetes says.
fn number_of(quantity: &str) -> Option<f64> {
    let unit = quantity.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = quantity.strip_suffix(unit)?.parse().ok()?;
    let power = |base: f64, power| Some(number * base.powi(power));
    match unit {
        "m" => power(1000.0, -1),
        "" => Some(number),
        "k" => power(1000.0, 1),
        "M" => power(1000.0, 2),
        "G" => power(1000.0, 3),
        "T" => power(1000.0, 4),
        "Ki" => power(1024.0, 1),
        "Mi" => power(1024.0, 2),
        "Gi" => power(1024.0, 3),
        "Ti" => power(1024.0, 4),
        _ => None,
    }
}
