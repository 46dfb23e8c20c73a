//! Conditions against the facts of a request (semantics.md section 3): true or false, never an error (C-4).

use super::{Evaluation, Variables};
use crate::compile::condition::{Condition, Typed, Values, fold_characters};
use crate::compile::pool::{Pool, Statement};
use crate::condition::value::{Decimal, Instant, StoredDecimal, decode_base64, parse_address, parse_bool};
use crate::condition::{Operator, Qualifier};
use crate::pattern::{Matched, Pattern, Resolve as _};
use crate::policy::Effect;
use crate::request::{Read, Value};
use std::cmp::Ordering;

/// Whether one of the policy's values equals the request's.
enum Outcome {
    /// One does.
    Match,
    /// None does.
    NoMatch,
    /// None does, and one could not be resolved or read (V-11, C-15).
    Unsure,
    /// As `Unsure`, and a Deny takes the condition for true even when another value matches (C-15).
    Malformed,
    /// The request's value cannot be read: false, negated or not (C-14).
    Unreadable,
}

impl<'a> Evaluation<'a> {
    /// Whether the whole condition block holds (C-1).
    pub(super) fn conditions_match(&self, pool: &'a Pool, statement: &Statement) -> bool {
        let Some(block) = statement.conditions.and_then(|at| pool.conditions.get(at as usize)) else {
            return true;
        };
        let holds = block.iter().all(|condition| self.holds(pool, condition, statement.effect));
        if !holds && statement.effect == Effect::Allow {
            self.note_missing_keys(pool, block);
        }
        holds
    }

    /// Notes the keys of a block that the request lacks.
    pub(crate) fn note_missing_keys(&self, pool: &'a Pool, block: &[Condition]) {
        for condition in block {
            if let Some(key) = pool.keys.get(condition.key as usize)
                && self.lookup(key).is_none()
            {
                self.note_missing(&key.written);
            }
        }
    }

    /// Whether one operator holds for one key.
    pub(crate) fn holds(&self, pool: &Pool, condition: &Condition, effect: Effect) -> bool {
        let Some(key) = pool.keys.get(condition.key as usize) else { return false };
        if let (Values::Date(values), None) = (&condition.values, condition.qualifier)
            && let Some(instant) = self.instant(key)
        {
            return said(compare_dates(condition, values, Some(instant)), condition.negated, effect);
        }
        let found = self.lookup_typed(key);
        let value = found.map(|(value, _)| value);
        if let Values::Null { missing, present } = condition.values {
            return match condition.qualifier {
                // C-57
                Some(Qualifier::ForAllValues) => true,
                Some(Qualifier::ForAnyValue) => false,
                None => (is_null(value) && missing) || (!is_null(value) && present),
            };
        }
        let Some((value, read)) = found else { return when_missing(condition) };
        if let (None, Value::One(text)) = (condition.qualifier, value) {
            return self.one_holds(pool, condition, text, read, effect);
        }
        let one = |text: &str| self.one_holds(pool, condition, text, Read::Text, effect);
        match condition.qualifier {
            // C-16: an operator without a set qualifier never holds for a list.
            None => false,
            // C-52: empty texts do not count.
            Some(Qualifier::ForAllValues) => value.texts().filter(|text| !text.is_empty()).all(one),
            Some(Qualifier::ForAnyValue) => value.texts().any(one),
        }
    }

    /// The complete operator, its OR or NOR over the policy's values included, for one value of the request (C-48).
    fn one_holds(&self, pool: &Pool, condition: &Condition, text: &str, read: Read, effect: Effect) -> bool {
        said(self.compare(pool, condition, text, read), condition.negated, effect)
    }

    fn compare(&self, pool: &Pool, condition: &Condition, text: &str, read: Read) -> Outcome {
        let variables = Variables { evaluation: self, pool };
        match &condition.values {
            Values::Empty | Values::Null { .. } => Outcome::NoMatch,
            Values::Literals(literals) => plain(literals.contains(text)),
            Values::Text(patterns) => any_pattern(patterns, text, &variables),
            Values::Folded { literals, patterns } => {
                let folded = fold_characters(text);
                if literals.iter().any(|literal| **literal == *folded) {
                    return Outcome::Match;
                }
                any_folded(patterns, &folded, &variables)
            }
            Values::Numeric(values) => {
                let holds = |value: &StoredDecimal, given: &Decimal<'_>| {
                    ordered(condition.operator, given.cmp(&value.as_decimal()))
                };
                typed(values, Decimal::parse(text), condition.negated, holds)
            }
            Values::Date(values) => {
                let given = if let Read::Instant(given) = read { Some(given) } else { Instant::parse(text) };
                compare_dates(condition, values, given)
            }
            Values::Bool { yes, no, patterns } => match parse_bool(text) {
                None => Outcome::Unreadable,
                Some(flag) if (flag && *yes) || (!flag && *no) => Outcome::Match,
                Some(flag) => any_folded(patterns, if flag { "true" } else { "false" }, &variables),
            },
            Values::Binary(values) => {
                typed(values, decode_base64(text), condition.negated, |value, given| value == given)
            }
            Values::Ip { networks, malformed } => {
                let given = if let Read::Address(given) = read { Some(given) } else { parse_address(text) };
                match given {
                    None => Outcome::Unreadable,
                    Some(_) if *malformed && condition.negated => Outcome::Malformed,
                    Some(given) => plain(networks.contains(given)),
                }
            }
            Values::Arn(values) => any_arn(values, condition.negated, text, &variables),
        }
    }
}

/// What an outcome means for the operator as written.
fn said(outcome: Outcome, negated: bool, effect: Effect) -> bool {
    match (outcome, negated) {
        (Outcome::Unreadable, _) => false,
        (Outcome::Match, negated) => !negated,
        (Outcome::NoMatch, negated) => negated,
        (Outcome::Unsure | Outcome::Malformed, false) => false,
        (Outcome::Unsure | Outcome::Malformed, true) => effect == Effect::Deny,
    }
}

fn compare_dates(condition: &Condition, values: &Typed<Instant>, given: Option<Instant>) -> Outcome {
    let holds = |value: &Instant, given: &Instant| ordered(condition.operator, given.cmp(value));
    typed(values, given, condition.negated, holds)
}

/// C-9, C-47.
fn when_missing(condition: &Condition) -> bool {
    match condition.qualifier {
        Some(Qualifier::ForAllValues) => true,
        _ if condition.if_exists => true,
        Some(Qualifier::ForAnyValue) => false,
        None => condition.negated,
    }
}

/// C-56.
fn is_null(value: Option<Value<'_>>) -> bool {
    match value {
        None | Some(Value::One("") | Value::ListOfOne("")) => true,
        Some(Value::List([one])) => one.is_empty(),
        Some(_) => false,
    }
}

fn plain(matches: bool) -> Outcome {
    if matches { Outcome::Match } else { Outcome::NoMatch }
}

fn any_pattern(patterns: &[Pattern], text: &str, variables: &Variables<'_, '_>) -> Outcome {
    let mut outcome = Outcome::NoMatch;
    for pattern in patterns {
        match pattern.matches(text, variables) {
            Matched::Yes => return Outcome::Match,
            Matched::No => {}
            Matched::Unresolved => outcome = Outcome::Unsure,
        }
    }
    outcome
}

/// Patterns without wildcards, compared in lower case: the text is folded already.
fn any_folded(patterns: &[Pattern], folded: &str, variables: &Variables<'_, '_>) -> Outcome {
    let mut outcome = Outcome::NoMatch;
    for pattern in patterns {
        match pattern.substituted(variables) {
            Some(text) if fold_characters(&text) == folded => return Outcome::Match,
            Some(_) => {}
            None => outcome = Outcome::Unsure,
        }
    }
    outcome
}

fn typed<T, G>(
    values: &Typed<T>,
    given: Option<G>,
    negated: bool,
    holds: impl Fn(&T, &G) -> bool,
) -> Outcome {
    let Some(given) = given else { return Outcome::Unreadable };
    if values.malformed && negated {
        return Outcome::Malformed;
    }
    plain(values.values.iter().any(|value| holds(value, &given)))
}

/// `request OP policy`; the negated operators ask for equality and are negated by the caller.
fn ordered(operator: Operator, ordering: Ordering) -> bool {
    match operator {
        Operator::NumericLessThan | Operator::DateLessThan => ordering.is_lt(),
        Operator::NumericLessThanEquals | Operator::DateLessThanEquals => ordering.is_le(),
        Operator::NumericGreaterThan | Operator::DateGreaterThan => ordering.is_gt(),
        Operator::NumericGreaterThanEquals | Operator::DateGreaterThanEquals => ordering.is_ge(),
        _ => ordering.is_eq(),
    }
}

/// Component by component (C-43).
fn any_arn(
    values: &Typed<[Pattern; 6]>,
    negated: bool,
    text: &str,
    variables: &Variables<'_, '_>,
) -> Outcome {
    let mut components = [""; 6];
    let mut parts = text.splitn(6, ':');
    for component in &mut components {
        match parts.next() {
            Some(part) => *component = part,
            None => return Outcome::Unreadable,
        }
    }
    if components.first() != Some(&"arn") {
        return Outcome::Unreadable;
    }
    if values.malformed && negated {
        return Outcome::Malformed;
    }
    let mut outcome = Outcome::NoMatch;
    for patterns in &values.values {
        let mut results =
            patterns.iter().zip(components).map(|(pattern, part)| pattern.matches(part, variables));
        if patterns.iter().any(|pattern| pattern.variables().any(|index| variables.variable(index).is_none()))
        {
            outcome = Outcome::Unsure;
        } else if results.all(|result| result == Matched::Yes) {
            return Outcome::Match;
        }
    }
    outcome
}
