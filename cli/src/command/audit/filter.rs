//! Which records are meant.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_engine::Instant;

use super::record::Record;
use crate::args::{AuditFilter, DecisionName};
use crate::exit::usage;

/// A filter, read once.
#[derive(Debug, Default)]
pub(super) struct Filter {
    principal: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    decision: Option<&'static str>,
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
    request_id: Option<String>,
    service: bool,
}

impl Filter {
    pub(super) fn new(flags: &AuditFilter) -> anyhow::Result<Self> {
        let AuditFilter { principal, action, resource, decision, reason, since, until, request_id, service } =
            flags;
        let time = |flag: &str, text: &Option<String>| match text {
            Some(text) => event_time(text).map(Some).ok_or_else(|| {
                usage(format!("{flag} {text}: not a time; give RFC 3339, or 90s, 15m, 2h, 7d ago"))
            }),
            None => Ok(None),
        };
        Ok(Self {
            principal: principal.clone(),
            action: action.as_ref().map(|action| action.to_ascii_lowercase()),
            resource: resource.clone(),
            decision: decision.map(|decision| match decision {
                DecisionName::Allow => "Allow",
                DecisionName::Deny => "Deny",
            }),
            reason: reason.clone(),
            since: time("--since", since)?,
            until: time("--until", until)?,
            request_id: request_id.clone(),
            service: *service,
        })
    }

    pub(super) fn matches(&self, record: &Record) -> bool {
        let Self { principal, action, resource, decision, reason, since, until, request_id, service } = self;
        let of_decision = principal.is_some()
            || action.is_some()
            || resource.is_some()
            || decision.is_some()
            || reason.is_some()
            || request_id.is_some();
        if record.is_of_service() && of_decision || !record.is_of_service() && *service {
            return false;
        }
        principal.as_ref().is_none_or(|pattern| glob(pattern, record.principal()))
            && action.as_ref().is_none_or(|pattern| matches_action(pattern, record))
            && resource.as_ref().is_none_or(|pattern| glob(pattern, record.resource()))
            && decision.is_none_or(|decision| record.decision() == decision)
            && reason.as_ref().is_none_or(|reason| record.reason().eq_ignore_ascii_case(reason))
            && request_id.as_ref().is_none_or(|id| record.request_id == *id)
            // Times of one form sort as texts.
            && since.as_ref().is_none_or(|since| record.event_time >= *since)
            && until.as_ref().is_none_or(|until| record.event_time <= *until)
    }
}

fn matches_action(pattern: &str, record: &Record) -> bool {
    let action = record.action().to_ascii_lowercase();
    if pattern.contains(':') {
        return glob(pattern, &action);
    }
    glob(pattern, action.split_once(':').map_or(action.as_str(), |(_, name)| name))
}

/// A time in the form that records have: RFC 3339, or so long before now.
fn event_time(text: &str) -> Option<String> {
    if let Some(ago) = ago(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let then = i64::try_from(now.saturating_sub(ago).as_secs()).ok()?;
        return Some(Instant::new(then, 0).to_string());
    }
    text.contains('-').then(|| Instant::parse(text)).flatten().map(|instant| instant.to_string())
}

fn ago(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

/// `*` for any run of characters, `?` for any one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut again = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p + 1, t));
                p += 1;
            }
            Some(one) if *one == '?' || text.get(t) == Some(one) => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((after, from)) = again else { return false };
                again = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_runs_and_single_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*:user/alice", "arn:aws:iam::1:user/alice", true),
            ("*ab*ab", "abxab", true),
            ("*ab*ab", "ab", false),
            ("ä*", "äb", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn times_are_absolute_or_ago() {
        assert_eq!(event_time("2025-11-25T07:56:35Z").unwrap(), "2025-11-25T07:56:35Z");
        assert_eq!(event_time("2025-11-25T08:56:35+01:00").unwrap(), "2025-11-25T07:56:35Z");
        assert!(event_time("15m").unwrap() < event_time("14m").unwrap());
        assert_eq!(ago("2h"), Some(Duration::from_secs(7_200)));
        for wrong in ["", "h", "yesterday", "5", "-5m", "5w", "99999999999999999999d"] {
            assert!(event_time(wrong).is_none(), "{wrong}");
        }
    }
}
