//! A statement as it is written: what the worlds are drawn as, and what the peers are translated from.

use serde_json::{Map, Value as Json, json};

/// Patterns of an element, and whether the element is its `Not` form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    /// `NotAction`, `NotResource`.
    pub negated: bool,
    /// As written.
    pub patterns: Vec<String>,
}

/// A statement of an identity policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// Whether it denies.
    pub deny: bool,
    /// `Action` or `NotAction`.
    pub actions: Patterns,
    /// `Resource` or `NotResource`.
    pub resources: Patterns,
    /// All have to hold.
    pub conditions: Vec<Condition>,
}

/// One operator with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `ForAllValues` or `ForAnyValue`.
    pub quantifier: Option<Quantifier>,
    /// What compares.
    pub test: Test,
    /// The `Not` form of the operator.
    pub negated: bool,
    /// Holds when the key is missing.
    pub if_exists: bool,
    /// The key, as written.
    pub key: String,
    /// The values, as written.
    pub values: Vec<String>,
}

/// How the values of a key are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are IAM's own")]
pub enum Quantifier {
    ForAllValues,
    ForAnyValue,
}

/// What an operator compares, without its `Not`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are IAM's own, without their `String`")]
pub enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Numeric(Order),
    Date(Order),
    Bool,
    Ip,
    Null,
}

/// How numbers and dates compare: the request's value stands on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are IAM's own")]
pub enum Order {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// Operators without `Not`, quantifier and `IfExists`.
const TESTS: [(&str, Test); 18] = [
    ("StringEquals", Test::Equals),
    ("StringEqualsIgnoreCase", Test::EqualsIgnoreCase),
    ("StringLike", Test::Like),
    ("ArnLike", Test::Arn),
    ("ArnEquals", Test::Arn),
    ("Bool", Test::Bool),
    ("IpAddress", Test::Ip),
    ("Null", Test::Null),
    ("NumericEquals", Test::Numeric(Order::Equals)),
    ("NumericLessThan", Test::Numeric(Order::LessThan)),
    ("NumericLessThanEquals", Test::Numeric(Order::LessThanEquals)),
    ("NumericGreaterThan", Test::Numeric(Order::GreaterThan)),
    ("NumericGreaterThanEquals", Test::Numeric(Order::GreaterThanEquals)),
    ("DateEquals", Test::Date(Order::Equals)),
    ("DateLessThan", Test::Date(Order::LessThan)),
    ("DateLessThanEquals", Test::Date(Order::LessThanEquals)),
    ("DateGreaterThan", Test::Date(Order::GreaterThan)),
    ("DateGreaterThanEquals", Test::Date(Order::GreaterThanEquals)),
];

impl Condition {
    /// A condition from its operator as written; `None` for an operator that no world uses (`BinaryEquals`).
    #[must_use]
    pub fn new(operator: &str, key: &str, values: Vec<String>) -> Option<Self> {
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Some(Quantifier::ForAllValues), name),
            Some(("ForAnyValue", name)) => (Some(Quantifier::ForAnyValue), name),
            Some(_) => return None,
            None => (None, operator),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let of = |name: &str| TESTS.iter().find(|(test, _)| *test == name).map(|(_, test)| *test);
        let (test, negated) = match of(name) {
            Some(test) => (test, false),
            None => (of(&name.replacen("Not", "", 1))?, true),
        };
        Some(Self { quantifier, test, negated, if_exists, key: key.to_owned(), values })
    }

    /// The operator as written.
    #[must_use]
    pub fn operator(&self) -> String {
        let name = TESTS.iter().find(|(_, test)| *test == self.test).map_or("", |(name, _)| *name);
        let quantifier = match self.quantifier {
            Some(Quantifier::ForAllValues) => "ForAllValues:",
            Some(Quantifier::ForAnyValue) => "ForAnyValue:",
            None => "",
        };
        let name = match (self.negated, self.test) {
            (false, _) => name.to_owned(),
            (true, Test::Ip) => format!("Not{name}"),
            (true, _) => ["String", "Numeric", "Date", "Arn"]
                .iter()
                .find_map(|kind| name.strip_prefix(kind).map(|rest| format!("{kind}Not{rest}")))
                .unwrap_or_default(),
        };
        format!("{quantifier}{name}{}", if self.if_exists { "IfExists" } else { "" })
    }
}

impl Statement {
    /// The statement as a policy document writes it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let named = |name: &str, patterns: &Patterns| {
            (if patterns.negated { format!("Not{name}") } else { name.to_owned() }, json!(patterns.patterns))
        };
        let mut members = Map::new();
        members.insert("Effect".to_owned(), json!(if self.deny { "Deny" } else { "Allow" }));
        members.extend([named("Action", &self.actions), named("Resource", &self.resources)]);
        let mut conditions = Map::new();
        for condition in &self.conditions {
            let operator = conditions.entry(condition.operator()).or_insert_with(|| json!({}));
            if let Some(keys) = operator.as_object_mut() {
                keys.insert(condition.key.clone(), json!(condition.values));
            }
        }
        if !conditions.is_empty() {
            members.insert("Condition".to_owned(), Json::Object(conditions));
        }
        Json::Object(members)
    }

    /// Reads a statement of an identity policy.
    ///
    /// # Errors
    /// The element that is missing or that no world uses.
    pub fn of_json(json: &Json) -> Result<Self, String> {
        let patterns = |name: &str| {
            let negated = format!("Not{name}");
            match (json.get(name), json.get(&negated)) {
                (Some(written), None) => Ok(Patterns { negated: false, patterns: texts(written)? }),
                (None, Some(written)) => Ok(Patterns { negated: true, patterns: texts(written)? }),
                _ => Err(format!("neither {name} nor {negated}, or both")),
            }
        };
        let mut conditions = Vec::new();
        for (operator, keys) in json.get("Condition").and_then(Json::as_object).into_iter().flatten() {
            for (key, values) in keys.as_object().into_iter().flatten() {
                let condition = Condition::new(operator, key, texts(values)?);
                conditions.push(condition.ok_or_else(|| format!("operator {operator}"))?);
            }
        }
        Ok(Self {
            deny: json.get("Effect").and_then(Json::as_str) == Some("Deny"),
            actions: patterns("Action")?,
            resources: patterns("Resource")?,
            conditions,
        })
    }
}

/// One text or a list of texts; booleans and numbers count as their text.
fn texts(json: &Json) -> Result<Vec<String>, String> {
    match json {
        Json::String(text) => Ok(vec![text.clone()]),
        Json::Bool(value) => Ok(vec![value.to_string()]),
        Json::Number(number) => Ok(vec![number.to_string()]),
        Json::Array(items) => Ok(items.iter().map(texts).collect::<Result<Vec<_>, _>>()?.concat()),
        Json::Null | Json::Object(_) => Err(format!("{json} is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, Statement};

    #[test]
    fn an_operator_reads_as_it_is_written() {
        for operator in [
            "StringEquals",
            "StringNotEqualsIgnoreCase",
            "ForAllValues:StringNotLike",
            "ForAnyValue:StringLikeIfExists",
            "NotIpAddress",
            "NumericGreaterThanEquals",
            "DateNotEquals",
            "ArnNotLike",
            "Null",
        ] {
            let condition = Condition::new(operator, "aws:SourceIp", Vec::new()).unwrap();
            assert_eq!(condition.operator(), operator);
        }
        assert_eq!(Condition::new("StringMatches", "k", Vec::new()), None);
    }

    #[test]
    fn a_statement_reads_as_it_is_written() {
        let json = serde_json::json!({
            "Effect": "Deny", "NotAction": ["iam:*"], "Resource": ["*"],
            "Condition": {"Bool": {"aws:SecureTransport": ["false"]}, "IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}},
        });
        assert_eq!(Statement::of_json(&json).unwrap().to_json(), json);
    }
}
