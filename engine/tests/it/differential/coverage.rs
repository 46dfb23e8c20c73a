//! What the generated worlds and requests contained, so that a vacuous generator fails the run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::generator::conditions::{self, Form};

/// Counts of what was seen, by name.
#[derive(Debug, Default)]
pub(super) struct Coverage(BTreeMap<String, u64>);

const LAYERS: [(&str, &str); 8] = [
    ("UserDetailList", "identity"),
    ("GroupDetailList", "identity"),
    ("RoleDetailList", "identity and trust"),
    ("Policies", "managed"),
    ("ResourceDetailList", "resource"),
    ("EndpointPolicyList", "endpoint"),
    ("Organization", "organization"),
    ("Session", "session"),
];

impl Coverage {
    fn see(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Notes the effects and condition operators of every statement, by the layer it stands in.
    pub(super) fn world(&mut self, directory: &Value) {
        for (member, layer) in LAYERS {
            self.statements(&directory[member], layer);
        }
    }

    fn statements(&mut self, value: &Value, layer: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.statements(item, layer)),
            Value::Object(members) => {
                if let Some(effect) = members.get("Effect").and_then(Value::as_str) {
                    self.see(format!("{effect} in {layer}"));
                    let operators = members.get("Condition").and_then(Value::as_object).into_iter().flatten();
                    for (operator, _) in operators {
                        self.see(format!("{} with {effect}", operator.to_ascii_lowercase()));
                    }
                }
                members.values().for_each(|member| self.statements(member, layer));
            }
            _ => {}
        }
    }

    /// Notes how many values each key has and what kind of principal asks.
    pub(super) fn request(&mut self, request: &Value) {
        let context = &request["Context"];
        for (key, _) in conditions::GIVEN {
            let found =
                context.as_object().into_iter().flatten().find(|(name, _)| name.eq_ignore_ascii_case(key));
            let count = match found.map(|(_, value)| value) {
                None => "absent",
                Some(Value::Array(items)) => match items.len() {
                    0 => "empty",
                    1 => "a list of one",
                    _ => "a list of many",
                },
                Some(_) => "one",
            };
            self.see(format!("{key} {count}"));
        }
        let principal = request["Principal"].as_str().unwrap_or_default();
        let kind = KINDS.iter().find(|kind| principal.contains(*kind)).unwrap_or(&"service");
        self.see(format!("principal {kind}"));
        if request["Session"].is_object() {
            self.see("a session".to_owned());
            self.statements(&request["Session"], "session");
        }
    }

    /// What every run must contain and this one did not.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut wanted = vec!["a session".to_owned(), "principal service".to_owned()];
        wanted.extend(KINDS.iter().map(|kind| format!("principal {kind}")));
        for effect in ["Allow", "Deny"] {
            wanted.extend(LAYERS.iter().map(|(_, layer)| format!("{effect} in {layer}")));
            for form in FORMS {
                for base in conditions::operators(form) {
                    for prefix in ["", "ForAllValues:", "ForAnyValue:"] {
                        for suffix in ["", "IfExists"] {
                            let name = format!("{prefix}{base}{suffix}").to_ascii_lowercase();
                            wanted.push(format!("{name} with {effect}"));
                        }
                    }
                }
            }
            wanted.extend(
                ["null", "forallvalues:null", "foranyvalue:null"].map(|n| format!("{n} with {effect}")),
            );
        }
        for (key, _) in conditions::GIVEN {
            wanted.push(format!("{key} absent"));
            if key == "aws:SourceVpce" {
                continue;
            }
            wanted.extend(["empty", "a list of one"].map(|count| format!("{key} {count}")));
            let single = key.starts_with("aws:") && key != "aws:TagKeys";
            let other = if single { "one" } else { "a list of many" };
            wanted.push(format!("{key} {other}"));
        }
        wanted.retain(|what| self.0.get(what).copied().unwrap_or(0) < 3);
        wanted
    }
}

const FORMS: [Form; 7] =
    [Form::Text, Form::Number, Form::Date, Form::Bool, Form::Binary, Form::Address, Form::Arn];

/// Parts of a principal that tell its kind.
const KINDS: [&str; 8] = [
    ":user/",
    ":role/",
    ":assumed-role/",
    ":federated-user/",
    ":root",
    "anonymous",
    "-provider/",
    "accounts.google.com",
];
