//! From what a caller says to a well-formed request; every violation is found here and nowhere else.

use super::{
    ContextValue, Entries, Entry, OwnedKeys, Principal, Read, Request, RequestInput, Target, Value,
    Violation, fold, hash_folded,
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
    let action = fold(input.action);
    let vendor_length = action_vendor(&action, &mut violations);
    let target = target(input.resource, &mut violations);
    if let Some(account) = input.resource_account
        && !is_account(account)
    {
        violations.push(violation("resource_account", "must be an account of 12 digits"));
    }
    let context = context(&input, &mut violations);
    match (principal, target) {
        (Some(principal), Some(target)) if violations.is_empty() => {
            Ok(Request { input, principal, vendor_length, action, target, context })
        }
        _ => Err(violations),
    }
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
    for (index, (tag, _)) in session.tags.iter().enumerate() {
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

/// Bytes of `vendor:` in the action.
fn action_vendor(action: &str, violations: &mut Violations) -> usize {
    if is_longer(action, limit::ACTION_CHARS_MAX) {
        violations
            .push(violation("action", format!("is longer than {} characters", limit::ACTION_CHARS_MAX)));
        return 0;
    }
    if memchr::memchr2(b'*', b'?', action.as_bytes()).is_some() {
        // M-10: a request asks about one action.
        violations.push(violation("action", "must name one action, without wildcards"));
        return 0;
    }
    match action.split_once(':') {
        Some((vendor, name)) if !vendor.is_empty() && !name.is_empty() && !name.contains(':') => {
            vendor.len() + 1
        }
        _ => {
            violations.push(violation("action", "must have the form `vendor:Name`"));
            0
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
    Some(Target::Arn { text: resource, folded_prefix: fold(arn.prefix), arn })
}

fn context<'a>(input: &RequestInput<'a>, violations: &mut Violations) -> Entries<'a> {
    let mut entries = Entries::with_capacity(input.context.len().min(limit::CONTEXT_KEYS_MAX));
    if input.context.len() > limit::CONTEXT_KEYS_MAX {
        violations.push(violation("context", format!("has more than {} keys", limit::CONTEXT_KEYS_MAX)));
        return entries;
    }
    let values: usize = input.context.iter().map(|(_, value)| value.len()).sum();
    if values > limit::CONTEXT_VALUES_MAX {
        violations.push(violation("context", format!("has more than {} values", limit::CONTEXT_VALUES_MAX)));
        return entries;
    }
    for &(key, value) in input.context {
        let hash = hash_folded(key);
        let facts = key::facts_by_hash(hash, key);
        if let Some(description) = key_problem(key, facts, input.owned_keys) {
            violations.push(violation(format!("context[{key:?}]"), description));
        } else if entries.find(hash, key).is_some() {
            let description = "is given twice, and context keys ignore case";
            violations.push(violation(format!("context[{key:?}]"), description));
        }
        match folded_value(facts, value, input.owned_keys) {
            Ok(Some((value, read))) => entries.push(Entry { hash, key, value, read }),
            Ok(None) => {}
            Err(description) => violations.push(violation(format!("context[{key:?}]"), description)),
        }
    }
    entries
}

fn key_problem(key: &str, facts: Option<KeyFacts>, owned: OwnedKeys) -> Option<String> {
    if is_longer(key, limit::KEY_CHARS_MAX) {
        return Some(format!("is longer than {} characters", limit::KEY_CHARS_MAX));
    }
    if key.is_empty() {
        return Some("is an empty key".into());
    }
    if owned == OwnedKeys::Refuse && facts.is_some_and(|facts| facts.engine_owned) {
        // K-1: a caller does not choose its own identity.
        return Some("is set by the engine and may not be sent".into());
    }
    None
}

impl ContextValue<'_> {
    fn len(&self) -> usize {
        if let Self::List(values) = self { values.len() } else { 1 }
    }
}

/// The value as its key declares it (C-17); `None` for an empty list, which is a missing key (C-12).
fn folded_value(
    facts: Option<KeyFacts>,
    value: ContextValue<'_>,
    owned: OwnedKeys,
) -> Result<Option<(Value<'_>, Read)>, String> {
    let multi_valued = facts.map(|facts| facts.multi_valued);
    let value = match (value, multi_valued) {
        (ContextValue::List([]), _) => return Ok(None),
        (ContextValue::List([one]), Some(false)) => Value::One(one),
        (ContextValue::List(_), Some(false)) => return Err("is single-valued, but has several values".into()),
        (ContextValue::List(list), _) => Value::List(list),
        (ContextValue::Text(text), Some(true)) => Value::ListOfOne(text),
        (ContextValue::Text(text), _) => Value::One(text),
        (ContextValue::Bool(flag), multi) => {
            let text = if flag { "true" } else { "false" };
            if multi == Some(true) { Value::ListOfOne(text) } else { Value::One(text) }
        }
    };
    let kind = facts.map_or(KeyType::String, |facts| facts.kind);
    let mut reading = Read::Text;
    for text in value.texts() {
        if is_longer(text, limit::VALUE_CHARS_MAX) {
            return Err(format!("has a value longer than {} characters", limit::VALUE_CHARS_MAX));
        }
        let read = read_as(text, kind);
        // C-14: a malformed value would silently switch off a Deny.
        if owned == OwnedKeys::Refuse && read.is_none() {
            return Err(format!("must be {}", describe(kind)));
        }
        reading = read.unwrap_or(Read::Text);
    }
    Ok(Some((value, reading)))
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
