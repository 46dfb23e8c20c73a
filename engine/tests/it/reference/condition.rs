//! Condition blocks (section 3).

use serde_json::Value;

use super::context::{Context, Held};
use super::text::{self, Piece, resolve, strings};
use super::typed;

/// What an operator name says (G-43).
struct Operator {
    quantifier: Option<Quantifier>,
    /// Lower-case base name without `not`, such as `stringequals`.
    base: String,
    negated: bool,
    if_exists: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Quantifier {
    All,
    Any,
}

fn operator(name: &str) -> Operator {
    let name = name.to_ascii_lowercase();
    let (quantifier, rest) = match name.split_once(':') {
        Some(("forallvalues", rest)) => (Some(Quantifier::All), rest),
        Some((_, rest)) => (Some(Quantifier::Any), rest),
        None => (None, name.as_str()),
    };
    let (base, if_exists) = match rest.strip_suffix("ifexists") {
        Some(base) => (base, true),
        None => (rest, false),
    };
    Operator { quantifier, base: base.replacen("not", "", 1), negated: base.contains("not"), if_exists }
}

/// Whether the condition part of a statement is true (C-1).
pub(crate) fn holds(block: &Value, denies: bool, variables: bool, context: &Context) -> bool {
    let Some(operators) = block.as_object() else { return true };
    operators.iter().all(|(name, keys)| {
        let operator = operator(name);
        keys.as_object().is_none_or(|keys| {
            keys.iter().all(|(key, values)| {
                let held = context.get(&key.to_ascii_lowercase());
                let test = Test { operator: &operator, values: &strings(values), denies, variables, context };
                test.holds(held)
            })
        })
    })
}

/// One operator with the policy values of one key.
struct Test<'a> {
    operator: &'a Operator,
    values: &'a [String],
    denies: bool,
    variables: bool,
    context: &'a Context,
}

impl Test<'_> {
    fn holds(&self, held: Option<&Held>) -> bool {
        let operator = self.operator;
        if operator.base == "null" {
            return self.null(held);
        }
        let Some(held) = held else { return self.missing() };
        match operator.quantifier {
            None => match held {
                Held::Single(value) => self.compare(value),
                Held::Multi(_) => false, // C-16
            },
            Some(quantifier) => {
                let values: Vec<&String> = match held {
                    Held::Single(value) => vec![value],
                    Held::Multi(values) => values.iter().collect(),
                };
                self.over_set(quantifier, &values)
            }
        }
    }

    /// C-56, C-57.
    fn null(&self, held: Option<&Held>) -> bool {
        match self.operator.quantifier {
            Some(Quantifier::All) => return true,
            Some(Quantifier::Any) => return false,
            None => {}
        }
        let null = match held {
            None => true,
            Some(Held::Single(value)) => value.is_empty(),
            Some(Held::Multi(values)) => values.iter().all(String::is_empty) && values.len() == 1,
        };
        let wanted = if null { "true" } else { "false" };
        self.values.iter().any(|value| value.eq_ignore_ascii_case(wanted))
    }

    /// C-9.
    fn missing(&self) -> bool {
        match self.operator.quantifier {
            _ if self.operator.if_exists => true,
            Some(Quantifier::All) => true,
            Some(Quantifier::Any) => false,
            None => self.operator.negated,
        }
    }

    /// C-48..C-52, C-61, C-62.
    fn over_set(&self, quantifier: Quantifier, values: &[&String]) -> bool {
        match quantifier {
            Quantifier::All => {
                values.iter().filter(|value| !value.is_empty()).all(|value| self.compare(value))
            }
            Quantifier::Any => values.iter().any(|value| self.compare(value)),
        }
    }

    /// Op(r, P), with the OR or NOR over P (C-2, C-3).
    fn compare(&self, value: &str) -> bool {
        if self.values.is_empty() {
            return self.operator.negated; // G-47, C-60, C-63
        }
        let base = self.operator.base.as_str();
        match base {
            "stringequals" => self.texts(false, |pattern| text::matches(pattern, value)),
            "stringequalsignorecase" => {
                let value = folded(value.chars());
                self.texts(false, |pattern| folded(characters(pattern)) == value)
            }
            "stringlike" => self.texts(true, |pattern| text::matches(pattern, value)),
            "bool" => self.boolean(value),
            "binaryequals" => typed::bytes(value).is_some_and(|value| {
                self.values.iter().any(|policy| typed::bytes(policy).is_some_and(|policy| policy == value))
            }),
            "ipaddress" => self.parsed(value, typed::address, typed::network, |network, address| {
                typed::contains(network, address)
            }),
            "arnequals" | "arnlike" => self.arns(value),
            _ if base.starts_with("numeric") => {
                let comparison = &base["numeric".len()..];
                self.parsed(value, typed::number, typed::number, |policy, value| {
                    typed::holds(comparison, value.cmp(&policy))
                })
            }
            _ => {
                let comparison = base.strip_prefix("date").unwrap_or_else(|| panic!("operator {base}"));
                self.parsed(value, typed::date, typed::date, |policy, value| {
                    typed::holds(comparison, value.cmp(&policy))
                })
            }
        }
    }

    /// V-10, V-11.
    fn texts(&self, wildcards: bool, matches: impl Fn(&[Piece]) -> bool) -> bool {
        let variables = self.variables.then_some(self.context);
        let patterns: Vec<Option<Vec<Piece>>> =
            self.values.iter().map(|value| resolve(value, wildcards, variables)).collect();
        self.decide(patterns.iter().flatten().any(|pattern| matches(pattern)), patterns.contains(&None))
    }

    fn decide(&self, matched: bool, unresolved: bool) -> bool {
        if !self.operator.negated {
            return matched;
        }
        !matched && (self.denies || !unresolved)
    }

    /// C-33, V-9.
    fn boolean(&self, value: &str) -> bool {
        let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let Some(value) = truth(value) else { return false };
        self.texts(false, |pattern| truth(&characters(pattern).collect::<String>()) == Some(value))
    }

    /// C-14, then C-15, then the comparison.
    fn parsed<R: Clone, P>(
        &self,
        value: &str,
        parse_request: impl Fn(&str) -> Option<R>,
        parse_policy: impl Fn(&str) -> Option<P>,
        matches: impl Fn(P, R) -> bool,
    ) -> bool {
        let Some(value) = parse_request(value) else { return false };
        let policy: Vec<Option<P>> = self.values.iter().map(|text| parse_policy(text)).collect();
        if self.operator.negated && policy.iter().any(Option::is_none) {
            return self.denies;
        }
        self.decide(policy.into_iter().flatten().any(|policy| matches(policy, value.clone())), false)
    }

    /// C-42..C-45: component by component.
    fn arns(&self, value: &str) -> bool {
        let Some(value) = text::arn_parts(value) else { return false };
        let variables = self.variables.then_some(self.context);
        let split = |policy: &str| -> Vec<String> {
            let parts = match variables {
                Some(_) => text::split_components(policy),
                None => policy.splitn(6, ':').collect(),
            };
            parts.into_iter().map(str::to_owned).collect()
        };
        let policies: Vec<Vec<String>> = self.values.iter().map(|policy| split(policy)).collect();
        if self.operator.negated && policies.iter().any(|parts| parts.len() != 6) {
            return self.denies;
        }
        let (mut matched, mut unresolved) = (false, false);
        for parts in policies.iter().filter(|parts| parts.len() == 6) {
            let patterns: Option<Vec<Vec<Piece>>> =
                parts.iter().map(|part| resolve(part, true, variables)).collect();
            match patterns {
                None => unresolved = true,
                Some(patterns) => {
                    matched |= patterns.iter().zip(value).all(|(pattern, part)| text::matches(pattern, part));
                }
            }
        }
        self.decide(matched, unresolved)
    }
}

fn characters(pattern: &[Piece]) -> impl Iterator<Item = char> {
    pattern.iter().filter_map(|piece| match piece {
        Piece::Char(character) => Some(*character),
        Piece::One | Piece::Any => None,
    })
}

/// C-19: character by character, so `ß` is not `ss`.
fn folded(characters: impl Iterator<Item = char>) -> String {
    characters.flat_map(char::to_lowercase).collect()
}
