//! From what a caller says to a well-formed request; every violation is found here and nowhere else.

use super::action::ActionProblem;
use super::{
    Action, ContextValue, OwnedKeys, Principal, Read, Readings, Request, RequestInput, Target, Value,
    Violation,
};
use crate::arn::{Arn, is_account};
use crate::condition::key::{self, KeyFacts, KeyType};
use crate::condition::value::{Decimal, Instant, parse_address, parse_bool};
use crate::limit;

type Violations = Vec<Violation>;

fn violation(field: impl Into<String>, description: impl Into<String>) -> Violation {
    Violation { field: field.into(), description: description.into() }
}

/// Whether a text has more characters than allowed; bytes tell for nearly all.
fn is_longer(text: &str, characters_max: usize) -> bool {
    text.len() > characters_max && text.chars().count() > characters_max
}

pub(super) fn request(input: RequestInput<'_>) -> Result<Request<'_>, Violations> {
    let mut violations = Vec::new();
    let principal = principal(&input, &mut violations);
    let action = action(input.action, &mut violations);
    let target = target(input.resource, &mut violations);
    if let Some(account) = input.resource_account
        && !is_account(account)
    {
        violations.push(violation("resource_account", "must be an account of 12 digits"));
    }
    let (Some(principal), Some(action), Some(target)) = (principal, action, target) else {
        read_context(&input, &mut Readings::new(), &mut violations);
        return Err(violations);
    };
    // Filled where it is returned: a request is large, and moving it costs as much as reading it.
    let mut request = Ok(Request { input, principal, action, target, readings: Readings::new() });
    if let Ok(Request { readings, .. }) = &mut request {
        read_context(&input, readings, &mut violations);
    }
    if !violations.is_empty() {
        request = Err(violations);
    }
    request
}

fn principal<'a>(input: &RequestInput<'a>, violations: &mut Violations) -> Option<Principal<'a>> {
    if is_longer(input.principal, limit::RESOURCE_CHARS_MAX) {
        violations
            .push(violation("principal", format!("is longer than {} characters", limit::RESOURCE_CHARS_MAX)));
        return None;
    }
    match Principal::parse(input.principal, input.action) {
        Ok(principal) => {
            session(input, &principal, violations);
            Some(principal)
        }
        Err(description) => {
            violations.push(violation("principal", description));
            None
        }
    }
}

/// A session must fit its principal: only roles and federated users have session policies and tags (E-7, P-3).
fn session(input: &RequestInput<'_>, principal: &Principal<'_>, violations: &mut Violations) {
    let Some(session) = &input.session else { return };
    let has_policies = session.policies.is_some() || !session.policy_arns.is_empty();
    match principal {
        Principal::RoleSession { .. } | Principal::Role { .. } | Principal::FederatedUser { .. } => {}
        Principal::User { .. } | Principal::Root { .. } => {
            if has_policies {
                violations
                    .push(violation("session.policies", "apply to role sessions and federated users only"));
            }
            if !session.tags.is_empty() {
                violations.push(violation("session.tags", "apply to role sessions and federated users only"));
            }
        }
        Principal::Service(_) | Principal::Anonymous | Principal::Provider { .. } => {
            violations.push(violation("session", "the principal has no session"));
        }
    }
    if session.policy_arns.len() > limit::SESSION_POLICY_ARNS_MAX {
        let description = format!("has more than {} entries", limit::SESSION_POLICY_ARNS_MAX);
        violations.push(violation("session.policy_arns", description));
    }
    if session.tags.len() > limit::SESSION_TAGS_MAX {
        violations
            .push(violation("session.tags", format!("has more than {} entries", limit::SESSION_TAGS_MAX)));
    }
    // As many as may be there are compared with each other, and not any number.
    for (index, (tag, _)) in session.tags.iter().enumerate().take(limit::SESSION_TAGS_MAX) {
        let twice = session.tags.iter().take(index).any(|(other, _)| other.eq_ignore_ascii_case(tag));
        if tag.is_empty() || tag.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            violations.push(violation(format!("session.tags[{tag:?}]"), "is not a tag key"));
        } else if twice {
            violations.push(violation(
                format!("session.tags[{tag:?}]"),
                "is given twice, and tag keys ignore case",
            ));
        }
    }
    if let Some(issuer) = session.issuer {
        let signer = Principal::parse(issuer, input.action);
        if !matches!(signer, Ok(Principal::User { .. } | Principal::Root { .. })) {
            violations.push(violation("session.issuer", "must be the ARN of a user or of an account root"));
        }
        if !matches!(principal, Principal::FederatedUser { .. }) {
            violations.push(violation("session.issuer", "applies to federated users only"));
        }
    }
}

fn action<'a>(text: &'a str, violations: &mut Violations) -> Option<Action<'a>> {
    if is_longer(text, limit::ACTION_CHARS_MAX) {
        violations
            .push(violation("action", format!("is longer than {} characters", limit::ACTION_CHARS_MAX)));
        return None;
    }
    match Action::parse(text) {
        Ok(action) => Some(action),
        Err(problem) => {
            violations.push(violation(
                "action",
                match problem {
                    // M-10: a request asks about one action.
                    ActionProblem::Wildcard => "must name one action, without wildcards",
                    ActionProblem::Form => "must have the form `vendor:Name`",
                },
            ));
            None
        }
    }
}

fn target<'a>(resource: &'a str, violations: &mut Violations) -> Option<Target<'a>> {
    if resource == "*" {
        return Some(Target::None);
    }
    if is_longer(resource, limit::RESOURCE_CHARS_MAX) {
        violations
            .push(violation("resource", format!("is longer than {} characters", limit::RESOURCE_CHARS_MAX)));
        return None;
    }
    let arn = Arn::parse(resource).filter(|arn| !arn.partition.is_empty() && !arn.service.is_empty());
    let Some(arn) = arn else {
        violations.push(violation(
            "resource",
            "must be an ARN of six components, or `*` for an action without resources",
        ));
        return None;
    };
    Some(Target::Arn { text: resource, arn })
}

fn read_context(input: &RequestInput<'_>, readings: &mut Readings, violations: &mut Violations) {
    if input.context.len() > limit::CONTEXT_KEYS_MAX {
        violations.push(violation("context", format!("has more than {} keys", limit::CONTEXT_KEYS_MAX)));
        return;
    }
    let values: usize = input.context.iter().map(|(_, value)| value.len()).sum();
    if values > limit::CONTEXT_VALUES_MAX {
        violations.push(violation("context", format!("has more than {} values", limit::CONTEXT_VALUES_MAX)));
        return;
    }
    let mut lengths = 0_u64;
    for (place, (key, value)) in input.context.iter().enumerate() {
        // A key of another length than all before is none of them.
        let length = 1 << (key.len() % 64);
        let is_new = lengths & length == 0 || !is_repeated(key, place, input);
        lengths |= length;
        let is_fine = is_new && is_short(key, *value);
        // A simulation may send any key and any text, so that nothing need be known of the key.
        if is_fine && input.owned_keys == OwnedKeys::Override {
            continue;
        }
        let facts = key::facts(key);
        if is_fine && takes_text(facts) {
            continue;
        }
        if let Some(description) = key_problem(key, facts, place, input) {
            violations.push(violation(format!("context[{key:?}]"), description));
        }
        match read_value(facts, *value, input.owned_keys) {
            Ok(Read::Text) => {}
            Ok(read) => {
                // When there is no room a condition reads the text again.
                let _ = readings.try_push((place as u16, read));
            }
            Err(description) => violations.push(violation(format!("context[{key:?}]"), description)),
        }
    }
}

fn key_problem(
    key: &str,
    facts: Option<KeyFacts>,
    place: usize,
    input: &RequestInput<'_>,
) -> Option<&'static str> {
    if is_longer(key, limit::KEY_CHARS_MAX) {
        const { assert!(limit::KEY_CHARS_MAX == 512) };
        return Some("is longer than 512 characters");
    }
    if key.is_empty() {
        return Some("is an empty key");
    }
    if input.owned_keys == OwnedKeys::Refuse && facts.is_some_and(|facts| facts.engine_owned) {
        // K-1: a caller does not choose its own identity.
        return Some("is set by the engine and may not be sent");
    }
    is_repeated(key, place, input).then_some("is given twice, and context keys ignore case")
}

/// Whether key and value are single texts within their limits, as nearly all are.
#[inline]
fn is_short(key: &str, value: ContextValue<'_>) -> bool {
    let fits = match value {
        ContextValue::Text(text) => text.len() <= limit::VALUE_CHARS_MAX,
        ContextValue::Bool(_) => true,
        ContextValue::List(_) => false,
    };
    fits && !key.is_empty() && key.len() <= limit::KEY_CHARS_MAX
}

/// Whether a caller may send the key with any text.
#[inline]
fn takes_text(facts: Option<KeyFacts>) -> bool {
    facts.is_none_or(|facts| facts.kind == KeyType::String && !facts.engine_owned)
}

#[inline]
fn is_repeated(key: &str, place: usize, input: &RequestInput<'_>) -> bool {
    let mut before = input.context.iter().take(place);
    before.any(|(other, _)| other.len() == key.len() && other.eq_ignore_ascii_case(key))
}

impl ContextValue<'_> {
    fn len(&self) -> usize {
        if let Self::List(values) = self { values.len() } else { 1 }
    }
}

/// Whether the value fits its key (C-17), and what a single text reads as.
fn read_value(facts: Option<KeyFacts>, value: ContextValue<'_>, owned: OwnedKeys) -> Result<Read, String> {
    let kind = facts.map_or(KeyType::String, |facts| facts.kind);
    match value {
        ContextValue::Text(text) => read(text, kind, owned),
        ContextValue::Bool(flag) => read(if flag { "true" } else { "false" }, kind, owned),
        ContextValue::List([text]) => read(text, kind, owned),
        ContextValue::List([_, _, ..]) if facts.is_some_and(|facts| !facts.multi_valued) => {
            Err("is single-valued, but has several values".into())
        }
        ContextValue::List(list) => {
            list.iter().try_for_each(|text| read(text, kind, owned).map(drop))?;
            Ok(Read::Text)
        }
    }
}

/// What a text reads as; simulations take any text (C-14), and read it when a condition asks for it.
fn read(text: &str, kind: KeyType, owned: OwnedKeys) -> Result<Read, String> {
    if is_longer(text, limit::VALUE_CHARS_MAX) {
        return Err(format!("has a value longer than {} characters", limit::VALUE_CHARS_MAX));
    }
    match owned {
        OwnedKeys::Override => Ok(Read::Text),
        // C-14: a malformed value would silently switch off a Deny.
        OwnedKeys::Refuse => read_as(text, kind).ok_or_else(|| format!("must be {}", describe(kind))),
    }
}

impl<'a> Value<'a> {
    /// Its values, one by one.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (one, list): (Option<&'a str>, &'a [String]) = match *self {
            Self::One(text) | Self::ListOfOne(text) => (Some(text), &[]),
            Self::List(list) => (None, list),
        };
        one.into_iter().chain(list.iter().map(String::as_str))
    }
}

/// What the text reads as; `None` when it is not what the key's type asks for.
fn read_as(text: &str, kind: KeyType) -> Option<Read> {
    match kind {
        KeyType::String => Some(Read::Text),
        KeyType::Arn => Arn::parse(text).map(|_| Read::Text),
        KeyType::Bool => parse_bool(text).map(|_| Read::Text),
        KeyType::Date => Instant::parse(text).map(Read::Instant),
        KeyType::Numeric => Decimal::parse(text).map(|_| Read::Text),
        KeyType::Ip => parse_address(text).map(Read::Address),
    }
}

fn describe(kind: KeyType) -> &'static str {
    match kind {
        KeyType::String => "text",
        KeyType::Arn => "an ARN of six components",
        KeyType::Bool => "`true` or `false`",
        KeyType::Date => "a date-time such as `2026-01-31T12:00:00Z`, or seconds since 1970",
        KeyType::Numeric => "a decimal number",
        KeyType::Ip => "an IPv4 or IPv6 address",
    }
}
