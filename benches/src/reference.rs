//! The slow, obviously right answer to a question in a generated world.
//!
//! Knows only what [`crate::generate`] writes: full ARNs, three conditions, identity policies of one account.

use portcullis_engine::Reason;

use crate::generate::{Condition, Statement};
use crate::question::{Question, Value};

/// A matching Deny decides, else a matching Allow, else nothing allows.
pub(crate) fn answer<'a>(statements: impl Iterator<Item = &'a Statement>, question: &Question) -> Reason {
    let mut reason = Reason::ImplicitDeny;
    for statement in statements.filter(|statement| matches(statement, question)) {
        if statement.deny {
            return Reason::ExplicitDeny;
        }
        reason = Reason::Allowed;
    }
    reason
}

fn matches(statement: &Statement, question: &Question) -> bool {
    statement.actions.iter().any(|pattern| by_part(pattern, &question.action, 2))
        && statement.resources.iter().any(|pattern| pattern == "*" || by_part(pattern, &question.resource, 6))
        && statement.condition.is_none_or(|condition| holds(condition, question))
}

fn holds(condition: Condition, question: &Question) -> bool {
    let value = |name: &str| question.context.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    match condition {
        Condition::Inside => match value("aws:SourceIp") {
            Some(Value::Text(address)) => address.starts_with("10.") || address.starts_with("203.0.113."),
            _ => false,
        },
        Condition::Region => match value("aws:RequestedRegion") {
            Some(Value::Text(region)) => region == "us-east-1" || region == "eu-west-1",
            _ => false,
        },
        Condition::Mfa => value("aws:MultiFactorAuthPresent") == Some(&Value::Bool(true)),
    }
}

/// Whether each of `parts` colon-separated parts matches; colons beyond them belong to the last one.
pub(crate) fn by_part(pattern: &str, text: &str, parts: usize) -> bool {
    let (mut patterns, mut texts) = (pattern.splitn(parts, ':'), text.splitn(parts, ':'));
    loop {
        match (patterns.next(), texts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(text)) if glob(pattern.as_bytes(), text.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// `*` is any run of bytes, `?` any one; generated texts are ASCII.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => glob(rest, text),
        (Some((b'*', rest)), Some((_, shorter))) => glob(rest, text) || glob(pattern, shorter),
        (Some((b'?', rest)), Some((_, shorter))) => glob(rest, shorter),
        (Some((wanted, rest)), Some((found, shorter))) => wanted == found && glob(rest, shorter),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::by_part;

    #[test]
    fn a_star_stays_in_its_part() {
        assert!(by_part("s3:Get*", "s3:GetObject", 2));
        assert!(!by_part("s3:Get*", "s3:PutObject", 2));
        assert!(by_part("arn:aws:sqs:*:1:q-?*", "arn:aws:sqs:eu-west-1:1:q-a:b/c", 6));
        assert!(!by_part("arn:aws:sqs:*:q", "arn:aws:sqs:eu-west-1:1:q", 6));
    }
}
