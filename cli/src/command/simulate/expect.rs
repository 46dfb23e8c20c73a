//! An answer beside what its line expects.

use serde_json::{Value, json};

use crate::request::Line;

/// What differs: `Decision`, `Reason` and, where the line names them, `Layer` and `Error`.
pub(super) fn difference(number: u32, line: &[u8], reply: &Value) -> Option<Value> {
    let line: Line<'_> = serde_json::from_slice(line).unwrap_or_default();
    let expect = line.expect.unwrap_or(Value::Null);
    if is_met(&expect, reply) {
        return None;
    }
    let mut difference = json!({ "Line": number });
    if let Some(members) = difference.as_object_mut() {
        members.extend(line.id.map(|id| ("Id".to_owned(), id)));
        members.extend(line.rule.map(|rule| ("Rule".to_owned(), rule)));
        members.insert("Expect".to_owned(), expect);
        members.insert("Answer".to_owned(), reply.clone());
    }
    Some(difference)
}

fn is_met(expect: &Value, reply: &Value) -> bool {
    if let Some(error) = expect.get("Error") {
        // `true` takes any error, a text that with this code.
        let code = reply.get("Error").and_then(|error| error.get("Code"));
        let wanted = error.get("Code").unwrap_or(error);
        return code.is_some_and(|code| *wanted == Value::Bool(true) || wanted == code);
    }
    let same = |name: &str| expect.get(name).is_none_or(|wanted| Some(wanted) == reply.get(name));
    // A line that expects nothing cannot be as expected.
    expect.get("Decision").is_some() && same("Decision") && same("Reason") && same("Layer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_members_are_compared() {
        let reply = json!({ "Decision": "Deny", "Reason": "ExplicitDeny", "Layer": "scp" });
        for (expect, met) in [
            (json!({ "Decision": "Deny" }), true),
            (json!({ "Decision": "Deny", "Reason": "ExplicitDeny" }), true),
            (json!({ "Decision": "Deny", "Reason": "ImplicitDeny" }), false),
            (json!({ "Decision": "Allow" }), false),
            (json!({ "Decision": "Deny", "Layer": "identity" }), false),
            (json!({ "Error": true }), false),
            (json!({}), false),
            (Value::Null, false),
        ] {
            assert_eq!(is_met(&expect, &reply), met, "{expect}");
        }
        let error = json!({ "Error": { "Code": "InvalidRequest" } });
        for (expect, met) in [
            (json!({ "Error": true }), true),
            (json!({ "Error": "InvalidRequest" }), true),
            (json!({ "Error": { "Code": "InvalidPolicies" } }), false),
            (json!({ "Decision": "Deny" }), false),
        ] {
            assert_eq!(is_met(&expect, &error), met, "{expect}");
        }
    }
}
